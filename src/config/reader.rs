//! From given text to typed values: one reader for all sections, which collects every problem on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    endpoints::GivenEndpoint,
    given::{Given, Layer, contradictions, merge, twins},
    key::{Key, Kind, Preset},
    origin::Origin,
    problem::{Problem, Reason, file_trouble, quoted},
    secret::Secret,
    text_file, units,
};
use crate::secret_source::{UrlFile, without_line_end};

/// Hands out the value of each key once, parsed. What is missing or wrong gives `None` and is kept as a problem.
#[derive(Default)]
pub(super) struct Reader {
    /// The winning text of each key that someone gave.
    given: BTreeMap<&'static str, Given>,
    /// The keys that someone tried to give, so that their absence has been reported already.
    refused: BTreeSet<&'static str>,
    /// Whether the absence of a key means anything; not so if a source could only be read in part.
    is_complete: bool,
    /// The files that secrets were read in, by the key of the secret.
    files: BTreeMap<&'static str, PathBuf>,
    /// The endpoints as they were given.
    endpoints: Vec<GivenEndpoint>,
    /// The variables of the environment.
    variables: BTreeMap<String, Secret>,
    /// What else to say of keys that are absent.
    advice: BTreeMap<&'static str, &'static str>,
    /// What is wrong so far.
    problems: Vec<Problem>,
}

impl Reader {
    /// A reader of what `layers` give, the lowest first.
    pub(super) fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut reader = Self::without_secret_files(layers);
        reader.open_secret_files(|_| true);
        reader
    }

    /// The same before the files that hold secrets are opened.
    pub(super) fn without_secret_files(layers: impl IntoIterator<Item = Layer>) -> Self {
        let (mut given, mut problems) = (Vec::new(), Vec::new());
        let (mut refused, mut is_complete) = (BTreeSet::new(), true);
        let (mut endpoints, mut variables) = (Vec::new(), BTreeMap::new());
        for layer in layers {
            given.extend(layer.given);
            problems.extend(layer.problems);
            refused.extend(layer.refused);
            endpoints.extend(layer.endpoints);
            variables.extend(layer.variables);
            is_complete &= !layer.is_torn;
        }
        let (files, advice) = (BTreeMap::new(), BTreeMap::new());
        let mut reader =
            Self { given: merge(given), refused, is_complete, files, endpoints, variables, advice, problems };
        reader.problems.extend(contradictions(&reader.given));
        reader.resolve_paths();
        reader
    }

    /// What is left: the text of every key, and the problems.
    pub(super) fn finish(self) -> (BTreeMap<&'static str, Given>, Vec<Problem>) {
        (self.given, self.problems)
    }

    /// Whether there are endpoints that nobody took yet.
    pub(super) fn has_endpoints(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// What else to say if `key` turns out to be absent.
    pub(super) fn advise(&mut self, key: &'static Key, advice: &'static str) {
        self.advice.insert(key.name(), advice);
    }

    /// The endpoints as they were given; none are left.
    pub(super) fn take_endpoints(&mut self) -> Vec<GivenEndpoint> {
        std::mem::take(&mut self.endpoints)
    }

    /// The variables of the environment, for fields that name one.
    pub(super) fn variables(&self) -> &BTreeMap<String, Secret> {
        &self.variables
    }

    /// What somebody gave for a key that is no secret, as it is.
    pub(super) fn text(&self, key: &'static Key) -> Option<&str> {
        self.given.get(key.name()).map(|given| given.text.expose())
    }

    /// Notes a problem.
    pub(super) fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The value of a key that always has one.
    pub(super) fn required<T>(
        &mut self,
        key: &'static Key,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let value = self.optional(key, parse)?;
        if value.is_none() && !self.is_excused(key) {
            self.refuse_absent(key, "required, but not given");
        }
        value
    }

    /// The value of a key that need not have one: `Some(None)` if nobody gave it.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static Key,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<Option<T>> {
        let (text, origin) = match (self.given.get(key.name()), key.preset()) {
            (Some(given), _) => (given.text.expose(), given.origin.clone()),
            (None, Preset::Value(text)) => (text, Origin::Default),
            (None, Preset::Required | Preset::Unset(_)) => return Some(None),
        };
        let parsed = if text.is_empty() { Err(Reason::new("must not be empty")) } else { parse(text) };
        parsed.map(Some).map_err(|reason| self.problems.push(Problem::of_value(key, &origin, reason))).ok()
    }

    /// The value of a secret.
    pub(super) fn secret(&mut self, key: &'static Key) -> Option<Option<Secret>> {
        let file = self.files.get(key.name()).cloned();
        self.optional(key, |text| Ok(Secret::new(text).in_file(file)))
    }

    /// The file that holds a URL, and how its section is read again when somebody may have replaced it: with everything else
    /// as it was given, and as strictly. None if the URL was given otherwise. To be asked for before the section is read.
    pub(super) fn url_file<T>(
        &self,
        key: &'static Key,
        read: impl Fn(&mut Self) -> Option<T> + Send + Sync + 'static,
    ) -> Option<UrlFile<T>> {
        let path = self.files.get(key.name())?.clone();
        let section = key.name().split_once('.').map(|(section, _)| section);
        let is_of_section = |name: &str| name.split_once('.').map(|(section, _)| section) == section;
        let given: BTreeMap<_, _> = self
            .given
            .iter()
            .filter(|(name, _)| is_of_section(name))
            .map(|(name, given)| (*name, given.clone()))
            .collect();
        let mut files = self.files.clone();
        files.remove(key.name());
        Some(UrlFile::new(path, move |text| {
            let mut given = given.clone();
            if let Some(url) = given.get_mut(key.name()) {
                url.text = Secret::new(text);
            }
            let mut again = Self { given, files: files.clone(), is_complete: true, ..Self::default() };
            let value = read(&mut again);
            match (value, again.problems.first()) {
                (Some(value), None) => Ok(value),
                (_, Some(problem)) => Err(problem.to_string()),
                (None, None) => Err("it is not complete".to_owned()),
            }
        }))
    }

    /// A path, if the file there can be opened. It is read when it is needed, and again when it may have changed.
    pub(super) fn path(&mut self, key: &'static Key) -> Option<Option<PathBuf>> {
        self.optional(key, |text| {
            let path = PathBuf::from(text);
            if matches!(key.kind(), Kind::PathOr(word) if text == word) {
                return Ok(path);
            }
            text_file::probe(&path).map_err(|error| unreadable(&path, &error))?;
            Ok(path)
        })
    }

    /// A whole number within the bounds of its key.
    pub(super) fn count(&mut self, key: &'static Key) -> Option<usize> {
        self.required(key, |text| units::count(text, key.kind()))
    }

    /// A duration within the bounds of its key.
    pub(super) fn duration(&mut self, key: &'static Key) -> Option<Duration> {
        self.required(key, |text| units::duration(text, key.kind()))
    }

    /// Whether someone gave `key`.
    pub(super) fn has(&self, key: &'static Key) -> bool {
        self.given.contains_key(key.name())
    }

    /// A value for `key` that was found inside that of `source`, if nobody gave `key` itself.
    pub(super) fn adopt(&mut self, key: &'static Key, source: &'static Key, text: Option<String>) {
        let origin = self.given.get(source.name()).map(|given| given.origin.clone());
        if let (Some(text), Some(origin), false) = (text, origin, self.has(key)) {
            self.given.insert(key.name(), Given { key, text: Secret::new(text), origin });
        }
    }

    /// Notes that `key` is needed because of another one, unless a part of the sources could not be read.
    pub(super) fn needs(&mut self, key: &'static Key, because: &'static Key) {
        if !self.is_excused(key) {
            self.refuse_absent(key, &format!("not given, but {} needs it", because.name()));
        }
    }

    /// Notes that `key` cannot go together with `other`.
    pub(super) fn clash(&mut self, key: &'static Key, other: &'static Key, hint: &str) {
        if let Some(given) = self.given.get(key.name()) {
            let reason = Reason::new(format!("cannot go together with {}", other.name())).hint(hint);
            self.problems.push(Problem::of_value(key, &given.origin, reason));
        }
    }

    /// Whether the absence of `key` says nothing: it, or the file that holds it, was given in a way that is reported
    /// already, or it may stand where a source could not be read.
    fn is_excused(&self, key: &'static Key) -> bool {
        let is_tried = |key: &Key| self.refused.contains(key.name());
        let of_file = |file: &Key| self.given.contains_key(file.name()) || is_tried(file);
        !self.is_complete || is_tried(key) || twins().any(|(plain, file)| plain.name() == key.name() && of_file(file))
    }

    /// Notes that a key is absent.
    fn refuse_absent(&mut self, key: &'static Key, text: &str) {
        let variable = key.environment_name();
        let file = twins().any(|(plain, _)| plain.name() == key.name());
        let or_file = if file { format!(", or name a file that holds it in {variable}_FILE") } else { String::new() };
        let advice = self.advice.get(key.name()).map(|advice| format!("; {advice}")).unwrap_or_default();
        let hint = format!("set it in the configuration file or in {variable}{or_file}{advice}");
        self.problems.push(Problem::of_absent(key, Reason::new(text).hint(hint)));
    }

    /// Makes paths that stand in the configuration file relative to its folder.
    fn resolve_paths(&mut self) {
        for given in self.given.values_mut() {
            let Origin::File { path, .. } = &given.origin else { continue };
            match given.key.kind() {
                Kind::Path | Kind::SecretFile => {}
                Kind::PathOr(word) if given.text.expose() != word => {}
                _ => continue,
            }
            let folder = path.parent().unwrap_or(Path::new(""));
            // An empty path stays empty, to be refused as such.
            if let (false, Some(joined)) = (given.text.expose().is_empty(), folder.join(given.text.expose()).to_str()) {
                given.text = Secret::new(joined);
            }
        }
    }

    /// Reads the secrets that stand in files of their own, those that are wanted, and gives each to its key.
    pub(super) fn open_secret_files(&mut self, is_wanted: impl Fn(&Key) -> bool) {
        for (plain, file) in twins().filter(|(plain, _)| is_wanted(plain)) {
            let Some(path) = self.optional(file, |text| Ok(PathBuf::from(text))).flatten() else { continue };
            let Some(origin) = self.given.get(file.name()).map(|given| given.origin.clone()) else { continue };
            match text_file::read(&path, LARGEST_SECRET_BYTES) {
                Ok(text) => {
                    let text = without_line_end(&text);
                    if text.is_empty() {
                        self.problems.push(Problem::of_value(file, &origin, Reason::new("the file is empty")));
                    } else if !self.given.contains_key(plain.name()) {
                        self.given.insert(plain.name(), Given { key: plain, text: Secret::new(text), origin });
                        // A pipe gives what it holds only once.
                        if path.is_file() {
                            self.files.insert(plain.name(), path);
                        }
                    }
                }
                Err(error) => {
                    // Not quoted: the secret itself, in the place of the path to it, is an easy mistake.
                    let reason = Reason::new(format!("the file cannot be read: {}", file_trouble(&error)));
                    let hint = "give the path of a file that holds the secret, not the secret";
                    self.problems.push(Problem::of_value(file, &origin, reason.hint(hint)));
                }
            }
        }
    }
}

/// Why the file at `path` is refused.
fn unreadable(path: &Path, error: &std::io::Error) -> Reason {
    Reason::new(format!("cannot read {}: {}", quoted(&path.to_string_lossy()), file_trouble(error)))
}

/// The largest secret that is read: a URL with many hosts has a few kilobytes.
const LARGEST_SECRET_BYTES: u64 = 64 * 1024;
