//! When to read the log: at once while events are rare, late and much while they are many.
//!
//! A walsender writes one message at a time, three for a transaction of one row. A reader that wakes for each publishes one
//! event at a time, and so do the broker and the answers: ten times the CPU time of reading many at once. Where cores are
//! scarce that takes the time from the walsender itself, which falls behind, and whoever is behind in this way stays so.
//! See `docs/adr/0024-many-events-are-read-by-the-tick.md`.

use std::time::Duration;

use tokio::time::Instant;

/// One tick of the timer: how long to leave the log alone, and how often an event must come for that.
const TICK: Duration = Duration::from_millis(1);
/// Over how long events are counted: a burst of a few is not many.
const SPAN: Duration = Duration::from_millis(20);

/// Counts events, and says when to read next.
#[derive(Debug)]
pub(super) struct Pace {
    span_began: Instant,
    /// Since then.
    events: u32,
    are_many: bool,
    read_at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { span_began: now, events: 0, are_many: false, read_at: now }
    }

    /// An event was published.
    pub(super) fn count(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// The log was read.
    pub(super) fn has_read(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.span_began);
        if span >= SPAN {
            self.are_many = TICK * self.events >= span;
            (self.span_began, self.events) = (now, 0);
        }
        self.read_at = if self.are_many { now + TICK } else { now };
    }

    /// When to read next.
    pub(super) fn read_at(&self) -> Instant {
        self.read_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many events, one after each pause; the longest time that the log was left alone afterwards.
    fn longest_rest(pace: &mut Pace, mut now: Instant, events: u32, pause: Duration) -> (Duration, Instant) {
        let mut longest = Duration::ZERO;
        for _ in 0..events {
            now = pace.read_at().max(now + pause);
            pace.has_read(now);
            pace.count();
            longest = longest.max(pace.read_at() - now);
        }
        (longest, now)
    }

    #[test]
    fn rare_events_are_read_at_once() {
        let now = Instant::now();
        let rest = longest_rest(&mut Pace::new(now), now, 1000, Duration::from_millis(2));
        assert_eq!(rest.0, Duration::ZERO);
    }

    #[test]
    fn many_events_are_read_by_the_tick() {
        let now = Instant::now();
        let rest = longest_rest(&mut Pace::new(now), now, 1000, Duration::from_micros(400));
        assert_eq!(rest.0, TICK);
    }

    #[test]
    fn the_first_event_after_a_rest_is_read_at_once_and_so_is_the_next() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let (rest, now) = longest_rest(&mut pace, now, 1000, Duration::from_micros(100));
        assert_eq!(rest, TICK);
        let (rest, _) = longest_rest(&mut pace, now, 3, Duration::from_secs(1));
        assert_eq!(rest, Duration::ZERO);
    }

    #[test]
    fn a_burst_of_a_few_changes_nothing() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        for second in 0..10 {
            let begin = now + Duration::from_secs(second);
            assert_eq!(longest_rest(&mut pace, begin, 10, Duration::from_micros(10)).0, Duration::ZERO);
        }
    }
}
