//! The state machine of delivery; synchronous and pure.
//!
//! What happens goes in as an [`Event`]; what to publish is asked for with [`Relay::due`]; sockets, clocks and chance
//! are the caller's. This alone decides what is published, in which order, under which sequence, and what may be
//! confirmed to Postgres. Rows stay here until they are stored, so that a broker may go and come back while the log
//! stays where it is.
//!
//! In [`Mode::Chain`] every message is published under the sequence that the stream must give it, and behind
//! the message before it, both of which the broker checks (`Nats-Expected-Last-Sequence`, and `-Msg-Id` while that
//! message has no answer): the order in which rows are due is the order of the stream, or nothing is
//! stored at all. In [`Mode::Shared`] the order of an aggregate is kept by having one message of it under way.
//!
//! Invariants:
//! - [`Relay::confirmed`] is the end of a transaction whose every event is stored, or an idle position that the server
//!   named when everything before it was stored; it never decreases (I1, I5).
//! - A place at or before the one that the stream already holds is never published (I4, chain), unless it lies in a gap.
//! - Places that are published rise strictly (I3, chain), those from gaps first; per key in shared mode.
//! - At most `max_in_flight` rows, and `max_in_flight_bytes` plus one row, are kept (I7).

mod hold_back;
mod resuming;

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    event::{Due, Effect, Event, LogFault, Mode, Resume, StopReason, Window},
    gaps::Gaps,
    lanes::Lanes,
    ledger::Ledger,
    watermark::Confirmed,
};
use crate::{lsn::Lsn, position::Place, publish::Outcome};

/// The state machine. `R` is what is kept of a row until it is stored.
#[derive(Debug)]
pub struct Relay<R> {
    mode: Mode,
    window: Window,
    stored_at_start: Option<Place>,
    /// Chain: where the stream may lack events before that place.
    gaps: Gaps,
    transaction: Option<Transaction>,
    last_commit_lsn: Lsn,
    /// The checkpoint of the last row that is known to be stored with everything before it.
    last_stored: Option<Place>,
    /// Chain: sequence of the last message that is known to be stored; everything up to it is.
    acked_sequence: u64,
    /// The ticket of the first row in `rows`; everything below it is stored.
    first_ticket: u64,
    /// Rows that are not known to be stored, in the order of the log.
    rows: VecDeque<Row<R>>,
    row_bytes: usize,
    /// Tickets whose turn it is, in order.
    ready: VecDeque<u64>,
    /// Messages without an answer; range: `0..=rows.len()`.
    unanswered: usize,
    lanes: Lanes,
    ledger: Ledger,
    /// Whether the chain has been seen to hold: until then one message at a time, so that an id that the broker already
    /// knows cannot break the prediction for others.
    proven: bool,
    /// Since when the broker owes the answer to the first message that has none: since that was sent, or since the one
    /// before it was answered.
    waiting_since: Option<Instant>,
    /// Chain: when the stream was last known to hold all that was known to be stored.
    seen_whole: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    commit_lsn: Lsn,
    commit_time_us: i64,
    next_index: u32,
}

#[derive(Debug)]
struct Row<R> {
    row: R,
    place: Place,
    /// Its place, or that of the event that the stream ended with before a displaced one went to the end. These rise.
    checkpoint: Place,
    key: u64,
    bytes: usize,
    commit_time_us: i64,
    fate: Fate,
    /// When it was handed over last.
    sent: Option<Instant>,
}

/// How far a row has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Not handed to this broker connection.
    Waiting,
    /// Handed over, no answer yet.
    Sent,
    /// Stored; counts only when everything before it is.
    Stored,
}

impl<R> Relay<R> {
    /// Delivery that continues where the stream ends, and confirms a position `hold_back` after everything before it
    /// was stored. Rows in `gaps` go to the end of the stream when the log has them.
    pub fn new(mode: Mode, window: Window, hold_back: Duration, resume: Resume, gaps: Gaps) -> Self {
        Self {
            mode,
            window,
            stored_at_start: resume.stored,
            gaps,
            transaction: None,
            last_commit_lsn: Lsn::ZERO,
            last_stored: resume.stored,
            acked_sequence: resume.last_sequence,
            first_ticket: 0,
            rows: VecDeque::new(),
            row_bytes: 0,
            ready: VecDeque::new(),
            unanswered: 0,
            lanes: Lanes::default(),
            ledger: Ledger::new(hold_back),
            proven: mode == Mode::Shared,
            waiting_since: None,
            seen_whole: None,
        }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: Event<R>) -> Effect {
        let effect = match event {
            Event::Begin { commit_lsn, commit_time_us } => self.begin(commit_lsn, commit_time_us),
            Event::Row { row, bytes, key } => self.row(row, bytes, key),
            Event::Commit { commit_lsn, end_lsn, now } => self.commit(commit_lsn, end_lsn, now),
            Event::Keepalive { wal_end, now } => self.keepalive(wal_end, now),
            Event::Ack { ticket, outcome, now } => self.ack(ticket, outcome, now),
        };
        self.check();
        effect
    }

    /// The row that must be published next, if it is anybody's turn. It counts as handed over.
    pub fn due(&mut self, now: Instant) -> Option<Due<'_, R>> {
        if !self.proven && self.unanswered > 0 {
            return None;
        }
        let ticket = self.ready.pop_front()?;
        let index = usize::try_from(ticket - self.first_ticket).ok()?;
        let expected_last_sequence = (self.mode == Mode::Chain).then(|| self.acked_sequence + index as u64);
        let row = self.rows.get_mut(index)?;
        debug_assert_eq!(row.fate, Fate::Waiting, "a row has one turn for each connection");
        row.fate = Fate::Sent;
        row.sent = Some(now);
        self.unanswered += 1;
        self.waiting_since.get_or_insert(now);
        // Somebody else's message can take the place of the one before: the sequence holds then, and the chain does not.
        let before = index.checked_sub(1).filter(|_| self.mode == Mode::Chain);
        let before = before.and_then(|before| self.rows.get(before));
        let (before, previous) = (before.map(|before| &before.row), before.map(|before| before.checkpoint));
        let row = self.rows.get(index)?;
        let Row { place, checkpoint, row, .. } = row;
        Some(Due { ticket, expected_last_sequence, before, previous, place: *place, checkpoint: *checkpoint, row })
    }

    /// What the stream is known to hold: nothing up to that sequence is missing.
    pub fn known(&self) -> Resume {
        Resume { last_sequence: self.acked_sequence, stored: self.last_stored }
    }

    /// Whether another row may be taken up.
    pub fn has_room(&self) -> bool {
        self.rows.len() < self.window.max_in_flight && self.row_bytes < self.window.max_in_flight_bytes
    }

    /// The position that may be confirmed to Postgres, and the last event before it.
    pub fn confirmed(&self) -> Confirmed {
        self.ledger.confirmed()
    }

    /// Rows that are not known to be stored.
    pub fn in_flight(&self) -> usize {
        self.rows.len()
    }

    /// Since when the broker owes the answer to the first message that has none.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// When the transaction of the oldest row that is not known to be stored committed, in microseconds since
    /// 2000-01-01 UTC.
    pub fn oldest_commit_time_us(&self) -> Option<i64> {
        self.rows.front().map(|oldest| oldest.commit_time_us)
    }

    fn begin(&mut self, commit_lsn: Lsn, commit_time_us: i64) -> Effect {
        if self.transaction.is_some() {
            return Effect::Stop(StopReason::Log(LogFault::Nested));
        }
        if commit_lsn <= self.last_commit_lsn {
            return Effect::Stop(StopReason::Log(LogFault::Backwards));
        }
        self.transaction = Some(Transaction { commit_lsn, commit_time_us, next_index: 0 });
        Effect::None
    }

    fn row(&mut self, row: R, bytes: usize, key: u64) -> Effect {
        let Some(transaction) = &mut self.transaction else {
            return Effect::Stop(StopReason::Log(LogFault::Outside));
        };
        let place = Place { commit_lsn: transaction.commit_lsn, index: transaction.next_index };
        let Some(next_index) = place.index.checked_add(1) else {
            return Effect::Stop(StopReason::Log(LogFault::TooManyRows));
        };
        transaction.next_index = next_index;
        let displaced_before = self.stored_at_start.filter(|stored| place <= *stored);
        if displaced_before.is_some() && !self.gaps.hold(place) {
            return Effect::Skip;
        }
        let checkpoint = displaced_before.unwrap_or(place);
        let commit_time_us = transaction.commit_time_us;
        let ticket = self.next_ticket();
        self.rows.push_back(Row {
            row,
            place,
            checkpoint,
            key,
            bytes,
            commit_time_us,
            fate: Fate::Waiting,
            sent: None,
        });
        self.row_bytes += bytes;
        if self.mode == Mode::Chain || self.lanes.enter(key, ticket) {
            self.ready.push_back(ticket);
        }
        if displaced_before.is_some() { Effect::Displaced } else { Effect::Taken }
    }

    fn commit(&mut self, commit_lsn: Lsn, end_lsn: Lsn, now: Instant) -> Effect {
        let Some(transaction) = self.transaction.take() else {
            return Effect::Stop(StopReason::Log(LogFault::Outside));
        };
        if transaction.commit_lsn != commit_lsn || end_lsn < commit_lsn {
            return Effect::Stop(StopReason::Log(LogFault::OtherCommit));
        }
        self.last_commit_lsn = commit_lsn;
        self.mark(end_lsn, now);
        Effect::None
    }

    /// Inside a transaction a keepalive says nothing about it, so it confirms nothing.
    fn keepalive(&mut self, wal_end: Lsn, now: Instant) -> Effect {
        if self.transaction.is_none() {
            self.mark(wal_end, now);
        }
        Effect::None
    }

    /// Remembers that `lsn` may be confirmed when every row that was taken up so far is stored. What comes before the
    /// event that the stream ended with was confirmed by whoever stored that, or is with it.
    fn mark(&mut self, lsn: Lsn, now: Instant) {
        if self.stored_at_start.is_some_and(|stored| lsn <= stored.commit_lsn) {
            return;
        }
        let last = self.rows.back().map(|last| last.checkpoint).or(self.last_stored);
        self.ledger.mark(self.next_ticket(), lsn, last.filter(|_| self.mode == Mode::Chain));
        self.settle_ledger(now);
    }

    fn ack(&mut self, ticket: u64, outcome: Outcome, now: Instant) -> Effect {
        let index = ticket.checked_sub(self.first_ticket).and_then(|index| usize::try_from(index).ok());
        let awaited = |index: usize| Some((index, self.rows.get(index).filter(|row| row.fate == Fate::Sent)?.place));
        let Some((index, place)) = index.and_then(awaited) else {
            return Effect::Stop(StopReason::UnknownAck { ticket });
        };
        let expected = self.acked_sequence + 1 + index as u64;
        match (self.mode, outcome) {
            (Mode::Chain, Outcome::Stored { sequence: got }) if got != expected => {
                Effect::Stop(StopReason::OutOfPlace { expected, got })
            }
            (_, Outcome::Stored { .. }) => self.stored(index, now),
            (Mode::Shared, Outcome::Duplicate { .. }) => {
                self.stored(index, now);
                Effect::Duplicate
            }
            // The stream did not grow, so the message after this one would need another sequence than it was sent with.
            // Alone under way, it is simply passed over; otherwise those behind it are refused, and the stream is read
            // again. So it is when the broker knows more of the stream than we do.
            (Mode::Chain, Outcome::Duplicate { sequence })
                if self.unanswered == 1 && index == 0 && sequence <= self.acked_sequence =>
            {
                self.pass_over_first(now);
                Effect::Duplicate
            }
            (_, outcome) => Effect::Stop(StopReason::Refused { place, outcome }),
        }
    }

    fn stored(&mut self, index: usize, now: Instant) -> Effect {
        let Some(row) = self.rows.get_mut(index) else { return Effect::None };
        row.fate = Fate::Stored;
        let (key, bytes, commit_time_us, sent) = (row.key, row.bytes, row.commit_time_us, row.sent);
        self.unanswered -= 1;
        self.proven = true;
        // An answer that overtakes another one says nothing about that one: its time runs on.
        let since = if index == 0 { Some(now) } else { self.waiting_since };
        self.waiting_since = since.filter(|_| self.unanswered > 0);
        self.sees_whole(sent);
        if self.mode == Mode::Shared {
            self.ready.extend(self.lanes.leave(key));
        }
        self.settle(now);
        Effect::Stored { bytes, commit_time_us }
    }

    /// Takes back the first row, alone under way: the stream has its event already, under an earlier sequence.
    fn pass_over_first(&mut self, now: Instant) {
        if let Some(first) = self.rows.pop_front() {
            self.row_bytes -= first.bytes;
            self.first_ticket += 1;
        }
        self.unanswered = 0;
        self.waiting_since = None;
        self.settle_ledger(now);
    }

    /// Moves the stored prefix over every row that is stored without a gap.
    fn settle(&mut self, now: Instant) {
        while let Some(first) = self.rows.front().filter(|first| first.fate == Fate::Stored) {
            self.row_bytes -= first.bytes;
            self.last_stored = Some(first.checkpoint);
            self.rows.pop_front();
            self.first_ticket += 1;
            self.acked_sequence += 1;
        }
        self.settle_ledger(now);
    }

    fn next_ticket(&self) -> u64 {
        self.first_ticket + self.rows.len() as u64
    }

    fn check(&self) {
        debug_assert!(self.unanswered + self.ready.len() <= self.rows.len(), "a row waits, is under way, or is stored");
        debug_assert!(self.rows.front().is_none_or(|first| first.fate != Fate::Stored), "the prefix is settled");
        debug_assert_eq!(self.waiting_since.is_some(), self.unanswered > 0, "an answer is owed or not");
    }
}

#[cfg(test)]
mod tests;
