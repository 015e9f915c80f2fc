//! What a daemon with one of the known bugs does differently; without one, nothing.

use walpost::{lsn::Lsn, position::Place, publish::Outcome, relay::Start};

use crate::{
    broker::Sent,
    daemon::check_place,
    judge::Violation,
    mutation::Mutation::{self, *},
    postgres::Frame,
    room::Room,
};

/// The mistakes of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Mistakes {
    mutation: Option<Mutation>,
    /// The newest position that was received.
    received: u64,
    /// A position that the bug confirms.
    wrong: u64,
    /// K4: the transaction whose event was taken.
    taken: Option<u64>,
    /// K4: the transaction that is arriving.
    arriving: u64,
    /// K5: events of the first transaction behind this one are skipped.
    skip_behind: Option<u64>,
    is_skipping: bool,
}

impl Mistakes {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        Self { mutation, received: 0, wrong: 0, taken: None, arriving: 0, skip_behind: None, is_skipping: false }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// A term begins.
    pub(crate) fn begin(&mut self, start: &mut Start, _room: &Room) {
        *self = Self::new(self.mutation);
        if self.is(MemoryTrimmedAtSlot) {
            start.lsn = Lsn::ZERO;
        }
    }

    /// A session begins.
    pub(crate) fn open(&mut self, start: &mut Start) {
        if self.is(MemoryTrimmedAtSlot) {
            start.resume.stored = None;
        }
        if self.is(OneEventPerLsn)
            && let Some(Place { commit_lsn, .. }) = start.resume.stored
        {
            self.taken = Some(commit_lsn.as_u64());
        }
        if self.is(SkipFirstNewTransaction) {
            self.skip_behind = start.resume.stored.map(|place| place.commit_lsn.as_u64());
        }
    }

    /// Whether the daemon takes the frame in.
    pub(crate) fn takes(&mut self, frame: Frame, _room: &Room) -> bool {
        match frame {
            Frame::Begin { commit_lsn } => {
                self.arriving = commit_lsn;
                if self.skip_behind.is_some_and(|behind| commit_lsn > behind) {
                    self.is_skipping = true;
                    self.skip_behind = None;
                }
            }
            Frame::Row { .. } => {
                let is_known = self.is(OneEventPerLsn) && self.taken == Some(self.arriving);
                self.taken = Some(self.arriving);
                return !is_known && !self.is_skipping;
            }
            Frame::Commit { end_lsn, .. } => {
                self.is_skipping = false;
                self.received = end_lsn;
            }
            Frame::Keepalive { wal_end } => self.received = self.received.max(wal_end),
        }
        true
    }

    /// What stands for the aggregate of an event.
    pub(crate) fn key(&self, key: u64, event: u64) -> u64 {
        if self.is(RetryOutOfOrder) { event } else { key }
    }

    /// What the message says about the one before it.
    pub(crate) fn expected(&self, expected: Option<u64>) -> Option<u64> {
        expected.filter(|_| !self.is(LateWithoutFence))
    }

    /// Which message must be the last one.
    pub(crate) fn behind(&self, before: Option<u64>) -> Option<u64> {
        before.filter(|_| !self.is(LateWithoutFence))
    }

    /// Whether the place of an event is right; not asked of a daemon that miscounts on purpose.
    pub(crate) fn check_place(&self, event: u64, place: Place, room: &Room) -> Result<(), Violation> {
        if self.mutation.is_some() { Ok(()) } else { check_place(event, place, room) }
    }

    /// The answer that is presumed as soon as a message is sent.
    pub(crate) fn presume(&self, expected: Option<u64>) -> Option<Outcome> {
        let sequence = expected? + 1;
        self.is(FireAndForget).then_some(Outcome::Stored { sequence })
    }

    /// What the daemon makes of an answer.
    pub(crate) fn answer(&self, outcome: Outcome, sent: Sent) -> Option<Outcome> {
        match (self.mutation, outcome, sent.publish.expected) {
            (Some(FireAndForget), _, _) => None,
            (Some(TrustDuplicateOfNothing), Outcome::Unclear, Some(expected)) => {
                Some(Outcome::Stored { sequence: expected + 1 })
            }
            (_, outcome, _) => Some(outcome),
        }
    }

    /// The broker stored an event.
    pub(crate) fn stored(&mut self, event: u64, room: &Room) {
        let transactions = &room.postgres.transactions;
        let index = transactions.partition_point(|transaction| transaction.first + transaction.events <= event);
        let transaction = transactions[index];
        let is_last = event + 1 == transaction.first + transaction.events;
        match self.mutation {
            Some(ConfirmOutOfOrder) if is_last => self.wrong = self.wrong.max(transaction.end_lsn),
            Some(ConfirmInsideTransaction) => self.wrong = self.wrong.max(transaction.end_lsn),
            Some(ConfirmNewest) => self.wrong = self.wrong.max(self.received),
            _ => {}
        }
    }

    /// The position that is confirmed, instead of the right one.
    pub(crate) fn confirmed(&self, right: u64) -> u64 {
        let wrong = if self.is(ConfirmOnReceive) { self.received } else { self.wrong };
        right.max(wrong)
    }

    /// How many of the queued messages still go out when the connection is given up.
    pub(crate) fn still_going_out(&self, chosen: usize, queued: usize) -> usize {
        if self.is(LateWithoutFence) { queued } else { chosen }
    }
}
