//! The stream as a consumer could see it: every message, asked of the stream's leader.

use std::collections::BTreeMap;

use async_nats::{
    ConnectOptions,
    jetstream::{
        self, Context,
        stream::{Config, RawMessageError, RetentionPolicy, Stream},
    },
};
use futures_util::{StreamExt, TryStreamExt};

use super::wait;

/// How many questions are under way at once.
const AT_ONCE: usize = 64;

/// A stream on a server.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    jetstream: Context,
    name: String,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its sequence.
    pub(crate) sequence: u64,
    /// Its subject.
    pub(crate) subject: String,
    /// Its headers; a name that occurs twice has its values joined by a line end.
    pub(crate) headers: BTreeMap<String, String>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

impl Reader {
    /// The stream of this name.
    pub(crate) async fn connect(url: &str, name: &str) -> Self {
        Self::enter(ConnectOptions::new(), url, name).await
    }

    /// The stream of this name on servers (addresses with commas between) that are entered in this way.
    pub(crate) async fn enter(options: ConnectOptions, urls: &str, name: &str) -> Self {
        let urls: Vec<&str> = urls.split(',').collect();
        let client = Box::pin(options.retry_on_initial_connect().connect(&urls[..])).await.unwrap();
        Self { jetstream: jetstream::new(client), name: name.to_owned() }
    }

    /// Makes the stream.
    pub(crate) async fn create(&self, config: Config) {
        let config = Config { name: self.name.clone(), ..config };
        Box::pin(self.jetstream.create_stream(config)).await.unwrap();
    }

    /// Changes the stream's settings.
    pub(crate) async fn update(&self, change: impl FnOnce(&mut Config)) {
        let mut config = self.stream().await.cached_info().config.clone();
        change(&mut config);
        Box::pin(self.jetstream.update_stream(config)).await.unwrap();
    }

    /// Changes the stream's settings if its leader answers; whether it did.
    pub(crate) async fn try_update(&self, change: impl FnOnce(&mut Config)) -> bool {
        let Ok(stream) = Box::pin(self.jetstream.get_stream(&self.name)).await else { return false };
        let mut config = stream.cached_info().config.clone();
        change(&mut config);
        Box::pin(self.jetstream.update_stream(config)).await.is_ok()
    }

    /// Deletes the stream and makes it again, with another retention.
    pub(crate) async fn remake(&self, retention: RetentionPolicy) {
        let config = Config { retention, ..self.stream().await.cached_info().config.clone() };
        self.jetstream.delete_stream(&self.name).await.unwrap();
        Box::pin(self.jetstream.create_stream(config)).await.unwrap();
    }

    /// Removes all messages.
    pub(crate) async fn purge(&self) {
        self.stream().await.purge().await.unwrap();
    }

    /// Publishes something that is not walpost's; whether the stream is known to hold it.
    pub(crate) async fn intrude(&self) -> bool {
        match self.jetstream.publish("outbox.intruder", "".into()).await {
            Ok(answer) => answer.await.is_ok(),
            Err(_) => false,
        }
    }

    /// The sequence of the last message; 0 without one.
    pub(crate) async fn last_sequence(&self) -> u64 {
        self.stream().await.cached_info().state.last_sequence
    }

    /// The same and how many messages it holds, if its leader answers.
    pub(crate) async fn try_state(&self) -> Option<(u64, u64)> {
        let stream = Box::pin(self.jetstream.get_stream(&self.name)).await.ok()?;
        let state = &stream.cached_info().state;
        Some((state.last_sequence, state.messages))
    }

    /// How many messages it holds.
    pub(crate) async fn count(&self) -> u64 {
        self.stream().await.cached_info().state.messages
    }

    /// All messages, in order; none may be missing.
    pub(crate) async fn all(&self) -> Vec<Stored> {
        let last = self.last_sequence().await;
        self.some(1..=last).await
    }

    /// The same, if the stream's leader answers all along.
    pub(crate) async fn try_all(&self) -> Option<Vec<Stored>> {
        let stream = Box::pin(self.jetstream.get_stream(&self.name)).await.ok()?;
        read(&stream, 1..=stream.cached_info().state.last_sequence).await.ok()
    }

    /// The messages of these sequences.
    pub(crate) async fn some(&self, sequences: impl IntoIterator<Item = u64> + Clone) -> Vec<Stored> {
        let stream = self.stream().await;
        wait::some("its messages are read", async || read(&stream, sequences.clone()).await.ok()).await
    }

    /// The same, if the stream's leader answers all along.
    pub(crate) async fn try_some(&self, sequences: impl IntoIterator<Item = u64>) -> Option<Vec<Stored>> {
        let stream = Box::pin(self.jetstream.get_stream(&self.name)).await.ok()?;
        read(&stream, sequences).await.ok()
    }

    /// The stream as its leader describes it; for a moment a cluster may have none.
    async fn stream(&self) -> Stream {
        let look = async || Box::pin(self.jetstream.get_stream(&self.name)).await.ok();
        wait::some(&format!("the leader of stream {} answers", self.name), look).await
    }
}

async fn read(stream: &Stream, sequences: impl IntoIterator<Item = u64>) -> Result<Vec<Stored>, RawMessageError> {
    let question = |sequence| Box::pin(async move { stream.get_raw_message(sequence).await.map(Stored::from) });
    futures_util::stream::iter(sequences).map(question).buffered(AT_ONCE).try_collect().await
}

impl From<jetstream::message::StreamMessage> for Stored {
    fn from(message: jetstream::message::StreamMessage) -> Self {
        let values = |values: &Vec<async_nats::HeaderValue>| {
            values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join("\n")
        };
        Self {
            sequence: message.sequence,
            subject: message.subject.to_string(),
            headers: message.headers.iter().map(|(name, all)| (name.to_string(), values(all))).collect(),
            body: message.payload.to_vec(),
        }
    }
}

impl Stored {
    /// The id of the event that it is, or that it is the record of: `dead-letter:<event id>:<commit LSN>:<index>`.
    pub(crate) fn event_id(&self) -> &str {
        let id = self.header("Nats-Msg-Id");
        match id.strip_prefix("dead-letter:") {
            Some(dead) => dead.rsplitn(3, ':').nth(2).unwrap(),
            None => id,
        }
    }

    /// The value of a header that it must have.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("message {} has no {name}", self.sequence))
    }
}
