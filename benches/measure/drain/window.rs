//! Publishing with never more under way than a window, and nothing besides: what is stored is counted.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

/// Long past what the broker needs for a window of messages; reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, and messages under way.
pub(crate) struct Window {
    client: Client,
    inbox: String,
    answers: Subscriber,
    size: u64,
    pub(crate) published: u64,
    pub(crate) stored: u64,
}

impl Window {
    pub(crate) async fn open(url: &str, size: u32) -> Self {
        let capacity = usize::try_from(size).unwrap();
        let options = async_nats::ConnectOptions::new().client_capacity(capacity).subscription_capacity(capacity);
        let client = options.connect(url).await.unwrap();
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await.unwrap();
        client.flush().await.unwrap();
        Self { client, inbox, answers, size: size.into(), published: 0, stored: 0 }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.published - self.stored < self.size
    }

    /// Hands a message to the client. It must be the stream's next one.
    pub(crate) async fn publish(&mut self, subject: String, headers: HeaderMap, payload: Bytes) {
        self.published += 1;
        let reply = format!("{}.{}", self.inbox, self.published);
        self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await.unwrap();
    }

    /// Waits for an answer, and takes all others that are here. Safe to cancel.
    pub(crate) async fn settle(&mut self) {
        let mut answer = timeout(PATIENCE, self.answers.next()).await.expect("an answer in time");
        while let Some(message) = answer {
            self.stored += 1;
            let said = str::from_utf8(&message.payload).unwrap();
            assert!(said.contains(&format!("\"seq\":{}", self.stored)), "message {}: {said}", self.stored);
            answer = self.answers.next().now_or_never().flatten();
        }
    }
}
