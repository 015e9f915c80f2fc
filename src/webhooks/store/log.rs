//! The log of attempts: what is written for each, and how it is found again by the event's id.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::{LOG_PREFIX, Store, StoreError};
use crate::outbox::escape_token;

/// How many attempts for one event are read: all endpoints together make no more in the time of the log.
const MOST: usize = 1_000;

/// One attempt as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedAttempt {
    /// The endpoint; it stands in the subject.
    #[serde(default)]
    pub endpoint: String,
    /// The event's id.
    pub event: String,
    /// The event's sequence.
    pub sequence: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When it began, in RFC 3339.
    pub at: String,
    /// What came of it, in a word; `discarded` if somebody gave the event's dead letter up.
    pub outcome: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// How long it took.
    pub ms: u64,
    /// When the next one is due, in milliseconds since 1970.
    pub next_ms: Option<u64>,
    /// Whether it was the last, so that there is a dead letter.
    pub dead: bool,
}

impl Store {
    /// The attempts for one event, the oldest first.
    pub async fn attempts(&self, event_id: &str) -> Result<Vec<LoggedAttempt>, StoreError> {
        const WHAT: &str = "read the log of attempts";
        let failed = |error: async_nats::Error| StoreError::new(WHAT, error);
        let mut subject = format!("{LOG_PREFIX}.");
        escape_token(&self.outbox, &mut subject);
        subject.push_str(".attempt.*.");
        escape_token(event_id, &mut subject);
        let stream = self.stream(&self.log_stream(), WHAT).await?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            filter_subject: subject,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| failed(error.into()))?;
        let mut messages =
            consumer.fetch().max_messages(MOST).messages().await.map_err(|error| failed(error.into()))?;
        let mut attempts = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(failed)?;
            if let Ok(mut attempt) = serde_json::from_slice::<LoggedAttempt>(&message.payload) {
                attempt.endpoint = message.subject.split('.').rev().nth(1).unwrap_or_default().to_owned();
                attempts.push(attempt);
            }
        }
        Ok(attempts)
    }
}
