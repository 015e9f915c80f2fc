//! A model of Postgres: the log, the slot, and the one walsender that may read from it.
//!
//! What matters to delivery is modelled and nothing else: in which order committed transactions are sent, from where a
//! reader is served, which keepalives come in between, and what is left of the slot's position after a crash.

use std::collections::VecDeque;

use crate::chance::Chance;

/// A committed transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    /// Where its commit record begins.
    pub(crate) commit_lsn: u64,
    /// Where the log goes on after it.
    pub(crate) end_lsn: u64,
    /// Its first event, by number.
    pub(crate) first: u64,
    /// How many it has.
    pub(crate) events: u64,
}

/// A committed row of the outbox. Events are numbered in the order of commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// What stands for its aggregate.
    pub(crate) key: u64,
    /// Its id; the number itself unless an id is used twice.
    pub(crate) id: u64,
}

/// What a walsender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Begin { commit_lsn: u64 },
    Row { event: u64 },
    Commit { commit_lsn: u64, end_lsn: u64 },
    Keepalive { wal_end: u64 },
}

/// One replication connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    /// What the server sent and nobody read.
    pub(crate) frames: VecDeque<Frame>,
    /// Confirmed positions that the server has not read.
    pub(crate) feedback: VecDeque<u64>,
    /// Whether the server still serves it.
    pub(crate) is_open: bool,
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLog {
    Down,
    InUse,
}

/// What versions of Postgres do differently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// An older position in a status update moves the slot back (before the fix of 2025).
    pub(crate) slot_goes_back: bool,
    /// A clean stop saves the slot's position (version 17 on).
    pub(crate) saves_at_stop: bool,
}

/// The server.
#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    pub(crate) is_up: bool,
    /// Where the log ends.
    pub(crate) end: u64,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) events: Vec<Event>,
    /// The slot's position, and what a crash leaves of it.
    pub(crate) confirmed: u64,
    pub(crate) saved: u64,
    pub(crate) wires: Vec<Wire>,
    /// The connection that has the slot.
    pub(crate) reader: Option<usize>,
    habits: Habits,
    /// The next transaction to send, and the next event of it if it is begun.
    cursor: usize,
    inside: Option<u64>,
    sent: u64,
    /// How many events were ever sent.
    pub(crate) ever_sent: u64,
}

impl Postgres {
    pub(crate) fn new(habits: Habits) -> Self {
        Self {
            is_up: true,
            end: 1000,
            transactions: Vec::new(),
            events: Vec::new(),
            confirmed: 1000,
            saved: 1000,
            wires: Vec::new(),
            reader: None,
            habits,
            cursor: 0,
            inside: None,
            sent: 0,
            ever_sent: 0,
        }
    }

    /// An application commits a transaction with the last `count` of the events.
    pub(crate) fn commit(&mut self, count: u64) {
        let first = self.events.len() as u64 - count;
        let commit_lsn = self.end + 10 * count;
        self.end = commit_lsn + 7;
        self.transactions.push(Transaction { commit_lsn, end_lsn: self.end, first, events: count });
    }

    /// Log of other tables, or of a transaction that rolled back.
    pub(crate) fn write_other_log(&mut self, bytes: u64) {
        self.end += bytes;
    }

    /// A reader asks for the slot. It is sent what commits at or after the later of its position and the slot's.
    pub(crate) fn start(&mut self, from: u64) -> Result<usize, NoLog> {
        if !self.is_up {
            return Err(NoLog::Down);
        }
        if self.reader.is_some() {
            return Err(NoLog::InUse);
        }
        let from = from.max(self.confirmed);
        self.cursor = self.transactions.partition_point(|transaction| transaction.commit_lsn < from);
        self.inside = None;
        // Decoding begins earlier than sending does, and keepalives name where it is.
        self.sent = self.saved.min(self.confirmed);
        self.wires.push(Wire { is_open: true, ..Wire::default() });
        self.reader = Some(self.wires.len() - 1);
        Ok(self.wires.len() - 1)
    }

    /// The walsender sends this many frames, as far as there is something to send.
    pub(crate) fn send(&mut self, frames: u64) {
        for _ in 0..frames {
            let Some(wire) = self.reader else { return };
            let Some(transaction) = self.transactions.get(self.cursor) else {
                self.sent = self.end;
                return;
            };
            let Transaction { commit_lsn, end_lsn, first, events } = *transaction;
            let frame = match self.inside {
                None => {
                    self.inside = Some(first);
                    Frame::Begin { commit_lsn }
                }
                Some(event) if event < first + events => {
                    self.inside = Some(event + 1);
                    self.ever_sent = self.ever_sent.max(event + 1);
                    Frame::Row { event }
                }
                Some(_) => {
                    self.inside = None;
                    self.cursor += 1;
                    self.sent = end_lsn;
                    Frame::Commit { commit_lsn, end_lsn }
                }
            };
            self.wires[wire].frames.push_back(frame);
        }
    }

    /// A keepalive. Inside a transaction it may name a position behind that transaction's commit.
    pub(crate) fn keepalive(&mut self, chance: &mut Chance) {
        let Some(wire) = self.reader else { return };
        let wal_end = match (self.inside, self.transactions.get(self.cursor)) {
            (Some(_), Some(transaction)) if chance.one_in(2) => transaction.end_lsn,
            _ => self.sent,
        };
        self.wires[wire].frames.push_back(Frame::Keepalive { wal_end });
    }

    /// The walsender reads one status update; the position in it.
    pub(crate) fn hear(&mut self) -> Option<u64> {
        let lsn = self.wires[self.reader?].feedback.pop_front()?;
        if lsn > 0 {
            self.confirmed = if self.habits.slot_goes_back { lsn } else { self.confirmed.max(lsn) };
        }
        Some(lsn)
    }

    /// A checkpoint: from now on a crash leaves the slot where it is now.
    pub(crate) fn checkpoint(&mut self) {
        self.saved = self.confirmed;
    }

    /// The replication connection ends; what was sent can still be read.
    pub(crate) fn disconnect(&mut self) {
        if let Some(wire) = self.reader.take() {
            self.wires[wire].is_open = false;
            self.wires[wire].feedback.clear();
        }
        self.inside = None;
    }

    /// Gone at once: the slot falls back to its last checkpoint.
    pub(crate) fn crash(&mut self) {
        self.disconnect();
        self.confirmed = self.saved;
        self.is_up = false;
    }

    /// Stopped in good order.
    pub(crate) fn stop(&mut self) {
        while self.hear().is_some() {}
        if self.habits.saves_at_stop {
            self.checkpoint();
        }
        self.crash();
    }

    /// How many events belong to transactions that are not sent again once `lsn` is confirmed.
    pub(crate) fn events_before(&self, lsn: u64) -> u64 {
        let index = self.transactions.partition_point(|transaction| transaction.commit_lsn < lsn);
        self.transactions.get(index).map_or(self.events.len() as u64, |transaction| transaction.first)
    }

    /// Where an event stands: the commit of its transaction, and its index there.
    pub(crate) fn place(&self, event: u64) -> (u64, u32) {
        let index = self.transactions.partition_point(|transaction| transaction.first + transaction.events <= event);
        let transaction = self.transactions[index];
        (transaction.commit_lsn, u32::try_from(event - transaction.first).unwrap())
    }

    /// The first event of the transaction that committed there.
    pub(crate) fn first_of(&self, commit_lsn: u64) -> u64 {
        let index = self.transactions.partition_point(|transaction| transaction.commit_lsn < commit_lsn);
        self.transactions[index].first
    }
}
