//! Which snapshots wait for everything before them to be stored, and when another one is needed; pure.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::{lsn::Lsn, preflight::Seen};

/// How long after one snapshot the next is taken.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many wait at the most. With more than a second between them from then on, status comes that much later.
const MOST: usize = 64;

/// The snapshots of one term.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// The oldest first; positions rise.
    waiting: VecDeque<Seen>,
    /// Transactions with rows that no snapshot showed so far: those that commit while they are sent already, and all of
    /// which the log told since.
    unseen: Vec<u32>,
    /// One is needed whatever is unseen.
    is_needed: bool,
    /// When the next may be taken at the earliest; at once if none was taken.
    next: Option<Instant>,
}

impl Snapshots {
    /// Something may be delivered of which nothing tells.
    pub(super) fn need_one(&mut self) {
        self.is_needed = true;
    }

    /// These transactions are to be seen in the next snapshot.
    pub(super) fn wait_for(&mut self, transactions: Vec<u32>) {
        self.unseen.extend(transactions);
    }

    /// When to take the next, if one is needed.
    pub(super) fn next(&self, is_waiting: bool, now: Instant) -> Option<Instant> {
        let is_needed = is_waiting || self.is_needed || !self.unseen.is_empty();
        is_needed.then(|| self.next.unwrap_or(now))
    }

    /// This one was taken. It waits if it shows anything new.
    pub(super) fn took(&mut self, seen: Seen, now: Instant) {
        self.next = Some(now + INTERVAL);
        let before = self.unseen.len();
        self.unseen.retain(|xid| !seen.visibility.shows(*xid));
        if self.unseen.len() == before && !self.is_needed {
            return;
        }
        self.is_needed = false;
        if self.waiting.len() >= MOST {
            let mut is_kept = false;
            self.waiting.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        self.waiting.push_back(seen);
    }

    /// The last one before whose position all is stored, when that is up to `stored`.
    pub(super) fn ripe(&self, stored: Lsn) -> Option<&Seen> {
        self.waiting.iter().rev().find(|seen| seen.lsn <= stored)
    }

    /// What was ripe is written down.
    pub(super) fn written(&mut self, stored: Lsn) {
        self.waiting.retain(|seen| seen.lsn > stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Visibility;

    fn seen(text: &str, lsn: u64) -> Seen {
        Seen { visibility: Visibility::parse(text).unwrap(), lsn: Lsn::new(lsn) }
    }

    fn ripe(snapshots: &Snapshots, stored: u64) -> Option<u64> {
        snapshots.ripe(Lsn::new(stored)).map(|seen| seen.lsn.as_u64())
    }

    #[test]
    fn a_snapshot_waits_until_all_before_it_is_stored() {
        let (mut snapshots, now) = (Snapshots::default(), Instant::now());
        for (xid, lsn) in [(10, 100), (20, 200), (30, 300)] {
            snapshots.wait_for(vec![xid]);
            snapshots.took(seen(&format!("{0}:{0}:", xid + 1), lsn), now);
        }
        assert_eq!(ripe(&snapshots, 99), None);
        assert_eq!(ripe(&snapshots, 250), Some(200), "the later one says more");
        snapshots.written(Lsn::new(250));
        assert_eq!(ripe(&snapshots, 299), None);
        assert_eq!(ripe(&snapshots, 300), Some(300));
    }

    #[test]
    fn another_is_needed_until_every_transaction_was_seen_and_none_after_that() {
        let (mut snapshots, now) = (Snapshots::default(), Instant::now());
        assert_eq!(snapshots.next(false, now), None, "an idle outbox needs none");
        assert!(snapshots.next(true, now).is_some());
        snapshots.wait_for(vec![10, 12]);
        // 12 was sent and stored before its session has left the list of those that run.
        snapshots.took(seen("12:13:12", 100), now);
        assert_eq!(snapshots.next(false, now), Some(now + INTERVAL));
        snapshots.took(seen("12:20:12", 110), now);
        assert_eq!(ripe(&snapshots, 1000), Some(100), "the second one shows nothing new");
        snapshots.took(seen("20:20:", 120), now);
        assert_eq!((snapshots.next(false, now), ripe(&snapshots, 1000)), (None, Some(120)));
    }

    #[test]
    fn one_is_needed_when_nothing_is_known() {
        let (mut snapshots, now) = (Snapshots::default(), Instant::now());
        snapshots.need_one();
        assert_eq!(snapshots.next(false, now), Some(now));
        snapshots.took(seen("5:5:", 10), now);
        assert_eq!((snapshots.next(false, now), ripe(&snapshots, 10)), (None, Some(10)));
    }

    #[test]
    fn few_wait_however_long_nothing_is_stored() {
        let mut snapshots = Snapshots::default();
        for xid in 1..=1000 {
            snapshots.wait_for(vec![xid]);
            snapshots.took(seen(&format!("{0}:{0}:", xid + 1), u64::from(xid)), Instant::now());
            assert!(snapshots.waiting.len() <= MOST);
        }
        assert_eq!(ripe(&snapshots, 1000), Some(1000));
    }
}
