//! What is wrong with a configuration, said so that its owner can mend it.
//!
//! A [`Reason`] is what a parser of one value says; a [`Problem`] adds where the value stands; [`Problems`] is all of
//! them, printed together. None of them ever holds the text of a secret.

use std::{fmt, io, path::PathBuf};

use super::{
    key::Key,
    origin::Origin,
    visible::{visible, visible_path},
};

/// Everything that is wrong with a configuration, in the order of a reader: file by line, environment, flags, missing.
#[derive(Debug, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Puts `problems` in the order of a reader.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "a configuration is refused for a reason");
        problems.sort_by_key(|problem| problem.place.rank());
        Self(problems)
    }

    /// The problems, at least one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 problem in the configuration"),
            count => write!(f, "{count} problems in the configuration"),
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    place: Place,
    /// What is wrong.
    reason: Reason,
}

impl Problem {
    /// A wrong value of `key`.
    pub(super) fn of_value(key: &'static Key, origin: &Origin, reason: Reason) -> Self {
        let key = (!origin.names_the_key()).then_some(key.name());
        Self { place: Place::Value { origin: origin.clone(), key }, reason }
    }

    /// Something wrong at `origin` that is no value of a known key.
    pub(super) fn at(origin: Origin, reason: Reason) -> Self {
        Self { place: Place::Value { origin, key: None }, reason }
    }

    /// Something wrong with the file as a whole.
    pub(super) fn with_file(path: PathBuf, reason: Reason) -> Self {
        Self { place: Place::File(path), reason }
    }

    /// Something wrong with a key that nobody gave.
    pub(super) fn of_absent(key: &'static Key, reason: Reason) -> Self {
        Self { place: Place::Key(key.name()), reason }
    }

    /// What is wrong, without the place.
    pub fn text(&self) -> &str {
        &self.reason.text
    }

    /// What would mend it, if that is known.
    pub fn hint(&self) -> Option<&str> {
        self.reason.hint.as_deref()
    }
}

impl fmt::Display for Problem {
    /// The place and the problem on one line, without the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "{}", visible_path(path))?,
            Place::Value { origin, key: None } => write!(f, "{origin}")?,
            Place::Value { origin, key: Some(key) } => write!(f, "{origin}: {key}")?,
            Place::Key(key) => f.write_str(key)?,
        }
        write!(f, ": {}", self.reason.text)
    }
}

/// Where a problem stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The file as a whole.
    File(PathBuf),
    /// Where a value was given; `key` if the origin alone does not tell which.
    Value { origin: Origin, key: Option<&'static str> },
    /// A key that nobody gave.
    Key(&'static str),
}

impl Place {
    /// Sorts places in the order of a reader.
    fn rank(&self) -> (u8, usize) {
        match self {
            Self::File(_) => (0, 0),
            Self::Value { origin: Origin::File { line, .. }, .. } => (1, *line),
            Self::Value { origin, .. } => (origin.level(), 0),
            Self::Key(_) => (u8::MAX, 0),
        }
    }
}

/// Why a value is refused. The text quotes the value only if the parser knows that it is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The problem: short, lower case, no stop.
    text: String,
    /// What to do about it.
    hint: Option<String>,
}

impl Reason {
    /// A reason without a hint.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    /// The same reason, with what it is about before it.
    pub(super) fn about(self, what: &str) -> Self {
        Self { text: format!("{what}: {}", self.text), ..self }
    }

    /// The same reason with a hint.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same reason with a hint, if there is one.
    pub(super) fn maybe_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

/// `text` between backticks, on one line, without control characters and not longer than a line can bear.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_QUOTE).flat_map(visible).collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// What went wrong with a file, in the words of a person.
pub(super) fn file_trouble(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The longest quote of a value, in characters: enough to recognise it, and one line on most terminals.
const LONGEST_QUOTE: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_stays_on_one_line() {
        assert_eq!(quoted("plain ü"), "`plain ü`");
        assert_eq!(quoted("a\nb\u{1b}[31m\u{202e}"), "`a\\u{a}b\\u{1b}[31m\\u{202e}`");
        assert_eq!(quoted(&"x".repeat(61)), format!("`{}…`", "x".repeat(60)));
    }
}
