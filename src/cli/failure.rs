//! How a command fails, and how that is told: once, here, with all its causes.

use std::{
    error::Error,
    io::{self, Write},
};

use super::{
    Exit,
    console::{Console, Ink},
};
use crate::{config::Problems, preflight::Problem, telemetry::log::LogError};

/// Why a command did not do what it says.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is not whole.
    Configuration(Problems),
    /// Something else, with all its causes.
    Broken {
        /// What went wrong.
        error: Box<dyn Error + Send + Sync>,
        /// Its parts, if it has several, each with what would mend it.
        details: Vec<Detail>,
        /// What would mend it, if that is known.
        hint: Option<String>,
    },
    /// The reader of standard output went away, as `head` does; there is nothing to tell.
    Unheard,
}

impl Failure {
    /// The same failure with its parts.
    pub fn with_details(self, details: Vec<Detail>) -> Self {
        match self {
            Self::Broken { error, hint, .. } => Self::Broken { error, details, hint },
            other => other,
        }
    }

    /// A failure because of `error`.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken { error: error.into(), details: Vec::new(), hint: None }
    }

    /// The same failure with a hint.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Broken { error, details, .. } => Self::Broken { error, details, hint: Some(hint.into()) },
            other => other,
        }
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Usage,
            Self::Broken { .. } => Exit::Failed,
            Self::Unheard => Exit::Done,
        }
    }

    /// Tells it on standard error.
    pub(super) fn print(&self, console: &mut Console) -> io::Result<()> {
        let err = console.err();
        let (error_word, hint_word) = (err.paint(Ink::Error, "error:"), err.paint(Ink::Hint, "hint:"));
        match self {
            Self::Configuration(problems) => {
                let mut text = format!("{error_word} {problems}\n");
                for problem in problems.iter() {
                    text.push_str(&format!("  {problem}\n"));
                    if let Some(hint) = problem.hint() {
                        text.push_str(&format!("    {hint_word} {hint}\n"));
                    }
                }
                err.write_all(text.as_bytes())
            }
            Self::Broken { error, details, hint } => {
                let mut text = format!("{error_word} {error}\n");
                let mut cause = error.source();
                while let Some(error) = cause {
                    text.push_str(&format!("caused by: {error}\n"));
                    cause = error.source();
                }
                for Detail { what, remedy } in details {
                    text.push_str(&format!("  {what}\n    {hint_word} {remedy}\n"));
                }
                if let Some(hint) = hint {
                    text.push_str(&format!("{hint_word} {hint}\n"));
                }
                err.write_all(text.as_bytes())
            }
            Self::Unheard => Ok(()),
        }
    }
}

/// One of several things that are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// What is wrong.
    pub what: String,
    /// What would mend it.
    pub remedy: String,
}

/// The problems that preflight found, as details.
pub(super) fn details(problems: &[Problem]) -> Vec<Detail> {
    problems.iter().map(|problem| Detail { what: problem.to_string(), remedy: problem.remedy() }).collect()
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::new(error)
    }
}

impl From<io::Error> for Failure {
    /// A failure to write to the console.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Unheard } else { Self::new(OutputError(error)) }
    }
}

/// The console took no output.
#[derive(Debug, thiserror::Error)]
#[error("the output cannot be written")]
struct OutputError(#[source] io::Error);
