//! JetStream alone: the same messages, from memory, as fast as the broker stores them.
//!
//! Shows when the broker is the bound: nothing that reads its events from somewhere can be faster than this. The messages
//! are copies of some that walpost has stored a moment ago, each with an id of its own and with sequence and id of the one
//! before it, and there are never more under way than walpost allows itself.

use async_nats::{HeaderMap, HeaderValue, jetstream::stream::StorageType};
use bytes::Bytes;
use tokio::time::Instant;

use super::{Backlog, window::Window};
use crate::{
    usage::{Run, Usage},
    world::World,
};

/// As many as `delivery.max_in_flight` by default.
const WINDOW: u32 = 2048;
/// How many stored messages are copied by turns; enough that their sizes are those of all.
const SAMPLES: u32 = 100;

impl Backlog<'_> {
    /// From the first message to the answer to the last; the CPU time is that of this process, which publishes. Must
    /// follow a run of walpost, whose messages it publishes again.
    pub(crate) async fn jetstream_alone(&self) -> Run {
        let samples = samples(self.world, self.events).await;
        self.world.new_stream().await;
        let config = self.world.stream().await.cached_info().config.clone();
        assert_eq!((config.storage, config.num_replicas), (StorageType::File, 1), "not the stream that setup makes");
        let process = std::process::id();
        let before = Usage::of(process).unwrap().cpu_seconds;
        let mut window = Window::open(&self.world.nats.url(), WINDOW).await;
        let begun = Instant::now();
        let mut samples = samples.iter().cycle();
        while window.stored < u64::from(self.events) {
            while window.published < u64::from(self.events) && window.has_room() {
                let (subject, headers, payload) = samples.next().unwrap();
                let headers = placed(headers.clone(), window.published);
                window.publish(subject.clone(), headers, payload.clone()).await;
            }
            window.settle().await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        Run { seconds, cpu_seconds: Usage::of(process).unwrap().cpu_seconds - before, peak_kib: None, servers: None }
    }
}

/// Some of the messages of a stream that holds `events`.
async fn samples(world: &World, events: u32) -> Vec<(String, HeaderMap, Bytes)> {
    let stream = world.stream().await;
    let step = usize::try_from(events.div_ceil(SAMPLES)).unwrap();
    let mut samples = Vec::new();
    for sequence in (1..=u64::from(events)).step_by(step) {
        let message = stream.get_raw_message(sequence).await.unwrap();
        samples.push((message.subject.to_string(), message.headers, message.payload));
    }
    samples
}

/// The headers of a message behind so many others.
fn placed(mut headers: HeaderMap, before: u64) -> HeaderMap {
    headers.insert("Nats-Msg-Id", id(before + 1));
    if headers.get("Nats-Expected-Last-Msg-Id").is_some() {
        // As good as walpost: a message names the one before it.
        headers.insert("Nats-Expected-Last-Msg-Id", id(before));
    }
    headers.insert("Nats-Expected-Last-Sequence", HeaderValue::from(before));
    headers
}

/// The id of the message with this sequence.
pub(crate) fn id(sequence: u64) -> String {
    uuid::Uuid::from_u128(sequence.into()).to_string()
}
