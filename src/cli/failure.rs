//! How a command fails, and how that is told: once, here, with all its causes.

use std::{
    error::Error,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{
    Exit,
    console::{Console, Ink},
};
use crate::{
    code::Code,
    config::Problems,
    preflight::Problem,
    supervisor,
    telemetry::log::{self, LogError},
};

/// Why a command did not do what it says.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is not whole.
    Configuration(Problems),
    /// Something else.
    Broken(Box<Broken>),
    /// The reader of standard output went away, as `head` does; there is nothing to tell.
    Unheard,
}

/// Something that went wrong, with all its causes.
#[derive(Debug)]
pub struct Broken {
    /// Where to look it up, if it has a page.
    code: Option<Code>,
    /// What went wrong.
    error: Box<dyn Error + Send + Sync>,
    /// Its parts, if it has several, each with what would mend it.
    details: Vec<Detail>,
    /// What would mend it, if that is known.
    hint: Option<String>,
}

impl Failure {
    /// A failure because of `error`.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken(Box::new(Broken { code: None, error: error.into(), details: Vec::new(), hint: None }))
    }

    /// The same failure with its code.
    pub fn with_code(self, code: impl Into<Option<Code>>) -> Self {
        self.with(|broken| broken.code = code.into())
    }

    /// The same failure with its parts.
    pub fn with_details(self, details: Vec<Detail>) -> Self {
        self.with(|broken| broken.details = details)
    }

    /// The same failure with a hint, if there is one.
    pub fn with_hint(self, hint: Option<impl Into<String>>) -> Self {
        self.with(|broken| broken.hint = hint.map(Into::into))
    }

    fn with(mut self, change: impl FnOnce(&mut Broken)) -> Self {
        if let Self::Broken(broken) = &mut self {
            change(broken);
        }
        self
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Usage,
            Self::Broken(_) => Exit::Failed,
            Self::Unheard => Exit::Done,
        }
    }

    /// Tells it on standard error, in one line of JSON if the log is of such lines.
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
            Self::Broken(broken) if err.is_for_machines() => err.write_all(broken.line().as_bytes()),
            Self::Broken(broken) => {
                let see_word = err.paint(Ink::Hint, "see:");
                err.write_all(broken.text(&error_word, &hint_word, &see_word).as_bytes())
            }
            Self::Unheard => Ok(()),
        }
    }
}

impl Broken {
    /// For people.
    fn text(&self, error_word: &str, hint_word: &str, see_word: &str) -> String {
        let mut text = match self.code {
            Some(code) => format!("{error_word} {code} {}\n", self.error),
            None => format!("{error_word} {}\n", self.error),
        };
        for cause in self.causes() {
            text.push_str(&format!("caused by: {cause}\n"));
        }
        for Detail { code, what, remedy } in &self.details {
            text.push_str(&format!("  {code} {what}\n    {hint_word} {remedy}\n"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{hint_word} {hint}\n"));
        }
        for page in self.pages() {
            text.push_str(&format!("{see_word} {page}\n"));
        }
        text
    }

    /// For machines: one line, like those of the log.
    fn line(&self) -> String {
        let action = match (&self.hint, &self.details[..]) {
            (Some(hint), _) => Some(hint.clone()),
            (None, []) => None,
            (None, [only]) => Some(only.remedy.clone()),
            (None, _) => Some("mend each of the problems".to_owned()),
        };
        let mut fields = vec![
            ("code", self.code.map_or(Value::Null, |code| code.to_string().into())),
            ("error", self.error.to_string().into()),
            ("causes", self.causes().into()),
            ("action", action.into()),
            ("see", self.pages().into()),
        ];
        if !self.details.is_empty() {
            let problem = |Detail { code, what, remedy }: &Detail| json!({ "code": code.to_string(), "error": what, "action": remedy });
            fields.push(("problems", self.details.iter().map(problem).collect()));
        }
        log::last_line("the command failed", fields)
    }

    /// The error's own causes, the nearest first.
    fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        causes
    }

    /// The pages to read, each once.
    fn pages(&self) -> Vec<String> {
        let mut pages = Vec::new();
        for code in self.code.into_iter().chain(self.details.iter().map(|detail| detail.code)) {
            if !pages.contains(&code.page()) {
                pages.push(code.page());
            }
        }
        pages
    }
}

/// One of several things that are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Where to look it up.
    pub code: Code,
    /// What is wrong.
    pub what: String,
    /// What would mend it.
    pub remedy: String,
}

/// The problems that preflight found, as details.
pub(super) fn details(problems: &[Problem]) -> Vec<Detail> {
    let detail = |problem: &Problem| {
        let (code, _) = supervisor::of_problem(problem);
        Detail { code, what: problem.to_string(), remedy: problem.remedy() }
    };
    problems.iter().map(detail).collect()
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
