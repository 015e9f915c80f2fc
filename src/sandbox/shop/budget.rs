//! How many events may still be committed, and how fast: what the clerks share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::sandbox::options::Rate;

/// How far behind its schedule the shop may be and still catch up; beyond, the time is gone.
const LARGEST_BACKLOG: Duration = Duration::from_secs(1);

/// The number of events until the end.
#[derive(Debug)]
pub(super) struct Budget(AtomicU64);

impl Budget {
    /// So many, or without end.
    pub(super) fn new(events: Option<u64>) -> Self {
        Self(AtomicU64::new(events.unwrap_or(u64::MAX)))
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Take `wanted`, or what is left.
    pub(super) fn take(&self, wanted: u64) -> u64 {
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        before.min(wanted)
    }
}

/// The schedule: whoever writes next waits for its turn.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time for one event; none if there is no need to wait.
    interval: Option<Duration>,
    /// When the next event is due.
    due: Mutex<Instant>,
}

impl Pace {
    /// So many events a second, from now on.
    pub(super) fn new(rate: Rate) -> Self {
        let interval = rate.per_second().map(|rate| Duration::from_secs_f64(1.0 / rate));
        Self { interval, due: Mutex::new(Instant::now()) }
    }

    /// Wait until so many events are due; `false` if the shop closes before.
    pub(super) async fn turn(&self, events: u64, closing: &CancellationToken) -> bool {
        let due = self.book(events);
        tokio::select! {
            biased;
            () = closing.cancelled() => false,
            () = sleep_until(due) => true,
        }
    }

    /// Give back the time of events that did not happen.
    pub(super) fn give_back(&self, events: u64) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = due.checked_sub(self.time_for(events)) {
            *due = earlier;
        }
    }

    /// Take the time for so many events; when it begins.
    fn book(&self, events: u64) -> Instant {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mine = now.checked_sub(LARGEST_BACKLOG).map_or(*due, |earliest| earliest.max(*due));
        *due = mine + self.time_for(events);
        mine
    }

    /// How long so many events take.
    fn time_for(&self, events: u64) -> Duration {
        self.interval.unwrap_or_default().saturating_mul(u32::try_from(events).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_gives_exactly_what_it_has() {
        let budget = Budget::new(Some(5));
        assert_eq!([budget.take(3), budget.take(3), budget.take(3)], [3, 2, 0]);
        assert!(budget.is_spent());
        assert!(!Budget::new(None).is_spent());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_kept_and_unused_time_comes_back() {
        let (pace, never) = (Pace::new("100".parse().unwrap()), CancellationToken::new());
        let begun = Instant::now();
        for _ in 0..50 {
            assert!(pace.turn(2, &never).await);
        }
        // The last of them only waits for the others.
        assert_eq!(begun.elapsed().as_millis(), 980);
        pace.give_back(2);
        assert!(pace.turn(1, &never).await);
        assert_eq!(begun.elapsed().as_millis(), 980);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_the_wait() {
        let (pace, closing) = (Pace::new("0.1".parse().unwrap()), CancellationToken::new());
        assert!(pace.turn(1, &closing).await);
        closing.cancel();
        assert!(!pace.turn(1, &closing).await);
    }
}
