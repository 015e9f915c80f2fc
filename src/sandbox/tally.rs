//! What is known while events flow: counts, latencies, the last few events.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::latency::Latencies;
use super::shop::Written;
use super::stored::Stored;

/// How many of the last events are shown.
const RECENT: usize = 6;

/// Over which time the current speed is taken.
const SPEED_WINDOW: Duration = Duration::from_secs(3);

/// An event as it arrived at the consumer.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// When.
    pub(super) at: Timestamp,
    /// Its place in the stream.
    pub(super) sequence: u64,
    /// Its subject.
    pub(super) subject: String,
    /// Its id, if it has one.
    pub(super) id: Option<Uuid>,
    /// How long after its insert; none for events of guests.
    pub(super) latency: Option<Duration>,
}

/// The account of a run.
#[derive(Debug)]
pub(super) struct Tally {
    /// What the clerks have written.
    pub(super) written: Written,
    /// How much log Postgres keeps for the relay, if the relay said so.
    pub(super) lag_bytes: Option<u64>,
    /// How long events took.
    pub(super) latencies: Latencies,
    /// The last few events, the newest last.
    pub(super) recent: VecDeque<Arrival>,
    /// Messages that the stream holds, as far as the consumer was told.
    stored: u64,
    /// The last message that the consumer has seen.
    seen: u64,
    /// When it began.
    begun: Instant,
    /// When the last message arrived.
    last_arrival: Instant,
    /// How much was stored at which times, over the window and a little more.
    samples: VecDeque<(Instant, u64)>,
}

impl Tally {
    /// An empty account that begins now.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            written: Written::default(),
            lag_bytes: None,
            latencies: Latencies::default(),
            recent: VecDeque::new(),
            stored: 0,
            seen: 0,
            begun: now,
            last_arrival: now,
            samples: VecDeque::from([(now, 0)]),
        }
    }

    /// A message arrived at the consumer.
    pub(super) fn arrived(&mut self, message: &Stored) {
        let at = Timestamp::now();
        // Nothing if the clock was set back meanwhile.
        let latency = message.facts().recorded_at.and_then(|then| Duration::try_from(at.duration_since(then)).ok());
        if let Some(latency) = latency {
            self.latencies.add(latency);
        }
        self.seen = message.sequence;
        self.stored = self.stored.max(message.sequence + message.behind);
        self.last_arrival = Instant::now();
        let (sequence, subject, id) = (message.sequence, message.subject.clone(), message.id);
        self.recent.push_back(Arrival { at, sequence, subject, id, latency });
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Remember how much is stored by now, for the speed.
    pub(super) fn sample(&mut self) {
        let now = Instant::now();
        self.samples.push_back((now, self.stored));
        while self.samples.get(1).is_some_and(|(at, _)| now - *at >= SPEED_WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Messages in the stream.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// The last message that the consumer has seen.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Committed and not stored yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.written.committed.saturating_sub(self.stored)
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Time since anything arrived.
    pub(super) fn silence(&self) -> Duration {
        self.last_arrival.elapsed()
    }

    /// Events stored a second, lately.
    pub(super) fn speed(&self) -> f64 {
        let Some((since, before)) = self.samples.front() else { return 0.0 };
        per_second(self.stored.saturating_sub(*before), since.elapsed())
    }

    /// Events stored a second, from the beginning to the last arrival.
    pub(super) fn average_speed(&self) -> f64 {
        per_second(self.stored, self.last_arrival - self.begun)
    }
}

/// So many in this time, per second.
fn per_second(count: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is shown without its fractions")]
    let count = count as f64;
    if time.is_zero() { 0.0 } else { count / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of an event that was recorded just now.
    fn message(sequence: u64, behind: u64) -> Stored {
        let body = format!("{{\"recorded_at\": \"{}\"}}", Timestamp::now());
        let (id, subject, columns) = (Some(Uuid::new_v4()), "outbox.order.OrderPaid".to_owned(), Default::default());
        Stored { sequence, behind, id, subject, columns, body: body.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_account_follows_the_stream() {
        let mut tally = Tally::new();
        tally.written.committed = 12;
        for sequence in 1..=8 {
            tally.arrived(&message(sequence, 10 - sequence));
        }
        assert_eq!((tally.stored(), tally.seen(), tally.in_flight()), (10, 8, 2));
        assert_eq!(tally.recent.len(), RECENT);
        assert_eq!(tally.recent.back().map(|arrival| arrival.sequence), Some(8));
        assert!(tally.latencies.highest().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_speed_is_that_of_the_last_seconds() {
        let mut tally = Tally::new();
        for second in 1..=10 {
            tokio::time::advance(Duration::from_secs(1)).await;
            tally.arrived(&message(if second <= 5 { second } else { 5 + (second - 5) * 100 }, 0));
            tally.sample();
        }
        assert_eq!(tally.speed().round(), 100.0);
        assert_eq!(tally.average_speed().round(), 51.0);
    }
}
