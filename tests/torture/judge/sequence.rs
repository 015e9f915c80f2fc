//! How far the stream must reach before a position may be confirmed.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;
use walpost::lsn::Lsn;

use super::{Message, Row};
use crate::journal::{Entry, Seen};

/// For each position the sequence that the last event before it has in the stream.
#[derive(Debug)]
pub(super) struct Confirmations {
    /// Where commit records begin, in order, and the highest sequence of all events up to there.
    commits: Vec<(Lsn, u64)>,
}

impl Confirmations {
    /// From the transactions that Postgres sent. An event that is in no stream is never confirmed rightly.
    pub(super) fn needed(journal: &[Entry], stream: &[Message], table: &BTreeMap<Uuid, Row>) -> Self {
        let mut sequences: HashMap<Uuid, u64> = HashMap::new();
        for message in stream {
            // Of several the first: from then on it was stored.
            sequences.entry(message.id).or_insert(message.sequence);
        }
        let mut commits: Vec<(Lsn, u64)> = Vec::new();
        for entry in journal {
            let Seen::Transaction { commit_lsn, ids, .. } = &entry.seen else { continue };
            let committed = ids.iter().filter(|id| table.contains_key(id));
            let last = committed.map(|id| sequences.get(id).copied().unwrap_or(u64::MAX)).max();
            commits.extend(last.map(|last| (*commit_lsn, last)));
        }
        commits.sort_unstable();
        let mut highest = 0;
        for (_, sequence) in &mut commits {
            highest = (*sequence).max(highest);
            *sequence = highest;
        }
        Self { commits }
    }

    /// What the stream must reach before `position` may be confirmed; 0 if nothing lies before it.
    pub(super) fn up_to(&self, position: Lsn) -> u64 {
        let before = self.commits.partition_point(|(commit_lsn, _)| *commit_lsn < position);
        before.checked_sub(1).map_or(0, |last| self.commits[last].1)
    }
}
