//! What a run did, in numbers.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    journal::{Entry, Seen},
    judge::{Kind, Violation},
};

/// JetStream's error for a message whose expected last sequence does not hold.
const WRONG_LAST_SEQUENCE: u32 = 10071;

/// Counted while it ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    counts: BTreeMap<&'static str, u64>,
    /// From the death of a leader to the first event that another stored.
    takeovers: Vec<Duration>,
    /// From the end of a fault to the first event stored.
    recoveries: Vec<Duration>,
    /// Until the database showed published or dead whatever was stored when a rest began.
    shown: Vec<Duration>,
}

impl Figures {
    /// One more of these.
    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    /// How many of these.
    pub(crate) fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// Another led after so long.
    pub(crate) fn takeover(&mut self, after: Duration) {
        self.takeovers.push(after);
    }

    /// Events were stored again after so long.
    pub(crate) fn recovery(&mut self, after: Duration) {
        self.recoveries.push(after);
    }

    /// What was stored was shown so after so long.
    pub(crate) fn shown(&mut self, after: Duration) {
        self.shown.push(after);
    }

    /// Adds what the journal tells.
    pub(crate) fn read(&mut self, journal: &[Entry]) {
        for entry in journal {
            match &entry.seen {
                Seen::Again { rows, .. } => self.add("rows sent again", *rows as u64),
                Seen::Published { .. } => self.add("messages published", 1),
                Seen::Answered(answer) if answer.error == WRONG_LAST_SEQUENCE => self.add("messages refused", 1),
                Seen::Answered(answer) if answer.is_duplicate => self.add("answers: duplicate", 1),
                Seen::Answered(answer) if !answer.is_delivered => self.add("answers lost", 1),
                Seen::Status { .. } => self.add("positions confirmed", 1),
                _ => {}
            }
        }
    }

    /// Each of these must have happened at least once, or the run says nothing.
    pub(crate) fn missing(&self, needed: &[&'static str]) -> Vec<Violation> {
        let never = needed.iter().filter(|what| self.of(what) == 0);
        never.map(|what| Violation::new(Kind::Vacuous, format!("no {what}"))).collect()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "  {what:<24} {count:>10}")?;
        }
        for (what, times) in [("takeover", &self.takeovers), ("recovery", &self.recoveries), ("shown", &self.shown)] {
            let mut times = times.clone();
            times.sort_unstable();
            let Some(longest) = times.last() else { continue };
            let middle = times[times.len() / 2];
            writeln!(f, "  {what:<24} {:>10}   median {middle:.1?}, longest {longest:.1?}", times.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_makes_a_run_vacuous() {
        let mut figures = Figures::default();
        figures.add("kills", 2);
        let missing = figures.missing(&["kills", "zombies"]);
        assert_eq!(missing, [Violation::new(Kind::Vacuous, "no zombies")]);
    }
}
