//! What is read, what is open, and what may be sent now: the heart of webhooks, without sockets and without a clock.
//!
//! A ledger counts upwards through the stream. An event that is *taken* is open until it is *settled*; what is taken, not
//! open, and in a version that the broker confirmed, is never sent again. Time comes in as milliseconds since 1970.
//!
//! Invariant: with [`Ordering::Aggregate`] an event starts only when no event of its lane before it is open in the last
//! confirmed version. So a successor, which knows only that version, cannot send one again behind which another was sent.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::{Deserialize, Serialize};

/// Whether events wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// No: each goes when there is room.
    #[default]
    None,
    /// Those of one aggregate go one after the other.
    Aggregate,
}

/// What waits for each other: an aggregate. Two aggregates that fall on one lane wait for each other in vain, which delays
/// and does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u64);

impl Lane {
    /// The lane of an aggregate.
    pub fn of(aggregate_type: &str, aggregate_id: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (aggregate_type, aggregate_id).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A ledger as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Every event up to this sequence was taken.
    pub read: u64,
    /// The events up to there that are not settled, in the order of their sequences.
    pub open: Vec<SavedEvent>,
}

impl Saved {
    /// Whether an event was taken and is settled.
    pub fn has_settled(&self, sequence: u64) -> bool {
        sequence <= self.read && self.open.iter().all(|open| open.0 != sequence)
    }
}

/// An open event as it is written down: sequence, attempts that failed, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedEvent(pub u64, pub u32, pub u64);

/// The ledger of one endpoint.
#[derive(Debug)]
pub struct Ledger {
    ordering: Ordering,
    /// Every event up to this sequence was taken.
    read: u64,
    /// Events that are taken and not settled, or whose settling is not confirmed (in order only).
    open: BTreeMap<u64, Open>,
    /// The open events of each lane (in order only).
    lanes: HashMap<Lane, BTreeSet<u64>>,
    /// Events that may start when they are due: when, and which.
    startable: BTreeSet<(u64, u64)>,
    /// How many are on their way.
    running: usize,
    /// Rises with each change that is to be written down.
    version: u64,
    /// Events that were settled in a version that is not confirmed yet (in order only).
    settling: BTreeSet<(u64, u64)>,
    /// Whether an event waits for one of them, or did when the last version was confirmed.
    is_waited_for: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    lane: Option<Lane>,
    attempts: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until it is due, and until it is its lane's turn.
    Waiting { due_ms: u64 },
    /// On its way.
    Running,
    /// Settled, in a version that is not confirmed.
    Settling,
}

impl Ledger {
    /// The ledger that was written down. `lane_of` tells the lane of each open event; none if the event is gone.
    pub fn restore(ordering: Ordering, saved: &Saved, mut lane_of: impl FnMut(u64) -> Option<Lane>) -> Self {
        let mut ledger = Self {
            ordering,
            read: saved.read,
            open: BTreeMap::new(),
            lanes: HashMap::new(),
            startable: BTreeSet::new(),
            running: 0,
            version: 0,
            settling: BTreeSet::new(),
            is_waited_for: false,
        };
        // Behind what is read nothing is open, and nothing twice: who wrote that is not walpost, and no event is to be sent twice
        // for it.
        for SavedEvent(sequence, attempts, due_ms) in &saved.open {
            if *sequence > saved.read || ledger.open.contains_key(sequence) {
                continue;
            }
            let lane = lane_of(*sequence).filter(|_| ordering == Ordering::Aggregate);
            ledger.enter(*sequence, Open { lane, attempts: *attempts, phase: Phase::Waiting { due_ms: *due_ms } });
        }
        ledger
    }

    /// What is to be written down, and its version.
    pub fn to_save(&self) -> (u64, Saved) {
        let open = self.open.iter().filter_map(|(sequence, open)| match open.phase {
            Phase::Waiting { due_ms } => Some(SavedEvent(*sequence, open.attempts, due_ms)),
            Phase::Running => Some(SavedEvent(*sequence, open.attempts, 0)),
            Phase::Settling => None,
        });
        (self.version, Saved { read: self.read, open: open.collect() })
    }

    /// The broker has confirmed this version.
    pub fn confirm(&mut self, version: u64) {
        while let Some((settled_in, sequence)) = self.settling.first().copied().filter(|(first, _)| *first <= version) {
            self.settling.remove(&(settled_in, sequence));
            self.leave(sequence);
        }
        self.is_waited_for = self.settling.iter().any(|(_, sequence)| self.has_others(*sequence));
    }

    /// Whether there are others in the lane of an open event.
    fn has_others(&self, sequence: u64) -> bool {
        let lane = self.open.get(&sequence).and_then(|open| self.lanes.get(&open.lane?));
        lane.is_some_and(|lane| lane.len() > 1)
    }

    /// The version as it is now: it rises with each change that is to be written down.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether an event waits for nothing but the confirmation of a version.
    pub fn is_waited_for(&self) -> bool {
        self.is_waited_for
    }

    /// Every event up to this sequence was taken.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// How many events are open; those included whose settling is not confirmed.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// How many are on their way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// The oldest open event.
    pub fn oldest(&self) -> Option<u64> {
        self.open.first_key_value().map(|(sequence, _)| *sequence)
    }

    /// How many could start now, up to `most`.
    pub fn startable(&self, now_ms: u64, most: usize) -> usize {
        self.startable.iter().take(most).take_while(|(due_ms, _)| *due_ms <= now_ms).count()
    }

    /// Takes the next event of the stream; false if it was taken before.
    pub fn take(&mut self, sequence: u64, lane: Lane, now_ms: u64) -> bool {
        if sequence <= self.read {
            return false;
        }
        self.read = sequence;
        self.version += 1;
        let lane = Some(lane).filter(|_| self.ordering == Ordering::Aggregate);
        self.enter(sequence, Open { lane, attempts: 0, phase: Phase::Waiting { due_ms: now_ms } });
        true
    }

    /// Passes over what the stream holds for others up to this sequence.
    pub fn pass(&mut self, sequence: u64) {
        if sequence > self.read {
            self.read = sequence;
            self.version += 1;
        }
    }

    /// The next event to send, which is on its way from now on, and how many attempts for it have failed.
    pub fn start(&mut self, now_ms: u64) -> Option<(u64, u32)> {
        let (due_ms, sequence) = self.startable.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        self.startable.remove(&(due_ms, sequence));
        let open = self.open.get_mut(&sequence)?;
        open.phase = Phase::Running;
        self.running += 1;
        Some((sequence, open.attempts))
    }

    /// When the next event is due; none if nothing waits for a time alone.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.startable.first().map(|(due_ms, _)| *due_ms)
    }

    /// An event that was on its way is delivered, or a dead letter of it is stored.
    pub fn settle(&mut self, sequence: u64) {
        let Some(open) = self.running_event(sequence) else { return };
        let is_ordered = open.lane.is_some();
        open.phase = Phase::Settling;
        self.running -= 1;
        self.version += 1;
        if is_ordered {
            self.settling.insert((self.version, sequence));
            self.is_waited_for |= self.has_others(sequence);
        } else {
            self.leave(sequence);
        }
    }

    /// An attempt failed; the event is tried again when it is due.
    pub fn fail(&mut self, sequence: u64, due_ms: u64) {
        let Some(open) = self.running_event(sequence) else { return };
        open.attempts = open.attempts.saturating_add(1);
        self.version += 1;
        self.wait_again(sequence, due_ms);
    }

    /// Opens an event again that was settled: it is due now, with all its attempts before it. False if it was never taken,
    /// or is open anyway.
    pub fn reopen(&mut self, sequence: u64, lane: Option<Lane>, now_ms: u64) -> bool {
        if sequence == 0 || sequence > self.read || self.open.contains_key(&sequence) {
            return false;
        }
        self.version += 1;
        let lane = lane.filter(|_| self.ordering == Ordering::Aggregate);
        self.enter(sequence, Open { lane, attempts: 0, phase: Phase::Waiting { due_ms: now_ms } });
        true
    }

    /// Whether an event is open, or its settling is not confirmed.
    pub fn is_open(&self, sequence: u64) -> bool {
        self.open.contains_key(&sequence)
    }

    /// What waits for a time waits no longer.
    pub fn hurry(&mut self, now_ms: u64) {
        let late: Vec<_> = self.startable.iter().copied().filter(|(due_ms, _)| *due_ms > now_ms).collect();
        for (due_ms, sequence) in late {
            if let Some(open) = self.open.get_mut(&sequence) {
                open.phase = Phase::Waiting { due_ms: now_ms };
                self.startable.remove(&(due_ms, sequence));
                self.startable.insert((now_ms, sequence));
                self.version += 1;
            }
        }
    }

    /// An attempt came to no end that counts: the event waits as if it had not been made.
    pub fn put_back(&mut self, sequence: u64, due_ms: u64) {
        if self.running_event(sequence).is_some() {
            self.wait_again(sequence, due_ms);
        }
    }

    fn running_event(&mut self, sequence: u64) -> Option<&mut Open> {
        self.open.get_mut(&sequence).filter(|open| open.phase == Phase::Running)
    }

    fn wait_again(&mut self, sequence: u64, due_ms: u64) {
        let Some(open) = self.open.get_mut(&sequence) else { return };
        open.phase = Phase::Waiting { due_ms };
        self.running -= 1;
        match open.lane {
            Some(lane) => self.line_up(lane),
            None => drop(self.startable.insert((due_ms, sequence))),
        }
    }

    fn enter(&mut self, sequence: u64, open: Open) {
        self.open.insert(sequence, open);
        match (open.lane, open.phase) {
            (Some(lane), _) => {
                self.lanes.entry(lane).or_default().insert(sequence);
                self.line_up(lane);
            }
            (None, Phase::Waiting { due_ms }) => drop(self.startable.insert((due_ms, sequence))),
            (None, _) => {}
        }
    }

    /// Of a lane, only its first event may start, and only if none is on its way or waits for its settling to be confirmed.
    fn line_up(&mut self, lane: Lane) {
        let waiting = |open: &BTreeMap<u64, Open>, sequence: &u64| match open.get(sequence)?.phase {
            Phase::Waiting { due_ms } => Some((due_ms, *sequence)),
            Phase::Running | Phase::Settling => None,
        };
        let Some(sequences) = self.lanes.get(&lane) else { return };
        let mut first = None;
        let (mut is_busy, mut is_settling) = (false, false);
        // An event that was opened again may stand before the one that was the first until now: look at all that can matter.
        for sequence in sequences {
            match waiting(&self.open, sequence) {
                Some(entry) if first.is_none() => first = Some(entry),
                Some(entry) => drop(self.startable.remove(&entry)),
                None => {
                    is_busy = true;
                    is_settling |= self.open.get(sequence).is_some_and(|open| open.phase == Phase::Settling);
                }
            }
        }
        self.is_waited_for |= is_settling && first.is_some();
        match first {
            Some(entry) if is_busy => drop(self.startable.remove(&entry)),
            Some(entry) => drop(self.startable.insert(entry)),
            None => {}
        }
    }

    /// The event is done with; the next of its lane may start.
    fn leave(&mut self, sequence: u64) {
        let Some(lane) = self.open.remove(&sequence).and_then(|open| open.lane) else { return };
        let Some(waiting) = self.lanes.get_mut(&lane) else { return };
        waiting.remove(&sequence);
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.line_up(lane);
        }
    }
}

#[cfg(test)]
#[path = "ledger/tests.rs"]
mod tests;
