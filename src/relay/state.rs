//! The state machine at the heart of walpost; pure and synchronous.
//!
//! It sees what happens ([`Event`]) and says what to do ([`Effect`]); sockets, clocks and chance are its caller's. It
//! alone decides what is published, in which order, under which sequence, and what may be confirmed to Postgres.
//!
//! Every message is published under the sequence that the stream must give it, which the broker checks
//! (`Nats-Expected-Last-Sequence`), so the order of [`Effect::Publish`] is the order of the stream or nothing is stored
//! at all. Acks are only counted as a contiguous prefix.
//!
//! Invariants:
//! - [`Relay::confirmed`] is the end of a transaction whose every event is stored, or an idle position that the server
//!   named when everything before it was stored; it never decreases (I1, I5).
//! - A place at or before the one that the stream already holds is never published (I4).
//! - Places that are published rise strictly (I3).
//! - At most `max_in_flight` messages, and `max_in_flight_bytes` plus one row, are unacknowledged (I7).

use std::{collections::VecDeque, fmt};

use tokio::time::Instant;

use crate::{lsn::Lsn, position::Place, publish::Outcome};

/// How much may be on its way to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages without an answer.
    pub max_in_flight: usize,
    /// Bytes of their rows.
    pub max_in_flight_bytes: usize,
}

/// What the stream holds when a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The stream's last sequence; 0 if nothing was ever stored.
    pub last_sequence: u64,
    /// The place of its last event; `None` if there is none to go by.
    pub stored: Option<Place>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A committed transaction begins to arrive.
    Begin {
        /// Where its commit record begins.
        commit_lsn: Lsn,
        /// When it committed, in microseconds since 2000-01-01 UTC by the server's clock.
        commit_time_us: i64,
    },
    /// A row of the outbox in it.
    Row {
        /// Its size in the log, in bytes.
        bytes: usize,
        /// When it was taken up.
        now: Instant,
    },
    /// The transaction is complete.
    Commit {
        /// Where its commit record begins: must be that of its beginning.
        commit_lsn: Lsn,
        /// Where the log goes on after it.
        end_lsn: Lsn,
    },
    /// Everything that commits at or before `wal_end` has been sent.
    Keepalive {
        /// That position.
        wal_end: Lsn,
    },
    /// The broker answered the message that was published under `sequence`.
    Ack {
        /// The sequence that the message was published under.
        sequence: u64,
        /// What the broker said.
        outcome: Outcome,
        /// When it was heard.
        now: Instant,
    },
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The stream has this row already.
    Skip,
    /// Publish the row, as the message that follows `expected_last_sequence`.
    Publish {
        /// The sequence of the message before it.
        expected_last_sequence: u64,
        /// Where the row stands in the log.
        place: Place,
    },
    /// A message was stored.
    Stored {
        /// The size of its row, in bytes.
        bytes: usize,
        /// When its transaction committed, in microseconds since 2000-01-01 UTC by the server's clock.
        commit_time_us: i64,
    },
    /// The broker had stored an event with this id before and left the stream as it was.
    Duplicate,
    /// Stop, throw away what is queued, and begin again from what the stream holds.
    Stop(StopReason),
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The broker refused a message; nothing behind it is stored either.
    Refused {
        /// The sequence that the message would have got.
        sequence: u64,
        /// What the broker said.
        outcome: Outcome,
    },
    /// The broker stored the message elsewhere than where the chain expects it.
    OutOfPlace {
        /// The sequence that the chain expects.
        expected: u64,
        /// The sequence that the broker gave.
        got: u64,
    },
    /// An answer to a message that is not waiting for one.
    UnknownAck {
        /// The sequence that it names.
        sequence: u64,
    },
    /// The log's messages contradict each other.
    Log(LogFault),
}

/// How the messages of the log contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// A row or a commit outside of a transaction.
    Outside,
    /// A transaction inside a transaction.
    Nested,
    /// A transaction that ends with another commit than it began with.
    OtherCommit,
    /// A transaction that does not come after the one before it.
    Backwards,
    /// More rows in a transaction than an index can count.
    TooManyRows,
}

/// The state machine.
#[derive(Debug)]
pub struct Relay {
    window: Window,
    stored_at_start: Option<Place>,
    transaction: Option<Transaction>,
    last_commit_lsn: Lsn,
    /// Sequence of the last message that was published; range: `acked_sequence..`.
    published_sequence: u64,
    /// Sequence of the last message that is known to be stored; everything up to it is.
    acked_sequence: u64,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Positions that may be confirmed once the sequence beside them is stored; both rise.
    marks: VecDeque<Mark>,
    confirmed: Lsn,
    /// Whether the chain has been seen to hold: until then one message at a time, so that an id that the broker already
    /// knows cannot break the prediction for others.
    proven: bool,
    /// Since when the oldest message in flight has been the oldest.
    waiting_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    commit_lsn: Lsn,
    commit_time_us: i64,
    next_index: u32,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    bytes: usize,
    commit_time_us: i64,
    /// Answered out of turn; counts only when everything before it is stored.
    stored: bool,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    sequence: u64,
    lsn: Lsn,
}

impl Relay {
    /// A session that continues where the stream ends.
    pub fn new(window: Window, resume: Resume) -> Self {
        Self {
            window,
            stored_at_start: resume.stored,
            transaction: None,
            last_commit_lsn: Lsn::ZERO,
            published_sequence: resume.last_sequence,
            acked_sequence: resume.last_sequence,
            in_flight: VecDeque::with_capacity(window.max_in_flight),
            in_flight_bytes: 0,
            marks: VecDeque::new(),
            confirmed: Lsn::ZERO,
            proven: false,
            waiting_since: None,
        }
    }

    /// Takes in one event. The caller does what is returned before it brings the next.
    pub fn apply(&mut self, event: Event) -> Effect {
        let effect = match event {
            Event::Begin { commit_lsn, commit_time_us } => self.begin(commit_lsn, commit_time_us),
            Event::Row { bytes, now } => self.row(bytes, now),
            Event::Commit { commit_lsn, end_lsn } => self.commit(commit_lsn, end_lsn),
            Event::Keepalive { wal_end } => self.keepalive(wal_end),
            Event::Ack { sequence, outcome, now } => self.ack(sequence, outcome, now),
        };
        debug_assert_eq!(self.published_sequence - self.acked_sequence, self.in_flight.len() as u64, "one entry each");
        effect
    }

    /// Whether another row may be taken up.
    pub fn has_room(&self) -> bool {
        let limit = if self.proven { self.window.max_in_flight } else { 1 };
        self.in_flight.len() < limit && self.in_flight_bytes < self.window.max_in_flight_bytes
    }

    /// The position that may be confirmed to Postgres; [`Lsn::ZERO`] until there is one.
    pub fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    /// Messages without an answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Since when the oldest message without an answer has been waiting.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// When the transaction of the oldest message without an answer committed, in microseconds since 2000-01-01 UTC.
    pub fn oldest_commit_time_us(&self) -> Option<i64> {
        self.in_flight.front().map(|oldest| oldest.commit_time_us)
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

    fn row(&mut self, bytes: usize, now: Instant) -> Effect {
        let Some(transaction) = &mut self.transaction else {
            return Effect::Stop(StopReason::Log(LogFault::Outside));
        };
        let place = Place { commit_lsn: transaction.commit_lsn, index: transaction.next_index };
        let Some(next_index) = place.index.checked_add(1) else {
            return Effect::Stop(StopReason::Log(LogFault::TooManyRows));
        };
        transaction.next_index = next_index;
        if self.stored_at_start.is_some_and(|stored| place <= stored) {
            return Effect::Skip;
        }
        let commit_time_us = transaction.commit_time_us;
        self.in_flight.push_back(InFlight { bytes, commit_time_us, stored: false });
        self.in_flight_bytes += bytes;
        self.waiting_since.get_or_insert(now);
        let expected_last_sequence = self.published_sequence;
        self.published_sequence += 1;
        Effect::Publish { expected_last_sequence, place }
    }

    fn commit(&mut self, commit_lsn: Lsn, end_lsn: Lsn) -> Effect {
        let Some(transaction) = self.transaction.take() else {
            return Effect::Stop(StopReason::Log(LogFault::Outside));
        };
        if transaction.commit_lsn != commit_lsn || end_lsn < commit_lsn {
            return Effect::Stop(StopReason::Log(LogFault::OtherCommit));
        }
        self.last_commit_lsn = commit_lsn;
        self.mark(end_lsn);
        Effect::None
    }

    /// Inside a transaction a keepalive says nothing about it, so it confirms nothing.
    fn keepalive(&mut self, wal_end: Lsn) -> Effect {
        if self.transaction.is_none() {
            self.mark(wal_end);
        }
        Effect::None
    }

    /// Remembers that `lsn` may be confirmed when everything that was published so far is stored.
    fn mark(&mut self, lsn: Lsn) {
        let sequence = self.published_sequence;
        match self.marks.back_mut() {
            Some(last) if last.sequence == sequence => last.lsn = last.lsn.max(lsn),
            _ => self.marks.push_back(Mark { sequence, lsn }),
        }
        self.settle_marks();
    }

    fn ack(&mut self, sequence: u64, outcome: Outcome, now: Instant) -> Effect {
        let offset = sequence.checked_sub(self.acked_sequence + 1).and_then(|offset| usize::try_from(offset).ok());
        let waiting = self.in_flight.len();
        let Some(entry) = offset.and_then(|offset| self.in_flight.get_mut(offset)).filter(|entry| !entry.stored) else {
            return Effect::Stop(StopReason::UnknownAck { sequence });
        };
        match outcome {
            Outcome::Stored { sequence: got } if got == sequence => {
                entry.stored = true;
                let InFlight { bytes, commit_time_us, .. } = *entry;
                self.proven = true;
                self.settle_acks(now);
                Effect::Stored { bytes, commit_time_us }
            }
            Outcome::Stored { sequence: got } => Effect::Stop(StopReason::OutOfPlace { expected: sequence, got }),
            // The stream did not grow, so the message after this one would need another sequence than it was sent with.
            // Alone in flight, it is simply passed over; otherwise those behind it are refused and the session stops.
            Outcome::Duplicate { .. } if waiting == 1 => {
                self.forget_last();
                Effect::Duplicate
            }
            outcome => Effect::Stop(StopReason::Refused { sequence, outcome }),
        }
    }

    /// Takes the only message in flight back: the stream has its event already, under an earlier sequence.
    fn forget_last(&mut self) {
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.waiting_since = None;
        self.published_sequence = self.acked_sequence;
        for mark in &mut self.marks {
            mark.sequence = mark.sequence.min(self.acked_sequence);
        }
        self.settle_marks();
    }

    /// Moves the stored prefix over every message that is stored in a row.
    fn settle_acks(&mut self, now: Instant) {
        while let Some(front) = self.in_flight.front().filter(|front| front.stored) {
            self.in_flight_bytes -= front.bytes;
            self.in_flight.pop_front();
            self.acked_sequence += 1;
            self.waiting_since = Some(now);
        }
        if self.in_flight.is_empty() {
            self.waiting_since = None;
        }
        self.settle_marks();
    }

    fn settle_marks(&mut self) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.sequence <= self.acked_sequence) {
            self.confirmed = self.confirmed.max(mark.lsn);
            self.marks.pop_front();
        }
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "a change came outside of a transaction",
            Self::Nested => "a transaction began inside another one",
            Self::OtherCommit => "a transaction ended with another commit than it began with",
            Self::Backwards => "a transaction did not come after the one before it",
            Self::TooManyRows => "a transaction has more rows than walpost can count",
        })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { sequence, outcome } => {
                write!(f, "the broker did not store message {sequence} of the chain: {outcome}")
            }
            Self::OutOfPlace { expected, got } => {
                write!(f, "the broker stored message {expected} of the chain as {got}")
            }
            Self::UnknownAck { sequence } => write!(f, "an answer came for message {sequence}, which awaits none"),
            Self::Log(fault) => write!(f, "the replication stream contradicts itself: {fault}"),
        }
    }
}

#[cfg(test)]
mod tests;
