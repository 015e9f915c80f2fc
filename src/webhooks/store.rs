//! What is kept in JetStream: the record of each endpoint, what people wish, dead letters, and the log of attempts.
//!
//! The record is written by compare-and-set: a write names the one before it, and is refused if there was another. A write
//! whose answer is missing is looked up, not repeated. Reading goes to the streams' leaders, never to a replica.

mod discard;
mod letters;
mod log;
mod look;
mod record;
mod setup;

use std::{fmt::Display, sync::atomic::Ordering::Relaxed, time::Duration};

use async_nats::{
    Client, HeaderMap,
    connection::State,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{
        self, Context,
        stream::{Config, DiscardPolicy, RawMessageError, RawMessageErrorKind, Stream},
    },
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

pub use self::{
    discard::Discarded,
    letters::{DeadLetter, LetterSeen},
    log::LoggedAttempt,
    look::{EndpointLook, Look, Stored},
    record::{Disabled, DisabledBy, Record, Wish},
    setup::{OwnStream, SetupError},
};
use super::{endpoint::EndpointName, event::Event};
use crate::outbox::escape_token;

/// What subjects of records, wishes and dead letters begin with.
const STATE_PREFIX: &str = "walpost_webhooks";
/// What subjects of the log begin with.
const LOG_PREFIX: &str = "walpost_webhook_log";
/// How long an answer may take. Several of them fit into a lease.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// The longest subject of the log: ids are of any length, lines of the protocol are not.
const LONGEST_SUBJECT_BYTES: usize = 1024;
/// How often one tries to add to what others wish.
const MOST_WISHES_AT_ONCE: u32 = 5;
/// JetStream's error for a message that is not there.
const NO_MESSAGE: u64 = 10037;

/// The streams of one outbox stream's webhooks.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    jetstream: Context,
    /// The name of the outbox stream.
    outbox: String,
}

/// A record and the sequence that it is written at.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<T> {
    /// What the next write must name.
    pub revision: u64,
    /// What is written.
    pub value: T,
}

/// What matters of the outbox stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSeen {
    /// The first sequence that it holds.
    pub first_sequence: u64,
    /// The last sequence.
    pub last_sequence: u64,
    /// When the last message was stored, in nanoseconds since 1970; none if there never was one.
    pub last_stored_ns: Option<i64>,
    /// When it was made, in nanoseconds since 1970.
    pub created_ns: i64,
    /// Whether it has limits by which it drops what is old.
    pub drops: bool,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Somebody else wrote.
    #[error("another instance has taken the endpoint over")]
    Overtaken,
    /// It is not known whether it was.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// JetStream did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {why}")]
pub struct StoreError {
    what: &'static str,
    why: String,
}

impl StoreError {
    pub(super) fn new(what: &'static str, why: impl Display) -> Self {
        Self { what, why: why.to_string() }
    }
}

impl Store {
    /// What belongs to this outbox stream.
    pub fn new(client: Client, outbox: &str) -> Self {
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ANSWER_PATIENCE);
        Self { client, jetstream, outbox: outbox.to_owned() }
    }

    /// Whether there is a connection, as far as anybody knows.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Which connection there is, or was last: another one has another number.
    pub fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Relaxed)
    }

    /// The stream of records, wishes and dead letters.
    pub fn state_stream(&self) -> String {
        format!("{}_WEBHOOKS", self.outbox)
    }

    /// The stream of the log.
    pub fn log_stream(&self) -> String {
        format!("{}_WEBHOOK_LOG", self.outbox)
    }

    /// What subjects of one kind begin with.
    fn state_prefix(&self, kind: &str) -> String {
        let mut subject = format!("{STATE_PREFIX}.");
        escape_token(&self.outbox, &mut subject);
        format!("{subject}.{kind}")
    }

    fn subject(&self, kind: &str, endpoint: &EndpointName) -> String {
        format!("{}.{endpoint}", self.state_prefix(kind))
    }

    fn log_subject(&self, kind: &str, endpoint: &EndpointName) -> String {
        let mut subject = format!("{LOG_PREFIX}.");
        escape_token(&self.outbox, &mut subject);
        format!("{subject}.{kind}.{endpoint}")
    }

    /// The record of an endpoint, if there is one.
    pub async fn record(&self, endpoint: &EndpointName) -> Result<Option<Written<Record>>, StoreError> {
        Ok(self.record_at(endpoint).await?.map(|(record, _)| record))
    }

    /// The record of an endpoint, and when it was written, in milliseconds since 1970.
    async fn record_at(&self, endpoint: &EndpointName) -> Result<Option<(Written<Record>, u64)>, StoreError> {
        self.last(&self.subject("state", endpoint)).await
    }

    /// Writes a record behind the one that `revision` names; 0 if there must be none.
    pub async fn save(&self, endpoint: &EndpointName, revision: u64, record: &Record) -> Result<u64, SaveError> {
        let subject = self.subject("state", endpoint);
        let error = match self.put(&subject, Some(revision), record).await {
            Ok(revision) => return Ok(revision),
            Err(error) => error,
        };
        // Refused, or without an answer: what is there tells which.
        match self.record(endpoint).await? {
            Some(there) if there.value.is_write_of(record) => Ok(there.revision),
            there if there.as_ref().map_or(0, |there| there.revision) == revision => Err(error.into()),
            // A write of ours that we had given up has come in late. Nobody else writes in our name.
            Some(there) if there.value.owner.is_some() && there.value.owner == record.owner => {
                Ok(self.put(&subject, Some(there.revision), record).await?)
            }
            _ => Err(SaveError::Overtaken),
        }
    }

    /// What people wish for an endpoint, if they do.
    pub async fn wish(&self, endpoint: &EndpointName) -> Result<Option<Written<Wish>>, StoreError> {
        Ok(self.last(&self.subject("wish", endpoint)).await?.map(|(wish, _)| wish))
    }

    /// Wishes something for an endpoint, besides what was wished and is not granted yet.
    pub async fn make_wish(&self, endpoint: &EndpointName, wish: Wish) -> Result<(), StoreError> {
        let mut attempts = 0..MOST_WISHES_AT_ONCE;
        loop {
            attempts.next();
            let granted = self.record(endpoint).await?.map_or(0, |record| record.value.wish);
            let last = self.wish(endpoint).await?;
            let revision = last.as_ref().map_or(0, |last| last.revision);
            let before = last.filter(|last| last.revision > granted).map(|last| last.value).unwrap_or_default();
            let all = before.and_then(wish.clone());
            match self.put(&self.subject("wish", endpoint), Some(revision), &all).await {
                Ok(_) => return Ok(()),
                Err(error) if attempts.is_empty() => return Err(error),
                // Somebody else wished something meanwhile, perhaps.
                Err(_) => {}
            }
        }
    }

    /// An event of the outbox stream, if it is still there.
    pub async fn event(&self, sequence: u64) -> Result<Option<Event>, StoreError> {
        let stream = self.stream(&self.outbox, "read an event").await?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(Event::read(sequence, &message.subject, Some(&message.headers), &message.payload))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(StoreError::new("read an event", error)),
        }
    }

    /// When a message of the outbox stream was stored, in milliseconds since 1970; none if it is gone.
    pub async fn stored_at_ms(&self, sequence: u64) -> Result<Option<u64>, StoreError> {
        Ok(self.stored_at_ns(sequence).await?.map(|ns| millis(ns.into())))
    }

    /// The same in nanoseconds.
    async fn stored_at_ns(&self, sequence: u64) -> Result<Option<i64>, StoreError> {
        let stream = self.stream(&self.outbox, "read an event").await?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(nanos(message.time.unix_timestamp_nanos()))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(StoreError::new("read an event", error)),
        }
    }

    /// The outbox stream as it is now.
    pub async fn outbox(&self) -> Result<OutboxSeen, StoreError> {
        let stream = self.outbox_stream().await?;
        let info = stream.get_info().await.map_err(|error| StoreError::new("look at the stream", error))?;
        let last_stored_ns = nanos(info.state.last_timestamp.unix_timestamp_nanos());
        Ok(OutboxSeen {
            first_sequence: info.state.first_sequence,
            last_sequence: info.state.last_sequence,
            last_stored_ns: Some(last_stored_ns).filter(|_| info.state.last_sequence > 0),
            created_ns: nanos(info.created.unix_timestamp_nanos()),
            drops: drops(&info.config),
        })
    }

    /// Whether the sequences of a record are those of this stream. nats-server 2.10 may write the time of its start as that of
    /// the stream's creation; then the message tells up to which is read.
    pub async fn is_of_stream(&self, record: &Record, outbox: &OutboxSeen) -> Result<bool, StoreError> {
        if record.stream_created_ns == outbox.created_ns {
            return Ok(true);
        }
        let Some(stored_ns) = record.read_stored_ns else { return Ok(false) };
        Ok(self.stored_at_ns(record.ledger.read).await? == Some(stored_ns))
    }

    /// The outbox stream.
    pub async fn outbox_stream(&self) -> Result<Stream<()>, StoreError> {
        self.stream(&self.outbox, "look at the stream").await
    }

    /// Writes into the log that an endpoint was disabled.
    pub async fn tell_disabled(&self, endpoint: &EndpointName, record: &Record) -> Result<(), StoreError> {
        let Some(disabled) = &record.disabled else { return Ok(()) };
        let notice = json!({
            "type": "walpost.webhook.disabled",
            "endpoint": endpoint.as_str(),
            "by": disabled.by,
            "at_ms": disabled.at_ms,
            "read": record.ledger.read,
            "open": record.ledger.open.len(),
        });
        self.put(&self.log_subject("notice", endpoint), None, &notice).await.map(drop)
    }

    /// Writes an attempt into the log. Nothing depends on it, so nobody waits for the answer.
    pub async fn log_attempt(&self, endpoint: &EndpointName, attempt: &LoggedAttempt) {
        let mut subject = self.log_subject("attempt", endpoint);
        subject.push('.');
        escape_token(&attempt.event, &mut subject);
        // A server closes the connection at a longer line.
        if subject.len() > LONGEST_SUBJECT_BYTES {
            return;
        }
        if let Ok(body) = serde_json::to_vec(attempt) {
            drop(self.client.publish(subject, body.into()).await);
        }
    }

    async fn stream(&self, name: &str, what: &'static str) -> Result<Stream<()>, StoreError> {
        self.jetstream.get_stream_no_info(name).await.map_err(|error| StoreError::new(what, error))
    }

    /// The last message on a subject of the state stream, and when it was stored, in milliseconds since 1970.
    async fn last<T: DeserializeOwned>(&self, subject: &str) -> Result<Option<(Written<T>, u64)>, StoreError> {
        const WHAT: &str = "read what is kept of an endpoint";
        let stream = self.stream(&self.state_stream(), WHAT).await?;
        let message = match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => message,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(StoreError::new(WHAT, error)),
        };
        let value = serde_json::from_slice(&message.payload).map_err(|error| StoreError::new(WHAT, error))?;
        let written = Written { revision: message.sequence, value };
        Ok(Some((written, millis(message.time.unix_timestamp_nanos()))))
    }

    /// Writes a message, behind the one that `revision` names if that is given.
    async fn put(&self, subject: &str, revision: Option<u64>, value: &impl Serialize) -> Result<u64, StoreError> {
        const WHAT: &str = "write what is kept of an endpoint";
        let mut headers = HeaderMap::new();
        if let Some(revision) = revision {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string().as_str());
        }
        let body = serde_json::to_vec(value).map_err(|error| StoreError::new(WHAT, error))?;
        self.publish(subject.to_owned(), headers, body.into(), WHAT).await
    }

    async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        body: Bytes,
        what: &'static str,
    ) -> Result<u64, StoreError> {
        let sent = self.jetstream.publish_with_headers(subject, headers, body).await;
        let answer = sent.map_err(|error| StoreError::new(what, error))?.await;
        Ok(answer.map_err(|error| StoreError::new(what, error))?.sequence)
    }
}

/// Whether a stream drops what is old by itself.
fn drops(config: &Config) -> bool {
    let is_full_of_old = config.discard == DiscardPolicy::Old && (config.max_messages > 0 || config.max_bytes > 0);
    is_full_of_old || !config.max_age.is_zero() || config.max_messages_per_subject > 0
}

/// Whether there is no such message.
fn is_absence(error: &RawMessageError) -> bool {
    match error.kind() {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::JetStream(error) => error.error_code().0 == NO_MESSAGE,
        _ => false,
    }
}

/// A moment, in nanoseconds since 1970; what is far from ours is at the end.
fn nanos(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// A moment, in milliseconds since 1970.
fn millis(nanos: i128) -> u64 {
    u64::try_from(nanos / 1_000_000).unwrap_or(0)
}
