//! Reads which events a stream holds.

use std::time::Duration;

use async_nats::{
    header::NATS_MESSAGE_ID,
    jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{StreamError, StreamIdentity, StreamInspector, StreamProblem};

/// How many headers are asked for at once: an answer of some hundred kilobytes.
const BATCH: usize = 1000;
/// How long the broker may take for the next header: far longer than a leader's change takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often nothing may come although something is left: messages that the stream drops meanwhile were counted just before.
const MOST_EMPTY: u32 = 3;

/// How much a stream holds of what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExtent {
    /// Which stream it is.
    pub identity: StreamIdentity,
    /// How many messages it holds.
    pub messages: u64,
    /// The sequence of the last message that it was given.
    pub last_sequence: u64,
}

impl StreamExtent {
    /// Whether it holds every message that it was ever given.
    pub fn is_whole(&self) -> bool {
        self.messages == self.last_sequence
    }
}

impl StreamInspector {
    /// How much the stream holds; none if there is none.
    pub async fn extent(&self) -> Result<Option<StreamExtent>, StreamError> {
        let Some(info) = self.info().await? else { return Ok(None) };
        let (messages, last_sequence) = (info.state.messages, info.state.last_sequence);
        Ok(Some(StreamExtent { identity: self.identity_of(&info), messages, last_sequence }))
    }

    /// Shows the id of each message, the oldest first, and how many messages were read before it. Reads headers alone, through a
    /// consumer that the broker forgets afterwards.
    pub async fn ids(&self, mut look: impl FnMut(&str, u64)) -> Result<(), StreamError> {
        let mut consumer = self.reader_of_headers().await?;
        let (mut read, mut empty) = (0, 0);
        while consumer.info().await.map_err(|error| self.unanswered(&error))?.num_pending > 0 {
            let before = read;
            let batch = consumer.fetch().max_messages(BATCH).messages().await;
            let mut batch = batch.map_err(|error| self.unanswered(&error))?;
            let late = |_| StreamError::Request("the next message did not come".to_owned());
            while let Some(message) = timeout(PATIENCE, batch.next()).await.map_err(late)? {
                let message = message.map_err(|error| self.unanswered(&*error))?;
                if let Some(id) = message.headers.as_ref().and_then(|headers| headers.get(NATS_MESSAGE_ID)) {
                    look(id.as_str(), read);
                }
                read += 1;
            }
            empty = if read == before { empty + 1 } else { 0 };
            if empty == MOST_EMPTY {
                return Err(StreamError::Request("it holds more messages and sends none".to_owned()));
            }
        }
        Ok(())
    }

    async fn reader_of_headers(&self) -> Result<PullConsumer, StreamError> {
        let stream = self.stream().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        stream.create_consumer(config).await.map_err(|error| self.unanswered(&error))
    }
}
