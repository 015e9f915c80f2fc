//! Notes when messages pass the broker.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::time::Instant;

/// A subscriber with a task of its own.
pub(crate) struct Arrivals {
    times: Arc<Mutex<Vec<Instant>>>,
}

impl Arrivals {
    /// Begins to listen.
    pub(crate) async fn listen(url: &str) -> Self {
        let client = async_nats::connect(url).await.unwrap();
        let mut messages = client.subscribe("outbox.>").await.unwrap();
        client.flush().await.unwrap();
        let times = Arc::<Mutex<Vec<Instant>>>::default();
        let noted = Arc::clone(&times);
        tokio::spawn(async move {
            let _client = client;
            while messages.next().await.is_some() {
                noted.lock().unwrap().push(Instant::now());
            }
        });
        Self { times }
    }

    /// How many have come.
    pub(crate) fn count(&self) -> usize {
        self.times.lock().unwrap().len()
    }

    /// The longest time without any, from the last one before `from` on.
    pub(crate) fn longest_silence(&self, from: Instant) -> Duration {
        let times = self.times.lock().unwrap();
        let first = times.partition_point(|time| *time < from).saturating_sub(1);
        times[first..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
