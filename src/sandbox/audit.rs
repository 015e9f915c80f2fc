//! The verdict's arithmetic: what was committed against what is stored. Pure; knows neither Postgres nor NATS.
//!
//! Input: every row of the outbox table, then every message of the stream in the stream's order. Output: [`Findings`].
//!
//! What walpost itself says about order is not asked. The truth about order are numbers that the application wrote: within
//! one [`Line`] (one order by its `version`, one clerk by its `entry`) a higher number was committed later, so in the
//! stream the numbers of each line must rise.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

use super::stored::{Facts, Stored};

/// How many examples of each fault are kept.
const EXAMPLES: usize = 3;

/// A line of events whose numbers rise in commit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Line {
    /// The changes of one order.
    Order(Uuid),
    /// What one clerk wrote.
    Clerk(u64),
}

/// A way in which delivery can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Committed and not stored.
    Lost,
    /// Stored more than once.
    Duplicated,
    /// Stored and not committed.
    Phantom,
    /// Stored after an event that was committed later.
    OutOfOrder,
    /// Stored with another payload, type or aggregate.
    Altered,
}

/// What the stream holds, compared with what the table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rows in the table.
    pub committed: u64,
    /// Messages in the stream.
    pub stored: u64,
    /// Rows without a message.
    pub lost: u64,
    /// Messages of rows that had one already.
    pub duplicated: u64,
    /// Messages without a row.
    pub phantom: u64,
    /// Messages that come after one that was committed later.
    pub out_of_order: u64,
    /// Messages that do not say what their row says.
    pub altered: u64,
    /// Some of each fault, in words.
    pub examples: Vec<(Fault, String)>,
}

/// A comparison under way.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// The rows: what each says, in short, and how many messages it has.
    rows: HashMap<Uuid, (u64, u32)>,
    /// The highest number of each line so far, and where it is stored.
    lines: HashMap<Line, (u64, u64)>,
    /// What was found so far.
    findings: Findings,
}

impl Audit {
    /// A row of the table.
    pub(super) fn committed(&mut self, id: Uuid, digest: u64) {
        self.findings.committed += 1;
        self.rows.insert(id, (digest, 0));
    }

    /// The next message of the stream, after all rows.
    pub(super) fn stored(&mut self, message: &Stored) {
        self.findings.stored += 1;
        let sequence = message.sequence;
        let row = message.id.and_then(|id| Some((id, self.rows.get_mut(&id)?)));
        let Some((id, (digest, times))) = row else {
            let id = message.id.map_or_else(|| "without an id".to_owned(), |id| id.to_string());
            self.findings.phantom += 1;
            return self.findings.example(Fault::Phantom, || format!("message {sequence}, event {id}"));
        };
        *times += 1;
        if *times > 1 {
            // Its place says nothing: the first one has been counted.
            self.findings.duplicated += 1;
            return self.findings.example(Fault::Duplicated, || format!("message {sequence}, event {id}"));
        }
        if *digest != message.digest() {
            self.findings.altered += 1;
            self.findings.example(Fault::Altered, || format!("message {sequence}, event {id}"));
        }
        if let Some(earlier) = self.overtaken(sequence, message.facts()) {
            self.findings.out_of_order += 1;
            self.findings.example(Fault::OutOfOrder, || format!("message {sequence} after {earlier}, event {id}"));
        }
    }

    /// The result, after all messages.
    pub(super) fn finish(self) -> Findings {
        let Self { rows, mut findings, .. } = self;
        let mut lost: Vec<Uuid> = rows.into_iter().filter(|(_, (_, times))| *times == 0).map(|(id, _)| id).collect();
        findings.lost = u64::try_from(lost.len()).unwrap_or(u64::MAX);
        // Ids of version 7 sort by time: the first ones lost tell the most.
        lost.sort_unstable();
        for id in lost.into_iter().take(EXAMPLES) {
            findings.example(Fault::Lost, || format!("event {id}"));
        }
        findings
    }

    /// Whether a message of one of its lines is stored before it and was committed after it: that message's sequence.
    fn overtaken(&mut self, sequence: u64, facts: Facts) -> Option<u64> {
        let order = facts.order_id.zip(facts.version).map(|(id, version)| (Line::Order(id), version));
        let clerk = facts.clerk.zip(facts.entry).map(|(clerk, entry)| (Line::Clerk(clerk), entry));
        let mut overtaken = None;
        for (line, number) in order.into_iter().chain(clerk) {
            let highest = self.lines.entry(line).or_default();
            if number > highest.0 {
                *highest = (number, sequence);
            } else {
                overtaken = Some(highest.1);
            }
        }
        overtaken
    }
}

impl Findings {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let Self { lost, duplicated, phantom, out_of_order, altered, .. } = self;
        [lost, duplicated, phantom, out_of_order, altered].into_iter().all(|count| *count == 0)
    }

    /// Keep an example, unless there are enough of its kind.
    fn example(&mut self, fault: Fault, what: impl FnOnce() -> String) {
        if self.examples.iter().filter(|(other, _)| *other == fault).count() < EXAMPLES {
            self.examples.push((fault, what()));
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Phantom => "phantom",
            Self::OutOfOrder => "out of order",
            Self::Altered => "altered",
        })
    }
}

#[cfg(test)]
mod tests;
