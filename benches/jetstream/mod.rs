//! JetStream alone: the same messages, from memory, as fast as the broker stores them.
//!
//! Shows when the broker is the bound: nothing that reads its events from somewhere can be faster than this. The messages
//! are copies of some that walpost has stored a moment ago, each with an id of its own and with sequence and id of the one
//! before it, and there are never more under way than walpost allows itself.

use async_nats::{
    HeaderMap, HeaderValue,
    jetstream::{self, stream::StorageType},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Duration, Instant, timeout};

/// As many as `delivery.max_in_flight` by default.
const WINDOW: u64 = 2048;
/// How many stored messages are copied by turns; enough that their sizes are those of all.
const SAMPLES: u64 = 100;
/// Long past what the broker needs for a window of messages; reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages to publish by turns.
pub(crate) struct Samples(Vec<(String, HeaderMap, Bytes)>);

impl Samples {
    /// Takes some from a stream that holds `events`.
    pub(crate) async fn take(url: &str, stream: &str, events: u32) -> Self {
        let stream = jetstream::new(async_nats::connect(url).await.unwrap()).get_stream(stream).await.unwrap();
        let step = u64::from(events).div_ceil(SAMPLES);
        let mut samples = Vec::new();
        for sequence in (1..=u64::from(events)).step_by(usize::try_from(step).unwrap()) {
            let message = stream.get_raw_message(sequence).await.unwrap();
            samples.push((message.subject.to_string(), message.headers, message.payload));
        }
        Self(samples)
    }

    /// Publishes `events` of them to `stream`, which is empty; the seconds from the first to the last answer.
    pub(crate) async fn publish(&self, url: &str, stream: &str, events: u32) -> f64 {
        let client = async_nats::ConnectOptions::new()
            .client_capacity(usize::try_from(WINDOW).unwrap())
            .subscription_capacity(usize::try_from(WINDOW).unwrap())
            .connect(url)
            .await
            .unwrap();
        let config = jetstream::new(client.clone()).get_stream(stream).await.unwrap().cached_info().config.clone();
        assert_eq!((config.storage, config.num_replicas), (StorageType::File, 1), "not the stream that setup makes");
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(format!("{inbox}.*")).await.unwrap();
        client.flush().await.unwrap();

        let begun = Instant::now();
        let (mut published, mut stored) = (0, 0);
        let mut samples = self.0.iter().cycle();
        while stored < u64::from(events) {
            while published < u64::from(events) && published - stored < WINDOW {
                let (subject, headers, payload) = samples.next().unwrap();
                let mut headers = headers.clone();
                headers.insert("Nats-Msg-Id", id(published + 1));
                if headers.get("Nats-Expected-Last-Msg-Id").is_some() {
                    // As good as walpost: a message names the one before it.
                    headers.insert("Nats-Expected-Last-Msg-Id", id(published));
                }
                headers.insert("Nats-Expected-Last-Sequence", HeaderValue::from(published));
                published += 1;
                let reply = format!("{inbox}.{published}");
                let sent = client.publish_with_reply_and_headers(subject.clone(), reply, headers, payload.clone());
                sent.await.unwrap();
            }
            // One answer, and with it all others that are here.
            let mut answer = timeout(PATIENCE, answers.next()).await.expect("an answer in time");
            while let Some(message) = answer {
                stored += 1;
                let said = str::from_utf8(&message.payload).unwrap();
                assert!(said.contains(&format!("\"seq\":{stored}")), "message {stored}: {said}");
                answer = answers.next().now_or_never().flatten();
            }
        }
        begun.elapsed().as_secs_f64()
    }
}

/// The id of the message with this sequence.
fn id(sequence: u64) -> String {
    uuid::Uuid::from_u128(sequence.into()).to_string()
}
