//! Values as they were given: text and its origin, before anyone parses it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    endpoints::GivenEndpoint,
    key::{Key, Kind},
    keys,
    origin::Origin,
    problem::{Problem, Reason, quoted},
    secret::Secret,
    suggest::{did_you_mean, nearest},
};

/// The text that someone gave for a key. It counts as secret until its key says otherwise.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The key.
    pub(super) key: &'static Key,
    /// The text.
    pub(super) text: Secret,
    /// Who gave it.
    pub(super) origin: Origin,
}

/// What one source gave, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// The values.
    pub(super) given: Vec<Given>,
    /// The problems.
    pub(super) problems: Vec<Problem>,
    /// The keys that were given, but not as they must be.
    pub(super) refused: BTreeSet<&'static str>,
    /// The endpoints.
    pub(super) endpoints: Vec<GivenEndpoint>,
    /// All variables of the environment that are text, for fields that name one.
    pub(super) variables: BTreeMap<String, Secret>,
    /// Whether a part of the source could not be read, so that nothing follows from the absence of a key.
    pub(super) is_torn: bool,
}

impl Layer {
    /// Adds a value.
    pub(super) fn give(&mut self, key: &'static Key, text: impl Into<String>, origin: Origin) {
        self.given.push(Given { key, text: Secret::new(text), origin });
    }

    /// Adds a problem with the value of `key`, which then counts as neither given nor absent.
    pub(super) fn refuse_value(&mut self, key: &'static Key, origin: &Origin, reason: Reason) {
        self.refused.insert(key.name());
        self.refuse(Problem::of_value(key, origin, reason));
    }

    /// Adds a problem.
    pub(super) fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

/// All layers as one: for each key the value of the highest origin, the later one if two are equal.
///
/// A key and its `_file` twin are two spellings of one value. The higher origin wins; given twice at one level, they
/// contradict each other, and both are kept for [`contradictions`] to report.
pub(super) fn merge(layers: impl IntoIterator<Item = Given>) -> BTreeMap<&'static str, Given> {
    let mut merged: BTreeMap<&'static str, Given> = BTreeMap::new();
    for given in layers {
        let name = given.key.name();
        if merged.get(name).is_none_or(|known| known.origin.level() <= given.origin.level()) {
            merged.insert(name, given);
        }
    }
    for (plain, file) in twins() {
        let levels = [plain, file].map(|key| merged.get(key.name()).map(|given| given.origin.level()));
        if let [Some(plain_level), Some(file_level)] = levels {
            if plain_level < file_level {
                merged.remove(plain.name());
            } else if file_level < plain_level {
                merged.remove(file.name());
            }
        }
    }
    merged
}

/// The problems of keys that are given both as such and by `_file`, at one level.
pub(super) fn contradictions(merged: &BTreeMap<&'static str, Given>) -> Vec<Problem> {
    let both = twins().filter_map(|(plain, file)| merged.get(plain.name()).zip(merged.get(file.name())));
    both.map(|(plain, file)| {
        let reason = Reason::new(format!("{} is given as well, at {}", plain.key.name(), plain.origin));
        Problem::of_value(file.key, &file.origin, reason.hint("keep one of the two"))
    })
    .collect()
}

/// Each key that can come from a file, with the key that names the file.
pub(super) fn twins() -> impl Iterator<Item = (&'static Key, &'static Key)> {
    keys::KEYS.iter().filter_map(|file| Some((keys::find(file.holds()?)?, file)))
}

/// Why a key called `name` is refused. The hint is the nearest key of the same section; or else the keys that are called
/// so in other sections; or else, if there is no such section, the nearest key of all.
pub(super) fn unknown_key(name: &str) -> Reason {
    let (section, last) = name.rsplit_once('.').unwrap_or(("", name));
    let parts = || keys::KEYS.iter().filter_map(|key| key.name().rsplit_once('.'));
    let beside = nearest(last, parts().filter(|(of, _)| *of == section).map(|(_, last)| last));
    let beside = beside.map(|last| vec![format!("`{section}.{last}`")]);
    let elsewhere = || {
        let called = |(of, key): (&str, &str)| (key == last.replace('-', "_")).then(|| format!("`{of}.{key}`"));
        Some(parts().filter_map(called).collect::<Vec<_>>()).filter(|names| !names.is_empty())
    };
    let anywhere = || {
        let is_section = section.is_empty() || parts().any(|(of, _)| of == section);
        let near = nearest(name, keys::KEYS.iter().map(Key::name).filter(|_| !is_section));
        near.map(|key| vec![format!("`{key}`")])
    };
    let hint = beside.or_else(elsewhere).or_else(anywhere).map(|names| format!("did you mean {}?", names.join(" or ")));
    Reason::new(format!("unknown key{}", quoted_name(name))).maybe_hint(hint)
}

/// Why a section called `name` is refused.
pub(super) fn unknown_section(name: &str) -> Reason {
    let nested = keys::KEYS.iter().filter_map(|key| key.name().rsplit_once('.')).map(|(section, _)| section);
    let hint = did_you_mean(name, nested);
    let hint = hint.unwrap_or_else(|| format!("the sections are {}", keys::sections().join(", ")));
    Reason::new(format!("unknown section{}", quoted_name(name))).hint(hint)
}

/// A blank and `name` in quotes, if it looks like a name; a secret that got into its place does not, mostly.
fn quoted_name(name: &str) -> String {
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if is_name { format!(" {}", quoted(name)) } else { String::new() }
}

/// Why a value of the wrong type is refused.
pub(super) fn wrong_type(kind: Kind, found: &str) -> Reason {
    let expected = match kind {
        Kind::Count { .. } => "a whole number",
        Kind::Size => "a size",
        Kind::Duration { .. } => "a duration",
        Kind::Switch => "true or false",
        _ => "text",
    };
    let hint = match (kind, found) {
        (Kind::Count { .. } | Kind::Switch, "text") => Some("write it without quotes".to_owned()),
        (Kind::Url, "an array") => Some("separate several hosts by commas, in one text".to_owned()),
        (Kind::Duration { .. }, _) => Some("write a number with a unit in quotes, such as \"5s\"".to_owned()),
        (Kind::Size, _) => Some("write a number with a unit in quotes, such as \"16MiB\"".to_owned()),
        (Kind::Count { .. } | Kind::Switch, _) => Some(kind.describe()),
        (_, "a table" | "an array") => None,
        _ => Some("write it in quotes".to_owned()),
    };
    Reason::new(format!("expected {expected}, found {found}")).maybe_hint(hint)
}
