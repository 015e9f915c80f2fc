//! Events for tests, and a session that publishes them one after the other.

use std::{borrow::Cow, sync::Arc};

use async_nats::jetstream::{Context, stream::Config};
use bytes::Bytes;
use walpost::{
    lsn::Lsn,
    outbox::{Event, Template, Text, Timestamp},
    position::{Place, Source},
    publish::{Answer, Broker, Built, Chain, MessageBuilder, MessageError, Notice, Outcome, SizeLimits},
    sandbox::servers::PrivateNats,
};

use crate::harness::{broker, bystander, within};

/// What a test's row says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) id: &'a str,
    pub(super) aggregate_type: &'a str,
    pub(super) aggregate_id: &'a str,
    pub(super) event_type: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) headers: Option<&'a str>,
}

impl Default for Row<'_> {
    fn default() -> Self {
        let (aggregate_type, event_type) = ("order", "placed");
        Self { id: "an id", aggregate_type, aggregate_id: "7", event_type, payload: b"{}", headers: None }
    }
}

/// A stream of its own, a broker for it, and a bystander.
pub(super) struct Publisher {
    pub(super) broker: Broker,
    pub(super) builder: MessageBuilder,
    pub(super) context: Context,
    _bystander: async_nats::Client,
}

/// The log that all events of these tests come from.
pub(super) fn source() -> Source {
    Source { system_id: 7_345_678_901_234_567_890, timeline: 3, slot: "walpost".to_owned() }
}

/// The place of the event that becomes message `sequence`.
pub(super) fn place(sequence: u64) -> Place {
    Place { commit_lsn: Lsn::new(0x1_0000_0000 + sequence * 0x100), index: 2 }
}

/// The configuration of a stream whose subjects begin with its name.
pub(super) fn config(stream: &str) -> Config {
    Config { name: stream.to_owned(), subjects: vec![format!("{stream}.>")], ..Config::default() }
}

impl Publisher {
    /// With a stream of this name, which no other test may use.
    pub(super) async fn new(server: &PrivateNats, stream: &str) -> Self {
        let publisher = Self::without_stream(server, stream).await;
        Box::pin(publisher.context.create_stream(config(stream))).await.unwrap();
        publisher
    }

    /// With the name of a stream that is not there.
    pub(super) async fn without_stream(server: &PrivateNats, stream: &str) -> Self {
        let broker = Box::pin(broker(server, stream)).await;
        let template = Template::parse(&format!("{stream}.{{aggregate_type}}.{{event_type}}")).unwrap();
        let limits = SizeLimits { max_payload_bytes: broker.max_payload_bytes(), max_message_bytes: None };
        let builder = MessageBuilder::new(Arc::new(template), &source(), stream, limits).unwrap();
        let (client, context) = Box::pin(bystander(server)).await;
        Self { broker, builder, context, _bystander: client }
    }

    /// Makes a message that says it is number `sequence`.
    pub(super) fn build(&mut self, row: Row<'_>, sequence: u64) -> Result<Built, MessageError> {
        self.build_at(row, sequence, sequence - 1)
    }

    /// Makes a message for the place of `sequence` that expects the stream to end at `expected_last_sequence`.
    pub(super) fn build_at(
        &mut self,
        row: Row<'_>,
        sequence: u64,
        expected_last_sequence: u64,
    ) -> Result<Built, MessageError> {
        // The payload is a piece of log, with other things before and behind it.
        let data = Bytes::from([b"before".as_slice(), row.payload, b"behind"].concat());
        let event = Event {
            id: Text::borrowed(row.id),
            aggregate_type: Text::borrowed(row.aggregate_type),
            aggregate_id: Text::borrowed(row.aggregate_id),
            event_type: Text::borrowed(row.event_type),
            payload: Cow::Borrowed(&data[6..6 + row.payload.len()]),
            headers: row.headers.map(str::as_bytes),
            created_at: Timestamp::from_postgres_us(0),
        };
        self.builder.build(
            &event,
            &data,
            Chain {
                expected_last_sequence: Some(expected_last_sequence),
                place: place(sequence),
                checkpoint: place(sequence),
            },
        )
    }

    /// Publishes and waits for the answer.
    pub(super) async fn publish(&mut self, row: Row<'_>, sequence: u64) -> Outcome {
        let built = self.build(row, sequence).unwrap();
        self.send(built, sequence).await
    }

    /// Sends a message and waits for its answer.
    pub(super) async fn send(&mut self, built: Built, sequence: u64) -> Outcome {
        self.broker.publish(built.message, sequence).await.unwrap();
        let answer = self.answer().await;
        assert_eq!(answer.ticket, sequence);
        answer.outcome
    }

    /// The next answer; nothing else may happen meanwhile.
    pub(super) async fn answer(&mut self) -> Answer {
        match within("an answer", self.broker.notice()).await.unwrap() {
            Notice::Answer(answer) => answer,
            Notice::Event(event) => panic!("instead of an answer: {event:?}"),
        }
    }
}
