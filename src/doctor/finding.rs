//! What a check came to.

use serde::Serialize;

use super::check::Check;
use crate::{code::Code, preflight::Problem, supervisor, survey::Silence};

/// How a thing stands; the worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It works, and will hurt some day.
    Warning,
    /// Events are not delivered, or are about to be lost.
    Critical,
}

impl Verdict {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Unknown, Self::Warning, Self::Critical];

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "could not check",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, in a few words.
    pub found: String,
    /// Why it is so or what comes of it, beyond [`Check::why`].
    pub cause: Option<String>,
    /// What mends it; what can be run or set stands in backticks.
    pub remedy: Option<String>,
    /// Where to look it up.
    pub code: Option<Code>,
}

impl Finding {
    /// A finding without more words.
    pub(super) fn new(check: Check, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { check, verdict, found: found.into(), cause: None, remedy: None, code: None }
    }

    /// All is well.
    pub(super) fn ok(check: Check, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found)
    }

    /// It will hurt some day.
    pub(super) fn warning(check: Check, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(check, Verdict::Warning, found) }
    }

    /// It hurts.
    pub(super) fn critical(check: Check, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(check, Verdict::Critical, found) }
    }

    /// It could not be looked at.
    pub(super) fn unknown(check: Check, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, why)
    }

    /// Nobody answered.
    pub(super) fn silent(check: Check, silence: &Silence) -> Self {
        let Silence { code, why, remedy } = silence.clone();
        Self { remedy, code, ..Self::unknown(check, why) }
    }

    /// Something that keeps walpost from starting.
    pub(super) fn problem(check: Check, problem: &Problem, remedy: impl Into<String>) -> Self {
        let (code, _) = supervisor::of_problem(problem);
        Self::critical(check, problem.to_string(), remedy).with_code(code)
    }

    /// With a cause.
    pub(super) fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// With a page to read.
    pub(super) fn with_code(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }

    /// What of the remedy can be run as it stands, one after the other, to mend it: SQL, `walpost`, `nats` and `psql`.
    /// An alternative is none of them, and neither is a last resort: they do not follow on `run`, `and` or `then`.
    pub fn commands(&self) -> Vec<&str> {
        let remedy = self.remedy.as_deref().unwrap_or_default();
        let mut before = "";
        let mut commands = Vec::new();
        for (index, part) in remedy.split('`').enumerate() {
            if index % 2 == 0 {
                before = part.trim_end();
            } else if follows_on(before) && is_command(part) && !part.contains('<') {
                commands.push(part);
            }
        }
        commands
    }
}

fn follows_on(before: &str) -> bool {
    ["run", "and", "then", ","].iter().any(|word| before.ends_with(word))
}

/// Whether a text in backticks is one to run, and not the name of a setting.
fn is_command(text: &str) -> bool {
    let first = text.split(' ').next().unwrap_or_default();
    let is_sql = text.ends_with(';') && first.len() > 1 && first.chars().all(|c| c.is_ascii_uppercase() || c == ';');
    is_sql || (["walpost", "nats", "psql"].contains(&first) && text.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_names() {
        let commands = |remedy: &str| Finding::warning(Check::SLOT, "", remedy).commands().join(" | ");
        let two = "run `ALTER SYSTEM SET a = 'b';` and `walpost setup`, set `a = 1`, or `GRANT x TO y;` on `nats`";
        assert_eq!(commands(two), "ALTER SYSTEM SET a = 'b'; | walpost setup");
        assert_eq!(commands("run `GRANT a TO <role>;`"), "", "it has a blank to fill in");
        let batch = "run `BEGIN; ALTER x; COMMIT;`, then `nats stream rm A`";
        assert_eq!(commands(batch), "BEGIN; ALTER x; COMMIT; | nats stream rm A");
        assert_eq!(commands("if all else fails, the way out is `SELECT pg_drop_replication_slot('a');`"), "");
    }

    #[test]
    fn the_worst_is_the_greatest() {
        assert!(Verdict::ALL.is_sorted());
    }
}
