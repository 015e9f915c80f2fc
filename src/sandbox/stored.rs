//! A message as it is in the stream, and the reader that gives one after the other.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, consumer::DeliverPolicy};
use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::error::SandboxError;
use crate::publish::event_id;

/// The stream that `walpost setup` makes unless told otherwise.
pub(super) const STREAM: &str = "OUTBOX";

/// A message in the stream.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Its place in the stream.
    pub(super) sequence: u64,
    /// How many messages the stream held behind it when it was handed out.
    pub(super) behind: u64,
    /// The row that it was made from, if it says so.
    pub(super) id: Option<Uuid>,
    /// Its subject.
    pub(super) subject: String,
    /// The columns of the row that are headers: aggregate type, aggregate id, event type.
    pub(super) columns: [String; 3],
    /// The payload.
    pub(super) body: Bytes,
}

/// What the payloads of the example say about themselves. Others, such as those of a curious guest, say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The order that the event is about.
    pub(super) order_id: Option<Uuid>,
    /// How often that order had changed.
    pub(super) version: Option<u64>,
    /// Who wrote it.
    pub(super) clerk: Option<u64>,
    /// How many events that clerk had written.
    pub(super) entry: Option<u64>,
    /// When it was inserted.
    pub(super) recorded_at: Option<Timestamp>,
}

/// [`Facts`] as they are written.
#[derive(Default, Deserialize)]
struct WrittenFacts<'a> {
    /// A number as text.
    #[serde(borrow)]
    order_id: Option<Cow<'a, str>>,
    /// From 1.
    version: Option<u64>,
    /// From 1.
    clerk: Option<u64>,
    /// From 1.
    entry: Option<u64>,
    /// A time as text.
    #[serde(borrow)]
    recorded_at: Option<Cow<'a, str>>,
}

impl Stored {
    /// What the payload says about itself.
    pub(super) fn facts(&self) -> Facts {
        let written: WrittenFacts<'_> = serde_json::from_slice(&self.body).unwrap_or_default();
        let WrittenFacts { order_id, version, clerk, entry, recorded_at } = written;
        let order_id = order_id.and_then(|id| id.parse().ok());
        Facts { order_id, version, clerk, entry, recorded_at: recorded_at.and_then(|time| time.parse().ok()) }
    }

    /// A short number for columns and payload, to compare with the row's.
    pub(super) fn digest(&self) -> u64 {
        digest(self.columns.each_ref().map(String::as_str), &self.body)
    }

    /// Take a message apart.
    fn of(message: &jetstream::Message) -> Result<Self, SandboxError> {
        let info = message.info().map_err(SandboxError::Stream)?;
        let headers = message.headers.as_ref();
        let header = |name: &str| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str().to_owned());
        let columns = ["Walpost-Aggregate-Type", "Walpost-Aggregate-Id", "Walpost-Event-Type"];
        Ok(Self {
            sequence: info.stream_sequence,
            behind: info.pending,
            id: header("Nats-Msg-Id").and_then(|id| event_id(&id).parse().ok()),
            subject: message.subject.to_string(),
            columns: columns.map(|name| header(name).unwrap_or_default()),
            body: message.payload.clone(),
        })
    }
}

/// A short number for what a row says, with 64 bits: two different rows have the same one about never.
pub(super) fn digest(columns: [&str; 3], payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (columns, payload).hash(&mut hasher);
    hasher.finish()
}

/// Reads the stream from its first message on, in order, and waits for more at its end.
pub(super) struct StreamReader {
    /// The consumer, which starts itself again behind the last message if it breaks.
    messages: Pin<Box<pull::Ordered>>,
    /// The stream.
    stream: jetstream::stream::Stream,
}

impl StreamReader {
    /// Begin with the first message.
    pub(super) async fn open(client: &async_nats::Client) -> Result<Self, SandboxError> {
        let context = jetstream::new(client.clone());
        let stream = Box::pin(context.get_stream(STREAM)).await.map_err(SandboxError::stream)?;
        let config = pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..Default::default() };
        let consumer = Box::pin(stream.create_consumer(config)).await.map_err(SandboxError::stream)?;
        let messages = Box::pin(consumer.messages()).await.map_err(SandboxError::stream)?;
        Ok(Self { messages: Box::pin(messages), stream })
    }

    /// The next message, when there is one. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Stored, SandboxError> {
        match self.messages.next().await {
            Some(Ok(message)) => Stored::of(&message),
            Some(Err(error)) => Err(SandboxError::stream(error)),
            None => Err(SandboxError::stream("the consumer ended")),
        }
    }

    /// The sequence of the stream's last message; 0 if there never was one.
    pub(super) async fn last_sequence(&self) -> Result<u64, SandboxError> {
        let info = Box::pin(self.stream.get_info()).await.map_err(SandboxError::stream)?;
        Ok(info.state.last_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_examples_payloads_and_from_no_others() {
        let stored = |body: &'static str| Stored {
            sequence: 1,
            behind: 0,
            id: None,
            subject: String::new(),
            columns: Default::default(),
            body: body.into(),
        };
        let facts =
            stored(r#"{"version": 3, "clerk": 2, "entry": 7, "x": {}, "recorded_at": "2026-01-02T03:04:05.6+00:00"}"#);
        let Facts { version, clerk, entry, recorded_at, .. } = facts.facts();
        assert_eq!((version, clerk, entry), (Some(3), Some(2), Some(7)));
        assert_eq!(recorded_at, Some("2026-01-02T03:04:05.6Z".parse().unwrap()));
        assert_eq!(stored("[1]").facts(), Facts::default());
        assert_eq!(stored("").facts(), Facts::default());
    }

    #[test]
    fn a_moved_letter_changes_the_digest() {
        let one = digest(["a", "b", "c"], b"{}");
        assert_eq!(one, digest(["a", "b", "c"], b"{}"));
        assert_ne!(one, digest(["a", "bc", ""], b"{}"));
        assert_ne!(one, digest(["a", "b", "c"], b"{ }"));
    }
}
