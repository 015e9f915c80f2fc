//! Holds what the models saw against the invariants, at every step; knows nothing of how the daemon works.

use std::collections::BTreeSet;

use walpost::relay::Mode;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its name, as in `docs/architecture.md`.
    pub(crate) invariant: &'static str,
    pub(crate) text: String,
}

pub(crate) fn broken(invariant: &'static str, text: String) -> Violation {
    Violation { invariant, text }
}

/// The account of one schedule. Events are numbered in the order of commits.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    mode: Mode,
    /// Every event below this number is in the stream, or its id is.
    next: u64,
    /// Events from `next` on whose id is in the stream, or that are stored (shared mode).
    beyond: BTreeSet<u64>,
    /// Chain: the last event in the stream that is in its place.
    last: Option<u64>,
    /// Chain without links: events before that one which somebody else's messages displaced.
    displaced: BTreeSet<u64>,
    is_linked: bool,
    /// Chain: whether the stream lost its last message, so that it may be given events again.
    pub(crate) may_repeat: bool,
    /// Shared mode: the events of each aggregate, and how many of them are stored.
    keys: Vec<(Vec<u64>, usize)>,
    key_of: Vec<u64>,
    /// Shared mode: events that were stored more than once, and how many may have been.
    pub(crate) duplicates: u64,
    pub(crate) allowance: u64,
}

impl Judge {
    pub(crate) fn new(mode: Mode, is_linked: bool, keys: usize) -> Self {
        Self {
            mode,
            next: 0,
            beyond: BTreeSet::new(),
            last: None,
            displaced: BTreeSet::new(),
            is_linked,
            may_repeat: false,
            keys: vec![(Vec::new(), 0); keys],
            key_of: Vec::new(),
            duplicates: 0,
            allowance: 0,
        }
    }

    /// An event was committed.
    pub(crate) fn committed(&mut self, key: u64) {
        let event = self.key_of.len() as u64;
        self.key_of.push(key);
        self.lane(key).0.push(event);
    }

    /// How many events, from the first on, are delivered without a gap.
    pub(crate) fn delivered(&self) -> u64 {
        self.next
    }

    /// Whether the event is delivered.
    pub(crate) fn has(&self, event: u64) -> bool {
        event < self.next || self.beyond.contains(&event)
    }

    /// The stream stored an event, in a message that says how far the stream is whole with it: I2, I3, I4, I8. Only where
    /// others write, and messages are not linked, may it stand before one that should come first.
    pub(crate) fn stored(&mut self, event: u64, checkpoint: Option<u64>, has_foreign: bool) -> Result<(), Violation> {
        if event >= self.key_of.len() as u64 {
            return Err(broken("I2", format!("event {event} is stored and was never committed")));
        }
        match self.mode {
            Mode::Chain if checkpoint == Some(event) => self.stored_in_chain(event, has_foreign),
            Mode::Chain => self.stored_at_the_end(event, checkpoint),
            Mode::Shared => self.stored_in_shared(event),
        }
    }

    fn stored_in_chain(&mut self, event: u64, has_foreign: bool) -> Result<(), Violation> {
        let due = self.last.map_or(0, |last| last + 1).max(self.next);
        if event > due {
            if self.is_linked || !has_foreign {
                return Err(broken("I3", format!("event {event} is stored although {due} is not")));
            }
            self.displaced.extend(due..event);
        }
        // Two leaders that expect different sequences may both store an event; none is lost by it.
        let may_repeat = self.may_repeat || (has_foreign && !self.is_linked);
        if self.last.is_some_and(|last| event <= last) && !may_repeat {
            return Err(broken("I4", format!("event {event} is stored again or behind a later one")));
        }
        self.last = Some(event);
        self.cover(event);
        Ok(())
    }

    fn stored_at_the_end(&mut self, event: u64, checkpoint: Option<u64>) -> Result<(), Violation> {
        if !self.displaced.remove(&event) {
            return Err(broken("I4", format!("event {event} goes to the end and was not displaced")));
        }
        if checkpoint != self.last {
            return Err(broken("I1", format!("the stream is whole up to {:?}, and {checkpoint:?} is said", self.last)));
        }
        self.cover(event);
        Ok(())
    }

    fn stored_in_shared(&mut self, event: u64) -> Result<(), Violation> {
        if self.has(event) {
            self.duplicates += 1;
            let (duplicates, allowance) = (self.duplicates, self.allowance);
            return if duplicates <= allowance {
                Ok(())
            } else {
                Err(broken("I4", format!("{duplicates} events are stored twice, and {allowance} may be")))
            };
        }
        let key = self.key_of[usize::try_from(event).unwrap()];
        let (events, stored) = self.lane(key);
        let due = events[*stored];
        if due != event {
            return Err(broken("I3", format!("event {event} of aggregate {key} is stored although {due} is not")));
        }
        self.cover(event);
        Ok(())
    }

    /// The broker said that it has the event's id, and the daemon passed it over.
    pub(crate) fn passed_over(&mut self, event: u64) {
        if !self.has(event) {
            self.cover(event);
        }
    }

    /// The daemon skipped an event as stored: I1.
    pub(crate) fn skipped(&self, event: u64) -> Result<(), Violation> {
        if self.has(event) { Ok(()) } else { Err(broken("I1", format!("event {event} is skipped and not stored"))) }
    }

    /// A position is confirmed before which there are this many events: I5.
    pub(crate) fn confirmed(&self, events: u64, lsn: u64) -> Result<(), Violation> {
        if events <= self.next {
            return Ok(());
        }
        Err(broken(
            "I5",
            format!("{lsn} is confirmed, which is behind event {}, and {} is not stored", events - 1, self.next),
        ))
    }

    /// The broker forgot what it had stored, all but this many events; Postgres still has those that are not
    /// confirmed, of which there were `confirmed`: I1.
    pub(crate) fn forgot(&mut self, kept: u64, confirmed: u64) -> Result<(), Violation> {
        self.next = self.next.min(kept);
        self.last = kept.checked_sub(1);
        self.beyond.clear();
        if confirmed <= kept {
            return Ok(());
        }
        Err(broken(
            "I1",
            format!("the broker forgot event {kept}, and everything before {confirmed} was confirmed already"),
        ))
    }

    /// Shared mode: these events are sent again, and may be stored twice.
    pub(crate) fn allow_again(&mut self, events: u64) {
        self.allowance += events;
    }

    /// Everything is delivered: I1.
    pub(crate) fn is_complete(&self) -> bool {
        self.next == self.key_of.len() as u64
    }

    fn cover(&mut self, event: u64) {
        let key = self.key_of[usize::try_from(event).unwrap()];
        let beyond = &self.beyond;
        let next = self.next;
        let (events, stored) = &mut self.keys[usize::try_from(key).unwrap()];
        while events.get(*stored).is_some_and(|due| *due == event || *due < next || beyond.contains(due)) {
            *stored += 1;
        }
        if event >= self.next {
            self.beyond.insert(event);
        }
        while self.beyond.remove(&self.next) {
            self.next += 1;
        }
    }

    fn lane(&mut self, key: u64) -> &mut (Vec<u64>, usize) {
        &mut self.keys[usize::try_from(key).unwrap()]
    }
}
