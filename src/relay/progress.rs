//! Where delivery stands, for everyone who only looks: metrics, `/status`, the live view.
//!
//! Plain atomics, written by the driver once per turn of its loop and read at any time. Counters only rise.

mod waits;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

pub use waits::Wait;

use crate::{lsn::Lsn, publish::PoisonReason};
use waits::Waits;

/// Upper bounds of the latency histogram, from commit to storage, in seconds: the steps double from 0.5 ms on, and the
/// last ones are for outages.
pub const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 5.0, 30.0, 300.0, 3600.0];

/// Seconds from the Unix epoch to that of Postgres, 2000-01-01 UTC.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// The shared account.
#[derive(Debug, Default)]
pub struct Progress {
    server_end: AtomicU64,
    received: AtomicU64,
    published: AtomicU64,
    confirmed: AtomicU64,
    /// Microseconds of the Unix epoch; 0 before the first.
    confirmed_at_us: AtomicU64,
    stored_at_us: AtomicU64,
    in_flight: AtomicU64,
    oldest_commit_time_us: AtomicU64,
    transactions: AtomicU64,
    sent: AtomicU64,
    events: AtomicU64,
    event_bytes: AtomicU64,
    duplicates: AtomicU64,
    skipped: AtomicU64,
    dropped_headers: AtomicU64,
    ignored_changes: AtomicU64,
    retries: AtomicU64,
    foreign: AtomicU64,
    foreign_looked_up_to: AtomicU64,
    displaced: AtomicU64,
    is_shared: AtomicBool,
    /// Something keeps events from being delivered.
    blocked: AtomicBool,
    /// By the place of the reason in [`PoisonReason::ALL`].
    dead_letters: [AtomicU64; PoisonReason::ALL.len()],
    latency: Latency,
    waits: Waits,
    table_described: Notify,
}

#[derive(Debug, Default)]
struct Latency {
    /// One count for each bound of [`LATENCY_BUCKETS_SECONDS`], then one for everything above.
    counts: [AtomicU64; LATENCY_BUCKETS_SECONDS.len() + 1],
    sum_us: AtomicU64,
}

/// One look at the account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The end of the server's log, as last heard.
    pub server_end: Lsn,
    /// The end of what was received.
    pub received: Lsn,
    /// The commit of the last transaction of which an event was handed to the broker.
    pub published: Lsn,
    /// What was confirmed to Postgres.
    pub confirmed: Lsn,
    /// When Postgres was last told something new, or there was nothing to tell.
    pub confirmed_at: Option<SystemTime>,
    /// When the stream last stored an event.
    pub stored_at: Option<SystemTime>,
    /// Messages without an answer.
    pub in_flight: u64,
    /// How long ago the oldest event that is received and not stored was committed.
    pub oldest_unstored: Duration,
    /// Committed transactions received.
    pub transactions: u64,
    /// Messages handed to the broker's connection, those that were sent again included.
    pub sent: u64,
    /// Events stored, dead letters included.
    pub events: u64,
    /// Bytes of their rows.
    pub event_bytes: u64,
    /// Events whose id the stream held already.
    pub duplicates: u64,
    /// Rows that the slot sent again and the stream held already.
    pub skipped: u64,
    /// Header entries that no message may carry.
    pub dropped_headers: u64,
    /// Changes that are no inserts into the outbox.
    pub ignored_changes: u64,
    /// How often delivery was taken up again after a fault.
    pub retries: u64,
    /// Messages of others in a stream that should be ours alone.
    pub foreign: u64,
    /// Events that such messages displaced, and that went to the end of the stream.
    pub displaced: u64,
    /// Whether the stream is not ours alone, so that less is promised.
    pub is_shared: bool,
    /// Dead letters made, by reason; every reason is there.
    pub dead_letters: Vec<(PoisonReason, u64)>,
    /// Stored events by latency: one count for each bound of [`LATENCY_BUCKETS_SECONDS`], then one for all above.
    pub latency_counts: Vec<u64>,
    /// Sum of the latencies.
    pub latency_sum: Duration,
    /// Time spent waiting, by what for; every kind is there.
    pub waited: Vec<(Wait, Duration)>,
}

impl Snapshot {
    /// How much log the slot holds back, in bytes.
    pub fn lag_bytes(&self) -> u64 {
        self.server_end.max(self.received).bytes_since(self.confirmed)
    }
}

impl Progress {
    /// Looks at everything.
    pub fn snapshot(&self) -> Snapshot {
        let lsn = |value: &AtomicU64| Lsn::new(value.load(Relaxed));
        let count = |value: &AtomicU64| value.load(Relaxed);
        let oldest = count(&self.oldest_commit_time_us);
        Snapshot {
            server_end: lsn(&self.server_end),
            received: lsn(&self.received),
            published: lsn(&self.published),
            confirmed: lsn(&self.confirmed),
            confirmed_at: moment(&self.confirmed_at_us),
            stored_at: moment(&self.stored_at_us),
            in_flight: count(&self.in_flight),
            oldest_unstored: if oldest == 0 { Duration::ZERO } else { age(oldest) },
            transactions: count(&self.transactions),
            sent: count(&self.sent),
            events: count(&self.events),
            event_bytes: count(&self.event_bytes),
            duplicates: count(&self.duplicates),
            skipped: count(&self.skipped),
            dropped_headers: count(&self.dropped_headers),
            ignored_changes: count(&self.ignored_changes),
            retries: count(&self.retries),
            foreign: count(&self.foreign),
            displaced: count(&self.displaced),
            is_shared: self.is_shared.load(Relaxed),
            dead_letters: PoisonReason::ALL.into_iter().zip(self.dead_letters.iter().map(count)).collect(),
            latency_counts: self.latency.counts.iter().map(count).collect(),
            latency_sum: Duration::from_micros(count(&self.latency.sum_us)),
            waited: self.waits.all(),
        }
    }

    /// The server's log ends at `lsn`.
    pub fn server_ends_at(&self, lsn: Lsn) {
        self.server_end.fetch_max(lsn.as_u64(), Relaxed);
    }

    /// Whether the stream is not ours alone.
    pub fn shares_stream(&self, is_shared: bool) {
        self.is_shared.store(is_shared, Relaxed);
    }

    /// The last `count` messages of a stream that ends at `last_sequence` are not ours. Each is counted once.
    pub fn foreign_messages(&self, last_sequence: u64, count: u64) {
        let looked_up_to = self.foreign_looked_up_to.fetch_max(last_sequence, Relaxed);
        self.foreign.fetch_add(count.min(last_sequence.saturating_sub(looked_up_to)), Relaxed);
    }

    /// Something keeps events from being delivered, until [`Progress::unblock`]; delivery will be tried again.
    pub fn block(&self) {
        self.blocked.store(true, Relaxed);
        self.retries.fetch_add(1, Relaxed);
    }

    /// Events are delivered, or there are none; whether that is news.
    pub fn unblock(&self) -> bool {
        self.is_blocked() && self.blocked.swap(false, Relaxed)
    }

    /// Whether something keeps events from being delivered.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Waits until the log describes a table: before its first row, and after each change of it or of its publication.
    pub async fn until_table_is_described(&self) {
        self.table_described.notified().await;
    }

    pub(super) fn table_is_described(&self) {
        self.table_described.notify_one();
    }

    pub(super) fn received(&self, lsn: Lsn) {
        self.received.fetch_max(lsn.as_u64(), Relaxed);
        self.server_ends_at(lsn);
    }

    pub(super) fn published(&self, lsn: Lsn) {
        self.published.fetch_max(lsn.as_u64(), Relaxed);
    }

    pub(super) fn confirmed(&self, lsn: Lsn) {
        let lsn = lsn.as_u64();
        if self.confirmed.fetch_max(lsn, Relaxed) < lsn || lsn >= self.received.load(Relaxed) {
            self.confirmed_at_us.store(unix_us(SystemTime::now()), Relaxed);
        }
    }

    /// Somebody waited for so long.
    pub fn waited(&self, wait: Wait, time: Duration) {
        self.waits.add(wait, time);
    }

    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub(super) fn waiting(&self, in_flight: usize, oldest_commit_time_us: Option<i64>) {
        self.in_flight.store(in_flight as u64, Relaxed);
        let oldest = oldest_commit_time_us.and_then(|time| u64::try_from(time).ok()).unwrap_or_default();
        self.oldest_commit_time_us.store(oldest, Relaxed);
    }

    /// Another process leads: what was on its way here is that one's now.
    pub fn stands_by(&self) {
        self.waiting(0, None);
    }

    pub(super) fn transaction_received(&self) {
        self.transactions.fetch_add(1, Relaxed);
    }

    /// An event was stored, as was heard at that moment.
    pub(super) fn event_stored(&self, bytes: usize, commit_time_us: i64, Moment(now): Moment) {
        self.events.fetch_add(1, Relaxed);
        self.event_bytes.fetch_add(bytes as u64, Relaxed);
        let latency = u64::try_from(commit_time_us).map(|commit| age_at(commit, now)).unwrap_or_default();
        self.latency.record(latency);
        self.stored_at_us.store(unix_us(now), Relaxed);
    }

    /// Events that turned out to be stored when the stream was read again, without an answer of their own.
    pub(super) fn found_stored(&self, count: usize) {
        self.events.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn duplicate(&self) {
        self.duplicates.fetch_add(1, Relaxed);
    }

    pub(super) fn skipped(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    pub(super) fn displaced(&self) {
        self.displaced.fetch_add(1, Relaxed);
    }

    pub(super) fn headers_dropped(&self, count: u64) {
        self.dropped_headers.fetch_add(count, Relaxed);
    }

    pub(super) fn change_ignored(&self) {
        self.ignored_changes.fetch_add(1, Relaxed);
    }

    pub(super) fn dead_letter(&self, reason: PoisonReason) {
        for (candidate, count) in PoisonReason::ALL.into_iter().zip(&self.dead_letters) {
            if candidate == reason {
                count.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Latency {
    fn record(&self, latency: Duration) {
        let seconds = latency.as_secs_f64();
        let bucket = LATENCY_BUCKETS_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Relaxed);
    }
}

/// A moment of the wall clock, for figures. Asked for once for many events: it costs as much as the rest of their figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(SystemTime);

impl Moment {
    /// This one.
    pub(super) fn now() -> Self {
        Self(SystemTime::now())
    }
}

/// The moment that was noted, if one was.
fn moment(unix_us: &AtomicU64) -> Option<SystemTime> {
    Some(unix_us.load(Relaxed)).filter(|us| *us > 0).map(|us| UNIX_EPOCH + Duration::from_micros(us))
}

/// A moment in microseconds of the Unix epoch.
fn unix_us(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// How long ago a moment of Postgres' clock was by ours; zero if the clocks disagree about its being past. Wall time
/// is used for nothing but such figures.
fn age(postgres_time_us: u64) -> Duration {
    age_at(postgres_time_us, SystemTime::now())
}

/// The same at another moment than this one.
fn age_at(postgres_time_us: u64, now: SystemTime) -> Duration {
    let then = UNIX_EPOCH + POSTGRES_EPOCH + Duration::from_micros(postgres_time_us);
    now.duration_since(then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_falls_into_the_first_bucket_that_holds_it() {
        let latency = Latency::default();
        for ms in [0, 1, 2, 3, 4_000_000] {
            latency.record(Duration::from_millis(ms));
        }
        let counts: Vec<u64> = latency.counts.iter().map(|count| count.load(Relaxed)).collect();
        assert_eq!(counts, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn lag_is_what_the_slot_holds_back() {
        let progress = Progress::default();
        progress.server_ends_at(Lsn::new(1000));
        progress.confirmed(Lsn::new(400));
        assert_eq!(progress.snapshot().lag_bytes(), 600);
    }

    #[test]
    fn the_last_confirmation_is_as_old_as_what_waits_for_one() {
        let progress = Progress::default();
        let noted = || std::mem::take(&mut progress.snapshot().confirmed_at).is_some();
        let forget = || progress.confirmed_at_us.store(0, Relaxed);
        progress.received(Lsn::new(1000));
        assert!(!noted());
        progress.confirmed(Lsn::new(400));
        assert!(noted(), "it rose");
        forget();
        progress.confirmed(Lsn::new(400));
        assert!(!noted(), "the rest waits");
        progress.confirmed(Lsn::new(1000));
        forget();
        progress.confirmed(Lsn::new(1000));
        assert!(noted(), "nothing waits");
    }
}
