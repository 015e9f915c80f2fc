//! The figures that are kept, and what it means when they change; pure.
//!
//! Instructions move with the compiler and with the C library, so the figures say what they were counted with. Under the same
//! conditions a tenth more is a failure; under others the bound is wider, because part of the difference is theirs; on
//! another kind of processor instructions are not compared at all. Allocations are the program's own and move with neither.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Deserialize;

/// By how much a part may get dearer.
const BOUND: f64 = 0.10;
/// The same where the compiler, the C library or Valgrind is another one.
const WIDE_BOUND: f64 = 0.25;
/// Allocations for an event that may come or go: less than one in twenty events. A buffer that grows once in so many events
/// costs as much.
const ALLOCATIONS_BOUND: f64 = 0.05;

/// What the parts cost, and under which conditions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Figures {
    #[serde(flatten)]
    pub(crate) conditions: Conditions,
    pub(crate) parts: BTreeMap<String, Cost>,
}

/// What the figures move with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) target: String,
    pub(crate) rustc: String,
    pub(crate) libc: String,
    pub(crate) valgrind: String,
}

/// What one event costs in a part.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

impl FromStr for Figures {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conditions { target, rustc, libc, valgrind } = &self.conditions;
        f.write_str("# What one event costs in each pure part. Written by `make instructions REFRESH=1`.\n")?;
        for (name, value) in [("target", target), ("rustc", rustc), ("libc", libc), ("valgrind", valgrind)] {
            writeln!(f, "{name} = {value:?}")?;
        }
        f.write_str("\n[parts]\n")?;
        for (name, Cost { instructions, allocations }) in &self.parts {
            writeln!(f, "{name} = {{ instructions = {instructions:.1}, allocations = {allocations:.3} }}")?;
        }
        Ok(())
    }
}

/// What was kept beside what is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// The conditions that changed: name, then, now.
    pub(crate) changed: Vec<(&'static str, String, String)>,
    /// By how much instructions may rise; `None` where they cannot be compared.
    pub(crate) bound: Option<f64>,
    /// Each part that was counted or is kept.
    pub(crate) parts: Vec<Compared>,
}

/// A part then and now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compared {
    pub(crate) name: String,
    pub(crate) kept: Option<Cost>,
    pub(crate) now: Option<Cost>,
    pub(crate) verdict: Verdict,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within the bounds.
    Same,
    /// Beyond a bound: this fails.
    Dearer,
    /// So much better that the figures no longer guard what was won.
    Cheaper,
    /// Counted or kept, but not both: this fails, too.
    Unknown,
}

/// Holds what was counted against what is kept.
pub(crate) fn compare(kept: &Figures, now: &Figures) -> Comparison {
    let (before, after) = (&kept.conditions, &now.conditions);
    let conditions = [
        ("target", &before.target, &after.target),
        ("rustc", &before.rustc, &after.rustc),
        ("libc", &before.libc, &after.libc),
        ("valgrind", &before.valgrind, &after.valgrind),
    ];
    let changed = conditions.into_iter().filter(|(_, before, after)| before != after);
    let changed: Vec<_> = changed.map(|(name, before, after)| (name, before.clone(), after.clone())).collect();
    let bound = match changed.first() {
        None => Some(BOUND),
        Some(("target", ..)) => None,
        Some(_) => Some(WIDE_BOUND),
    };
    let mut names: Vec<&String> = kept.parts.keys().chain(now.parts.keys()).collect();
    names.sort();
    names.dedup();
    let parts = names.into_iter().map(|name| {
        let (kept, now) = (kept.parts.get(name).copied(), now.parts.get(name).copied());
        let verdict = kept.zip(now).map_or(Verdict::Unknown, |(kept, now)| judge(kept, now, bound));
        Compared { name: name.clone(), kept, now, verdict }
    });
    Comparison { changed, bound, parts: parts.collect() }
}

fn judge(kept: Cost, now: Cost, bound: Option<f64>) -> Verdict {
    let more_allocations = now.allocations - kept.allocations;
    let is_beyond = |now: f64, kept: f64| bound.is_some_and(|bound| now > kept * (1.0 + bound));
    if more_allocations > ALLOCATIONS_BOUND || is_beyond(now.instructions, kept.instructions) {
        Verdict::Dearer
    } else if more_allocations < -ALLOCATIONS_BOUND || is_beyond(kept.instructions, now.instructions) {
        Verdict::Cheaper
    } else {
        Verdict::Same
    }
}

impl Comparison {
    /// Whether nothing got dearer, and nothing is missing.
    pub(crate) fn is_well(&self) -> bool {
        !self.has(Verdict::Dearer) && !self.has(Verdict::Unknown)
    }

    fn has(&self, verdict: Verdict) -> bool {
        self.parts.iter().any(|part| part.verdict == verdict)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, before, after) in &self.changed {
            writeln!(f, "instructions: {name} was {before:?} when the figures were kept, and is {after:?}")?;
        }
        match self.bound {
            Some(bound) if !self.changed.is_empty() => {
                writeln!(
                    f,
                    "instructions: so a part may take {:.0} % more, not {:.0} %",
                    bound * 100.0,
                    BOUND * 100.0
                )?;
            }
            Some(_) => {}
            None => f.write_str("instructions: these are NOT COMPARED here, only allocations are\n")?,
        }
        writeln!(f, "{:<10} {:>24} {:>10} {:>19}", "for an event", "instructions", "", "allocations")?;
        for part in &self.parts {
            writeln!(f, "{part}")?;
        }
        if self.has(Verdict::Dearer) {
            f.write_str(
                "error: a pure part got dearer\n\
                 hint: if that is worth what was gained by it, say so in the commit and keep the new figures: make instructions REFRESH=1\n",
            )?;
        }
        if self.has(Verdict::Unknown) {
            f.write_str(
                "error: not the parts that figures are kept of\nhint: keep those of all: make instructions REFRESH=1\n",
            )?;
        }
        if self.has(Verdict::Cheaper) {
            f.write_str("hint: keep what was won: make instructions REFRESH=1\n")?;
        }
        Ok(())
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Same => "",
            Verdict::Dearer => "  DEARER",
            Verdict::Cheaper => "  cheaper",
            Verdict::Unknown => "  UNKNOWN",
        };
        let figure = |cost: Option<Cost>, figure: fn(Cost) -> f64, digits: usize| {
            cost.map_or("-".to_owned(), |cost| format!("{:.digits$}", figure(cost)))
        };
        let change = self.kept.zip(self.now).map(|(kept, now)| (now.instructions / kept.instructions - 1.0) * 100.0);
        write!(
            f,
            "{:<12} {:>10} -> {:>8} {:>+8.1} % {:>8} -> {:>7}{verdict}",
            self.name,
            figure(self.kept, |cost| cost.instructions, 1),
            figure(self.now, |cost| cost.instructions, 1),
            change.unwrap_or(f64::NAN),
            figure(self.kept, |cost| cost.allocations, 3),
            figure(self.now, |cost| cost.allocations, 3),
        )
    }
}
