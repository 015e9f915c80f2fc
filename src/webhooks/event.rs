//! An event as it stands in the stream.

use async_nats::HeaderMap;
use bytes::Bytes;

/// What the headers of walpost's own begin with.
const OWN_PREFIX: &str = "Walpost-";
/// What the broker's headers begin with.
const BROKER_PREFIX: &str = "Nats-";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Its id; the sequence where a foreign message has none.
    pub id: String,
    /// The type of the thing that it is about.
    pub aggregate_type: String,
    /// The id of that thing.
    pub aggregate_id: String,
    /// Its own type; the subject where a foreign message has none.
    pub event_type: String,
    /// When it was recorded, in RFC 3339, if it is known.
    pub created_at: Option<String>,
    /// The application's headers.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
}

impl Event {
    /// The event in a message of the stream. Its payload is a copy: the one of the message is a piece of what was read from the
    /// socket at once, with the messages beside it, and all that would be kept for as long as this event waits.
    pub fn read(sequence: u64, subject: &str, headers: Option<&HeaderMap>, payload: &[u8]) -> Self {
        let one = |name: &str| headers.and_then(|all| all.get(name)).map(|value| value.as_str().to_owned());
        let of_application = |name: &str| {
            let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
            !begins(OWN_PREFIX) && !begins(BROKER_PREFIX)
        };
        let all = headers.into_iter().flat_map(HeaderMap::iter);
        let others = all.filter(|(name, _)| of_application(name.as_ref()));
        let mut others: Vec<(String, String)> = others
            .flat_map(|(name, values)| values.iter().map(|value| (name.to_string(), value.as_str().to_owned())))
            .collect();
        // The map has no order of its own; a body must be the same each time that it is made.
        others.sort();
        Self {
            sequence,
            subject: subject.to_owned(),
            id: one("Nats-Msg-Id").filter(|id| !id.is_empty()).unwrap_or_else(|| sequence.to_string()),
            aggregate_type: one("Walpost-Aggregate-Type").unwrap_or_default(),
            aggregate_id: one("Walpost-Aggregate-Id").unwrap_or_default(),
            event_type: one("Walpost-Event-Type").unwrap_or_else(|| subject.to_owned()),
            created_at: one("Walpost-Created-At"),
            headers: others,
            payload: Bytes::copy_from_slice(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_walpost_are_fields_and_those_of_the_application_are_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("Nats-Msg-Id", "e1"),
            ("Nats-Expected-Stream", "OUTBOX"),
            ("Walpost-Aggregate-Type", "order"),
            ("Walpost-Aggregate-Id", "42"),
            ("Walpost-Event-Type", "OrderPlaced"),
            ("Walpost-Created-At", "2026-11-24T01:22:46Z"),
            ("Walpost-Position", "1:2:3"),
            ("traceparent", "00-1"),
            ("correlation_id", "7f3a"),
        ] {
            headers.insert(name, value);
        }
        let event = Event::read(7, "outbox.order.OrderPlaced", Some(&headers), b"{}");
        assert_eq!((event.id.as_str(), event.sequence), ("e1", 7));
        assert_eq!((event.aggregate_type.as_str(), event.aggregate_id.as_str()), ("order", "42"));
        assert_eq!(event.created_at.as_deref(), Some("2026-11-24T01:22:46Z"));
        let kept: Vec<_> = event.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(kept, [("correlation_id", "7f3a"), ("traceparent", "00-1")]);
    }

    #[test]
    fn an_event_that_waits_keeps_nothing_of_what_was_read_beside_it() {
        let read_at_once = Bytes::from(vec![b'x'; 64 * 1024]);
        let message = read_at_once.slice(100..110);
        let event = Event::read(1, "outbox.a", None, &message);
        assert!(!read_at_once.is_unique(), "whoever holds a piece holds the whole of it");
        drop(message);
        assert!(read_at_once.is_unique(), "the event holds it, too");
        assert_eq!(event.payload, &b"xxxxxxxxxx"[..]);
    }

    #[test]
    fn a_foreign_message_is_an_event_too() {
        let event = Event::read(9, "outbox.else", None, b"");
        assert_eq!((event.id.as_str(), event.event_type.as_str()), ("9", "outbox.else"));
    }
}
