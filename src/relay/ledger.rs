//! What may be confirmed to Postgres, and when; pure.
//!
//! Positions of the log wait here until every row before them is stored, and after that for the hold-back: a broker
//! that loses power forgets what it acknowledged last, and only log that is not confirmed yet can bring it back. The
//! clock alone does not tell that it has not: the stream must have been seen to hold all after the hold-back was over.
//!
//! Invariants:
//! - [`Ledger::confirmed`] is only ever a position that was marked, whose every row is stored, and was still stored when the
//!   hold-back was over (I5); it never decreases.
//! - At most [`RIPENING_STEPS`] + 1 positions wait for the hold-back (I7).

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::watermark::{Confirmed, Stored};
use crate::{lsn::Lsn, position::Place};

/// Into how many steps the hold-back is divided: a position is confirmed at most one step late.
const RIPENING_STEPS: u32 = 32;

/// The account of positions.
#[derive(Debug)]
pub(super) struct Ledger {
    hold_back: Duration,
    /// Positions whose rows are not all stored; tickets and positions rise.
    marks: VecDeque<Mark>,
    /// Positions whose rows are stored, and that wait for the hold-back; times and positions rise.
    ripening: VecDeque<Ripening>,
    confirmed: Confirmed,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Every row below this ticket must be stored.
    ticket: u64,
    lsn: Lsn,
    /// The last event before it.
    event: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Ripening {
    opened: Instant,
    stored: Instant,
    confirmed: Confirmed,
}

impl Ledger {
    /// An empty account.
    pub(super) fn new(hold_back: Duration) -> Self {
        Self { hold_back, marks: VecDeque::new(), ripening: VecDeque::new(), confirmed: Confirmed::default() }
    }

    /// Remembers that `lsn` may be confirmed when every row below `ticket` is stored, of which `event` is the last.
    pub(super) fn mark(&mut self, ticket: u64, lsn: Lsn, event: Option<Place>) {
        match self.marks.back_mut() {
            Some(last) if last.ticket == ticket => last.lsn = last.lsn.max(lsn),
            _ => self.marks.push_back(Mark { ticket, lsn, event }),
        }
    }

    /// Every row below `ticket` is stored, the last of them under `sequence`, as was learnt at `now`; the stream was last
    /// seen to hold all at `seen`.
    pub(super) fn settle(&mut self, ticket: u64, sequence: u64, now: Instant, seen: Option<Instant>) {
        while let Some(&Mark { ticket: upto, lsn, event }) = self.marks.front().filter(|mark| mark.ticket <= ticket) {
            self.marks.pop_front();
            // Sequences rise by one from row to row.
            let sequence = sequence.saturating_sub(ticket - upto);
            self.ripen_later(Confirmed { lsn, event: event.map(|place| Stored { place, sequence }) }, now);
        }
        self.ripen(seen);
    }

    /// The stream was seen to hold all at `seen`.
    pub(super) fn ripen(&mut self, seen: Option<Instant>) {
        let is_ripe = |first: &&Ripening| seen.is_some_and(|seen| first.stored + self.hold_back <= seen);
        while let Some(first) = self.ripening.front().filter(is_ripe) {
            if first.confirmed.lsn > self.confirmed.lsn {
                self.confirmed = first.confirmed;
            }
            self.ripening.pop_front();
        }
    }

    /// Whether positions wait before they are confirmed.
    pub(super) fn holds_back(&self) -> bool {
        !self.hold_back.is_zero()
    }

    /// When [`Ledger::ripen`] will confirm more.
    pub(super) fn next_ripe(&self) -> Option<Instant> {
        self.ripening.front().map(|first| first.stored + self.hold_back)
    }

    /// The position that may be confirmed.
    pub(super) fn confirmed(&self) -> Confirmed {
        self.confirmed
    }

    /// Gathers what is stored within one step under the time of its last position, so that none is confirmed early.
    fn ripen_later(&mut self, confirmed: Confirmed, now: Instant) {
        let step = self.hold_back / RIPENING_STEPS;
        match self.ripening.back_mut() {
            Some(last) if now.saturating_duration_since(last.opened) < step => {
                last.stored = now;
                if confirmed.lsn > last.confirmed.lsn {
                    last.confirmed = confirmed;
                }
            }
            _ => self.ripening.push_back(Ripening { opened: now, stored: now, confirmed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_hold_back_a_position_is_confirmed_once_its_rows_are_stored() {
        let (mut ledger, now) = (Ledger::new(Duration::ZERO), Instant::now());
        ledger.mark(2, Lsn::new(20), None);
        ledger.settle(1, 1, now, Some(now));
        assert_eq!(ledger.confirmed(), Confirmed::default());
        ledger.settle(2, 2, now, Some(now));
        assert_eq!((ledger.confirmed().lsn, ledger.next_ripe()), (Lsn::new(20), None));
    }

    #[test]
    fn a_position_names_the_last_event_before_it_by_its_sequence() {
        let (mut ledger, now) = (Ledger::new(Duration::ZERO), Instant::now());
        let event = |lsn| Some(Place { commit_lsn: Lsn::new(lsn), index: 0 });
        ledger.mark(2, Lsn::new(20), event(19));
        ledger.mark(3, Lsn::new(30), event(29));
        ledger.settle(5, 105, now, Some(now));
        let stored = event(29).map(|place| Stored { place, sequence: 103 });
        assert_eq!(ledger.confirmed(), Confirmed { lsn: Lsn::new(30), event: stored });
    }

    #[test]
    fn positions_without_rows_between_them_take_one_place() {
        let mut ledger = Ledger::new(Duration::ZERO);
        for lsn in 0..1000 {
            ledger.mark(1, Lsn::new(lsn), None);
        }
        assert_eq!(ledger.marks.len(), 1);
    }

    proptest! {
        /// Whatever the times: no position is confirmed before the hold-back has passed, every one is within a step
        /// after it, and few are kept.
        #[test]
        fn nothing_is_confirmed_before_it_was_held_back(gaps_ms in prop::collection::vec(0u64..400, 1..200)) {
            let hold_back = Duration::from_millis(1000);
            let (mut ledger, start) = (Ledger::new(hold_back), Instant::now());
            let mut now = start;
            let mut stored: Vec<(Instant, u64)> = Vec::new();
            for (ticket, gap) in (1..).zip(gaps_ms) {
                now += Duration::from_millis(gap);
                ledger.mark(ticket, Lsn::new(ticket), None);
                ledger.settle(ticket, ticket, now, Some(now));
                stored.push((now, ticket));
                let latest = |age| {
                    stored.iter().filter(|(at, _)| *at + age <= now).map(|(_, lsn)| *lsn).max().unwrap_or_default()
                };
                let confirmed = ledger.confirmed().lsn.as_u64();
                prop_assert!(confirmed <= latest(hold_back), "early");
                prop_assert!(confirmed >= latest(hold_back + hold_back / RIPENING_STEPS), "late");
                prop_assert!(ledger.ripening.len() <= RIPENING_STEPS as usize + 1);
            }
        }
    }
}
