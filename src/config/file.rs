//! The configuration file: TOML text to values with their lines.
//!
//! Knows the table of keys and the syntax; does not know what a value means.

use std::{collections::BTreeSet, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    endpoints::{self, ENDPOINT},
    given::{Layer, unknown_key, unknown_section, wrong_type},
    key::{Key, Kind},
    keys,
    origin::Origin,
    problem::{Problem, Reason, file_trouble, quoted},
    text_file,
};

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Layer {
    match text_file::read(path, LARGEST_BYTES) {
        Ok(text) => parse(path, &text),
        Err(error) => {
            let reason = Reason::new(format!("cannot be read: {}", file_trouble(&error)));
            let problems = vec![Problem::with_file(path.to_owned(), reason)];
            Layer { problems, is_torn: true, ..Layer::default() }
        }
    }
}

/// The values in `text`, which stands in the file at `path`.
///
/// With wrong syntax, what stands above the line of the first mistake is still sound and is judged; what stands below
/// is left alone, because a missing quote or bracket would make it look like something else.
pub(super) fn parse(path: &Path, text: &str) -> Layer {
    let (root, mistakes) = DeTable::parse_recoverable(text);
    let offsets: Vec<_> = mistakes.iter().map(|mistake| mistake.span().map_or(0, |span| span.start)).collect();
    let first = offsets.iter().copied().min();
    let sound_end =
        first.map_or(usize::MAX, |offset| before(text, offset).rfind('\n').map_or(0, |newline| newline + 1));
    let mut walk = Walk { path, text, sound_end, layer: Layer { is_torn: first.is_some(), ..Layer::default() } };
    // The message of a mistake is made of fixed words and never quotes the file, which may hold a secret.
    // One mistake often makes several on its line; the first tells most.
    let mut lines = BTreeSet::new();
    for (mistake, offset) in mistakes.iter().zip(offsets) {
        if lines.insert(line_of(text, offset)) {
            let problem = Problem::at(walk.origin(offset), Reason::new(format!("not TOML: {}", mistake.message())));
            walk.layer.refuse(problem);
        }
    }
    walk.table("", root.get_ref());
    walk.layer
}

/// A walk through the tables of a file.
struct Walk<'a> {
    /// The file.
    path: &'a Path,
    /// All of its text.
    text: &'a str,
    /// The offset up to which the syntax is sound.
    sound_end: usize,
    /// What was found so far.
    layer: Layer,
}

impl Walk<'_> {
    /// Goes through `table`, whose keys begin with `prefix` (empty, or ending in a dot).
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = format!("{prefix}{}", name.get_ref());
            if name.span().end < self.sound_end {
                self.entry(&path, name.span().start, value);
            }
        }
    }

    /// Takes one entry: the key or section called `name`, which stands at `offset`.
    fn entry(&mut self, name: &str, offset: usize, value: &Spanned<DeValue<'_>>) {
        let origin = self.origin(offset);
        let section = format!("{name}.");
        if name == ENDPOINT {
            self.endpoints(origin, value);
        } else if let Some(key) = keys::find(name) {
            if value.span().end < self.sound_end {
                self.value(key, value.get_ref(), origin);
            }
        } else if keys::KEYS.iter().any(|key| key.name().starts_with(&section)) {
            match value.get_ref() {
                DeValue::Table(table) => self.table(&section, table),
                _ => {
                    let members = keys::KEYS.iter().map(Key::name).filter(|key| key.starts_with(&section));
                    self.layer.refused.extend(members);
                    let reason = Reason::new(format!("{} is a section, not a key", quoted(name)));
                    self.layer.refuse(Problem::at(origin, reason.hint(format!("write [{name}] on a line of its own"))));
                }
            }
        } else if matches!(value.get_ref(), DeValue::Table(_)) {
            self.layer.refuse(Problem::at(origin, unknown_section(name)));
        } else {
            self.layer.refuse(Problem::at(origin, unknown_key(name)));
        }
    }

    /// Takes the tables of endpoints.
    fn endpoints(&mut self, origin: Origin, value: &Spanned<DeValue<'_>>) {
        if value.span().end < self.sound_end {
            match endpoints::read(value, |offset| self.origin(offset)) {
                Ok(endpoints) => self.layer.endpoints.extend(endpoints),
                Err(reason) => self.layer.refuse(Problem::at(origin, reason.about(ENDPOINT))),
            }
        }
    }

    /// Takes the value of `key`, if it is of a type that the key takes.
    fn value(&mut self, key: &'static Key, value: &DeValue<'_>, origin: Origin) {
        let text = match (key.kind(), value) {
            (Kind::Count { .. } | Kind::Size, DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
            }
            (Kind::Switch, DeValue::Boolean(value)) => Some(value.to_string()),
            (Kind::Count { .. } | Kind::Switch, DeValue::String(_)) => None,
            (_, DeValue::String(text)) => Some(text.to_string()),
            _ => None,
        };
        match text {
            Some(text) => self.layer.give(key, text, origin),
            None => {
                let reason = wrong_type(key.kind(), type_of(value));
                self.layer.refuse_value(key, &origin, reason);
            }
        }
    }

    /// The origin of what stands at `offset`.
    fn origin(&self, offset: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line: line_of(self.text, offset) }
    }
}

/// The line of `offset`, counted from 1; the end of the text belongs to its last line.
fn line_of(text: &str, offset: usize) -> usize {
    (before(text, offset).matches('\n').count() + 1).min(text.lines().count().max(1))
}

/// The text before `offset`.
fn before(text: &str, offset: usize) -> &str {
    text.get(..offset).unwrap_or(text)
}

/// What a person calls the type of `value`.
fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The largest file that is read: far more than every key at its longest, and nothing for the memory.
const LARGEST_BYTES: u64 = 1024 * 1024;
