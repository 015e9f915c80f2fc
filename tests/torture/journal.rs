//! What was seen on the wires, in one order: written down before it is passed on.
//!
//! Nothing here comes from the program itself. An answer of a server is in the journal before walpost can know it; a
//! word of walpost's is in the journal after it has been said. So whatever walpost says, the journal already holds all
//! that it can have known.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::time::Instant;
use uuid::Uuid;
use walpost::{lsn::Lsn, position::Place};

/// One life of one instance: a process between its start and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Life {
    /// The instance.
    pub(crate) instance: usize,
    /// Its number among the lives of this instance, from 1.
    pub(crate) number: u32,
}

/// Something seen.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// When.
    pub(crate) at: Instant,
    /// On a connection of this process.
    pub(crate) life: Life,
    /// What.
    pub(crate) seen: Seen,
}

/// What can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Postgres sent a whole transaction, for the first time.
    Transaction {
        /// Where its commit record begins.
        commit_lsn: Lsn,
        /// Where it ends.
        end_lsn: Lsn,
        /// Its rows, in order.
        ids: Vec<Uuid>,
    },
    /// Postgres sent a transaction that somebody was sent before.
    Again {
        /// Where its commit record begins.
        commit_lsn: Lsn,
        /// How many rows it has.
        rows: usize,
    },
    /// Walpost told Postgres how far it is.
    Status {
        /// What it calls safe: the larger one of flushed and applied.
        flushed: Lsn,
    },
    /// Walpost published.
    Published {
        /// Under this id.
        id: Uuid,
        /// As this place of the log.
        place: Place,
    },
    /// The broker answered to a message.
    Answered(Answer),
    /// The broker said that the stream reaches at least to here.
    Tail {
        /// A sequence.
        sequence: u64,
    },
}

/// The broker's answer to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The message, where it is known.
    pub(crate) id: Option<Uuid>,
    /// The sequence; 0 if it was not stored.
    pub(crate) sequence: u64,
    /// Whether the broker calls it a repetition.
    pub(crate) is_duplicate: bool,
    /// JetStream's error number; 0 without an error.
    pub(crate) error: u32,
    /// Whether walpost was given it.
    pub(crate) is_delivered: bool,
}

impl Answer {
    /// Whether walpost may take from it that the message is stored.
    pub(crate) fn confirms(&self) -> bool {
        self.sequence > 0 && self.error == 0 && self.is_delivered
    }
}

/// The journal. A handle; all handles write to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    entries: Vec<Entry>,
    transactions: HashSet<Lsn>,
}

impl Journal {
    /// Writes down what was seen.
    pub(crate) fn note(&self, life: Life, seen: Seen) {
        let mut pages = self.pages();
        let seen = match seen {
            Seen::Transaction { commit_lsn, ids, .. } if !pages.transactions.insert(commit_lsn) => {
                Seen::Again { commit_lsn, rows: ids.len() }
            }
            seen => seen,
        };
        pages.entries.push(Entry { at: Instant::now(), life, seen });
    }

    /// How many entries there are: a mark to look on from.
    pub(crate) fn end(&self) -> usize {
        self.pages().entries.len()
    }

    /// The first entry after `mark` that is wanted.
    pub(crate) fn first_since(&self, mark: usize, is_wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        self.pages().entries[mark..].iter().find(|entry| is_wanted(entry)).cloned()
    }

    /// Everything.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.pages().entries.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }
}
