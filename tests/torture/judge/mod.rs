//! Holds what was delivered against what was committed, and what was said against what could be known; pure.
//!
//! The table says what was committed, the stream what was delivered, the journal of the wires who said what when.

mod late;
mod sequence;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use uuid::Uuid;
use walpost::{lsn::Lsn, position::Place};

use crate::journal::{Entry, Life, Seen};
use sequence::Confirmations;

/// A committed row of the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its ordering key.
    pub(crate) key: String,
    /// Its number among the events of the key, given under the lock of the key: this is commit order.
    pub(crate) number: i64,
    /// Whether no message can carry it.
    pub(crate) is_too_large: bool,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its sequence in the stream.
    pub(crate) sequence: u64,
    /// Its message id.
    pub(crate) id: Uuid,
    /// What it says of its place in the log.
    pub(crate) place: Place,
    /// If somebody else's message displaced it, so that it came to the end: the place that the stream ended with.
    pub(crate) behind: Option<Place>,
    /// Whether it stands for an event that no message can carry.
    pub(crate) is_dead_letter: bool,
    /// Whether subject, headers and body are what the row makes them, byte for byte.
    pub(crate) is_intact: bool,
}

/// Everything that a run left behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// The table.
    pub(crate) table: BTreeMap<Uuid, Row>,
    /// The whole stream, in its order.
    pub(crate) stream: Vec<Message>,
    /// What was seen on the wires.
    pub(crate) journal: Vec<Entry>,
    /// What the run itself saw go wrong: no progress after a fault, a process that gave up, memory, secrets in logs.
    pub(crate) misbehaviour: Vec<Violation>,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Committed, and not in the stream.
    Lost,
    /// In the stream, and not committed.
    Phantom,
    /// Not what was committed, byte for byte.
    Corrupt,
    /// A dead letter for an event that a message could carry, or the other way round.
    DeadWithoutReason,
    /// An event is there twice.
    Duplicated,
    /// Two messages claim one place of the log.
    PlaceTwice,
    /// Two events of a key are in the wrong order.
    KeyOutOfOrder,
    /// Two events are not in the order of the log.
    OutOfOrder,
    /// An event went to the end although nothing had displaced it, or says wrongly what the stream ended with.
    LateWithoutReason,
    /// A message says that it stands elsewhere than Postgres sent it.
    Misplaced,
    /// Postgres was told that an event is safe before the broker had said that it stored it.
    ConfirmedAhead,
    /// The broker confirmed an event that is not in the stream where it said.
    Forgotten,
    /// Two servers of a cluster hold different streams.
    ReplicasDiffer,
    /// The database said of an event that the stream holds it, or deleted its row, before that was so.
    ToldEarly,
    /// It did not say so for too long, although nothing was wrong.
    ToldLate,
    /// Nothing was delivered for too long after a fault was over.
    Stuck,
    /// The process ended, although it had been at work, and nobody had asked it to.
    GaveUp,
    /// It did not end in good order when asked to.
    DidNotStop,
    /// It had too much memory resident.
    Memory,
    /// A secret or a payload in a log, or in an answer of the admin port.
    Leak,
    /// Too few faults really happened for the run to mean anything.
    Vacuous,
}

/// Something that must not happen, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// What.
    pub(crate) kind: Kind,
    /// Where, for people.
    pub(crate) about: String,
}

impl Violation {
    /// A violation.
    pub(crate) fn new(kind: Kind, about: impl fmt::Display) -> Self {
        Self { kind, about: about.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.about)
    }
}

impl Evidence {
    /// All violations.
    pub(crate) fn judge(&self) -> Vec<Violation> {
        let mut found = self.misbehaviour.clone();
        let places = self.places_on_the_wire();
        found.extend(self.contents());
        found.extend(self.order());
        found.extend(late::without_reason(&self.stream));
        found.extend(self.misplaced(&places));
        found.extend(self.confirmed_ahead());
        found.extend(self.forgotten());
        found
    }

    /// Lost, made up, damaged, repeated.
    fn contents(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for message in &self.stream {
            let Message { sequence, id, .. } = message;
            if !seen.insert(id) {
                found.push(Violation::new(Kind::Duplicated, format!("{id} again at {sequence}")));
            }
            let Some(row) = self.table.get(id) else {
                found.push(Violation::new(Kind::Phantom, format!("{id} at {sequence}")));
                continue;
            };
            if row.is_too_large != message.is_dead_letter {
                found.push(Violation::new(Kind::DeadWithoutReason, format!("{id} at {sequence}")));
            } else if !message.is_intact {
                found.push(Violation::new(Kind::Corrupt, format!("{id} at {sequence}")));
            }
        }
        let lost = self.table.iter().filter(|(id, _)| !seen.contains(id));
        found.extend(lost.map(|(id, row)| Violation::new(Kind::Lost, format!("{id}, {} of {}", row.number, row.key))));
        found
    }

    /// Each key by its numbers, and everything by its place.
    fn order(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
        let mut last: Option<Place> = None;
        for Message { sequence, id, place, .. } in self.stream.iter().filter(|message| message.behind.is_none()) {
            if last == Some(*place) {
                found.push(Violation::new(Kind::PlaceTwice, format!("{place:?} at {sequence}")));
            } else if last > Some(*place) {
                found.push(Violation::new(Kind::OutOfOrder, format!("{place:?} at {sequence} after {last:?}")));
            }
            last = last.max(Some(*place));
            let Some(row) = self.table.get(id) else { continue };
            let before = numbers.insert(&row.key, row.number);
            if before >= Some(row.number) {
                let about = format!("{} of {} at {sequence} after {before:?}", row.number, row.key);
                found.push(Violation::new(Kind::KeyOutOfOrder, about));
            }
        }
        found
    }

    /// Where Postgres sent each row.
    fn places_on_the_wire(&self) -> HashMap<Uuid, Place> {
        let mut places = HashMap::new();
        for entry in &self.journal {
            let Seen::Transaction { commit_lsn, ids, .. } = &entry.seen else { continue };
            places.extend((0..).zip(ids).map(|(index, id)| (*id, Place { commit_lsn: *commit_lsn, index })));
        }
        places
    }

    fn misplaced(&self, places: &HashMap<Uuid, Place>) -> Vec<Violation> {
        let mut found = Vec::new();
        for Message { sequence, id, place, .. } in &self.stream {
            let on_the_wire = places.get(id);
            if on_the_wire != Some(place) {
                let about = format!("{id} at {sequence} says {place:?}, Postgres said {on_the_wire:?}");
                found.push(Violation::new(Kind::Misplaced, about));
            }
        }
        found
    }

    /// A position covers the transactions whose commit record begins before it.
    fn confirmed_ahead(&self) -> Vec<Violation> {
        let needed = Confirmations::needed(&self.journal, &self.stream, &self.table);
        let mut known: HashMap<Life, u64> = HashMap::new();
        let mut found = Vec::new();
        for Entry { life, seen, .. } in &self.journal {
            let known = known.entry(*life).or_default();
            match seen {
                Seen::Answered(answer) if answer.confirms() => *known = (*known).max(answer.sequence),
                Seen::Tail { sequence } => *known = (*known).max(*sequence),
                Seen::Status { flushed } if *flushed > Lsn::ZERO => {
                    let needed = needed.up_to(*flushed);
                    if needed > *known {
                        let needed = if needed == u64::MAX { "never".into() } else { format!("as {needed}") };
                        let about = format!("{life:?} confirmed {flushed} knowing {known}; stored {needed}");
                        found.push(Violation::new(Kind::ConfirmedAhead, about));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// What the broker confirmed must be there.
    fn forgotten(&self) -> Vec<Violation> {
        let stored: HashMap<u64, Uuid> = self.stream.iter().map(|message| (message.sequence, message.id)).collect();
        let mut found = Vec::new();
        for entry in &self.journal {
            let Seen::Answered(answer) = &entry.seen else { continue };
            if let Some(id) = answer.id.filter(|_| answer.confirms())
                && stored.get(&answer.sequence) != Some(&id)
            {
                found.push(Violation::new(Kind::Forgotten, format!("{id} at {}", answer.sequence)));
            }
        }
        found
    }
}
