//! What a row of the outbox says.

use super::{Text, Timestamp};
use std::{borrow::Cow, fmt};

/// One outbox event, borrowed from the row that recorded it.
///
/// Only text that is shown or routed on is checked to be UTF-8. The payload is opaque: bytes from the log to the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its identity; never empty. A UUID has 36 characters, in lower case.
    pub id: Text<'a>,
    /// The kind of thing it is about.
    pub aggregate_type: Text<'a>,
    /// Which thing it is about.
    pub aggregate_id: Text<'a>,
    /// What happened.
    pub event_type: Text<'a>,
    /// The message's body; empty for a null payload. Owned only for `bytea` in text form.
    pub payload: Cow<'a, [u8]>,
    /// The `headers` column: JSON text, not looked at yet; `None` for null or no such column.
    pub headers: Option<&'a [u8]>,
    /// When it was recorded; `None` for null, for no such column, and for what [`Timestamp`] cannot hold.
    pub created_at: Option<Timestamp>,
}

impl Event<'_> {
    /// An event that says nothing, to be filled in.
    pub(super) const BLANK: Self = Event {
        id: Text::EMPTY,
        aggregate_type: Text::EMPTY,
        aggregate_id: Text::EMPTY,
        event_type: Text::EMPTY,
        payload: Cow::Borrowed(&[]),
        headers: None,
        created_at: None,
    };
}

impl fmt::Debug for Event<'_> {
    /// Ids as they may be logged, sizes of the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("aggregate_type", &self.aggregate_type)
            .field("aggregate_id", &self.aggregate_id)
            .field("event_type", &self.event_type)
            .field("payload_bytes", &self.payload.len())
            .field("headers_bytes", &self.headers.map(<[u8]>::len))
            .field("created_at", &self.created_at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_payload_nor_headers() {
        let event = Event { payload: Cow::Borrowed(b"hush"), headers: Some(b"{\"k\":\"hush\"}"), ..Event::BLANK };
        let shown = format!("{event:?}");
        assert!(!shown.contains("hush") && !shown.contains("104, 117"), "{shown}");
    }
}
