//! What really happened in schedules: a run in which nothing happened proves nothing.

/// Something that must happen often enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Postgres crashed, and the slot fell back behind events that are stored.
    ResentAfterCrash,
    /// A daemon was killed while it led.
    Killed,
    /// A message of a daemon that no longer leads was refused by the chain.
    ZombieRefused,
    /// Another daemon took over.
    TakenOver,
    /// A connection to the broker was lost with messages under way.
    UnknownOutcome,
    /// Such a message was found in the stream.
    FoundStored,
    /// Such a message was sent again.
    SentAgain,
    /// The broker lost power and forgot messages that it had acknowledged.
    Forgotten,
    /// An event's id was known already.
    DuplicateId,
    /// A message of somebody else was stored between ours.
    Foreign,
    /// An event that somebody else's message displaced went to the end of the stream.
    Displaced,
    /// The broker had no room.
    Full,
    /// Answers arrived in another order, twice, or not at all.
    AnswersDisturbed,
    /// An answer about the end of the stream was late.
    StaleEnd,
    /// The last message of the stream was removed.
    Removed,
    /// A shared stream got an event twice.
    SharedDuplicate,
    /// A duplicate was answered of a message that is not stored.
    DuplicateOfNothing,
    /// A transaction was sent again that was stored in part.
    StoredInPart,
}

impl Happened {
    pub(crate) const ALL: [Self; 18] = [
        Self::ResentAfterCrash,
        Self::Killed,
        Self::ZombieRefused,
        Self::TakenOver,
        Self::UnknownOutcome,
        Self::FoundStored,
        Self::SentAgain,
        Self::Forgotten,
        Self::DuplicateId,
        Self::Foreign,
        Self::Displaced,
        Self::Full,
        Self::AnswersDisturbed,
        Self::StaleEnd,
        Self::Removed,
        Self::SharedDuplicate,
        Self::DuplicateOfNothing,
        Self::StoredInPart,
    ];
}

/// In how many schedules what happened, and how much was delivered in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    counts: [u64; Happened::ALL.len()],
    pub(crate) schedules: u64,
    pub(crate) events: u64,
    pub(crate) steps: u64,
}

impl Tally {
    /// Of one schedule.
    pub(crate) fn of_one() -> Self {
        Self { schedules: 1, ..Self::default() }
    }

    /// In this schedule it happened.
    pub(crate) fn mark(&mut self, what: Happened) {
        self.counts[what as usize] = 1;
    }

    /// In this schedule it happened, if so.
    pub(crate) fn mark_if(&mut self, happened: bool, what: Happened) {
        if happened {
            self.mark(what);
        }
    }

    pub(crate) fn count(&self, what: Happened) -> u64 {
        self.counts[what as usize]
    }

    /// Adds up.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
        self.schedules += other.schedules;
        self.events += other.events;
        self.steps += other.steps;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} schedules, {} steps, {} events", self.schedules, self.steps, self.events)?;
        for what in Happened::ALL {
            writeln!(f, "{:>9} {what:?}", self.count(what))?;
        }
        Ok(())
    }
}
