//! Dead letters: copies of events that an endpoint did not take.

use async_nats::{
    HeaderMap, HeaderName, HeaderValue,
    jetstream::{
        Message,
        consumer::{AckPolicy, DeliverPolicy, pull},
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;

use super::{Store, StoreError, is_absence};
use crate::webhooks::{endpoint::EndpointName, event::Event};

/// How many are read at once.
const BATCH: usize = 500;
/// What headers and framing may add to a payload, far more than they do mostly.
const HEADER_ROOM: usize = 64 * 1024;

/// An event that an endpoint did not take.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// The event's sequence.
    pub sequence: u64,
    /// The event, if it was still there.
    pub event: Option<&'a Event>,
    /// How many attempts failed.
    pub attempts: u32,
    /// What the last one came to, in a word.
    pub reason: &'static str,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A dead letter as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LetterSeen {
    /// The event's sequence.
    pub sequence: u64,
    /// The event's id, if the event was still there.
    pub event: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// What the event is about: type and id.
    pub aggregate: Option<String>,
    /// What the last attempt came to, in a word.
    pub reason: String,
    /// How many attempts failed.
    pub attempts: u32,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The letter's own sequence, in the stream of webhooks.
    #[serde(skip)]
    pub stored: u64,
}

impl LetterSeen {
    /// What people call it by: the event's id; the event's sequence, if no id is known.
    pub fn name(&self) -> String {
        self.event.clone().unwrap_or_else(|| self.sequence.to_string())
    }
}

impl DeadLetter<'_> {
    /// The headers: those of the event, so that it can be sent again, and why it is dead.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEQUENCE, self.sequence.to_string().as_str());
        headers.insert(REASON, self.reason);
        headers.insert(ATTEMPTS, self.attempts.to_string().as_str());
        headers.insert(AT, self.at_ms.to_string().as_str());
        if let Some(event) = self.event {
            headers.insert(EVENT_ID, event.id.as_str());
            headers.insert(SUBJECT, event.subject.as_str());
            headers.insert("Walpost-Event-Type", event.event_type.as_str());
            headers.insert("Walpost-Aggregate-Type", event.aggregate_type.as_str());
            headers.insert("Walpost-Aggregate-Id", event.aggregate_id.as_str());
            if let Some(at) = &event.created_at {
                headers.insert("Walpost-Created-At", at.as_str());
            }
            for (name, value) in &event.headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                    headers.append(name, value);
                }
            }
        }
        headers
    }
}

const SEQUENCE: &str = "Walpost-Sequence";
const REASON: &str = "Walpost-Reason";
const ATTEMPTS: &str = "Walpost-Attempts";
const AT: &str = "Walpost-Dead-At-Ms";
const EVENT_ID: &str = "Walpost-Event-Id";
const SUBJECT: &str = "Walpost-Subject";
/// Says that the payload was too large to be copied, and is in the outbox stream only.
const NO_BODY: &str = "Walpost-Without-Payload";

impl Store {
    pub(super) fn letter_subject(&self, endpoint: &EndpointName, sequence: u64) -> String {
        format!("{}.{sequence}", self.subject("dead", endpoint))
    }

    /// Stores a dead letter; one of the same event for the same endpoint gives way.
    pub async fn bury(&self, endpoint: &EndpointName, letter: &DeadLetter<'_>) -> Result<(), StoreError> {
        let mut headers = letter.headers();
        let mut body = letter.event.map_or_else(Bytes::new, |event| event.payload.clone());
        if body.len().saturating_add(HEADER_ROOM) > self.client.server_info().max_payload {
            body = Bytes::new();
            headers.insert(NO_BODY, "true");
        }
        let subject = self.letter_subject(endpoint, letter.sequence);
        self.publish(subject, headers, body, "store a dead letter").await.map(drop)
    }

    /// The event of a dead letter, if there is one that holds it.
    pub async fn buried(&self, endpoint: &EndpointName, sequence: u64) -> Result<Option<Event>, StoreError> {
        const WHAT: &str = "read a dead letter";
        let stream = self.stream(&self.state_stream(), WHAT).await?;
        let message = match stream.get_last_raw_message_by_subject(&self.letter_subject(endpoint, sequence)).await {
            Ok(message) => message,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(StoreError::new(WHAT, error)),
        };
        let one = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
        let (Some(id), Some(subject), None) = (one(EVENT_ID), one(SUBJECT), one(NO_BODY)) else { return Ok(None) };
        let mut event = Event::read(sequence, &subject, Some(&message.headers), &message.payload);
        event.id = id;
        Ok(Some(event))
    }

    /// Whether there is a dead letter of an event.
    pub async fn has_letter(&self, endpoint: &EndpointName, sequence: u64) -> Result<bool, StoreError> {
        const WHAT: &str = "read a dead letter";
        let stream = self.stream(&self.state_stream(), WHAT).await?;
        match stream.get_last_raw_message_by_subject(&self.letter_subject(endpoint, sequence)).await {
            Ok(_) => Ok(true),
            Err(error) if is_absence(&error) => Ok(false),
            Err(error) => Err(StoreError::new(WHAT, error)),
        }
    }

    /// Removes a dead letter.
    pub async fn exhume(&self, endpoint: &EndpointName, sequence: u64) -> Result<(), StoreError> {
        const WHAT: &str = "remove a dead letter";
        let stream = self.stream(&self.state_stream(), WHAT).await?;
        let purged = stream.purge().filter(self.letter_subject(endpoint, sequence)).await;
        purged.map(drop).map_err(|error| StoreError::new(WHAT, error))
    }

    /// The dead letters of an endpoint, the oldest first.
    pub async fn letters(&self, endpoint: &EndpointName) -> Result<Vec<LetterSeen>, StoreError> {
        const WHAT: &str = "read dead letters";
        let failed = |error: async_nats::Error| StoreError::new(WHAT, error);
        let stream = self.stream(&self.state_stream(), WHAT).await?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            filter_subject: format!("{}.*", self.subject("dead", endpoint)),
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| failed(error.into()))?;
        let mut letters = Vec::new();
        loop {
            let batch = consumer.fetch().max_messages(BATCH).messages().await.map_err(|error| failed(error.into()))?;
            let found: Vec<_> = batch.collect().await;
            let is_last = found.len() < BATCH;
            for message in found {
                letters.extend(seen(&message.map_err(failed)?));
            }
            if is_last {
                return Ok(letters);
            }
        }
    }
}

fn seen(message: &Message) -> Option<LetterSeen> {
    let one = |name: &str| message.headers.as_ref()?.get(name).map(|value| value.as_str().to_owned());
    let aggregate = one("Walpost-Aggregate-Type").zip(one("Walpost-Aggregate-Id"));
    Some(LetterSeen {
        sequence: one(SEQUENCE)?.parse().ok()?,
        event: one(EVENT_ID),
        event_type: one("Walpost-Event-Type"),
        aggregate: aggregate.map(|(kind, id)| format!("{kind} {id}")),
        reason: one(REASON)?,
        attempts: one(ATTEMPTS)?.parse().ok()?,
        at_ms: one(AT)?.parse().ok()?,
        stored: message.info().ok()?.stream_sequence,
    })
}
