//! One endpoint: from the fields that somebody gave to an [`Endpoint`] that is right if it exists.
//!
//! The same checks for a table of the file and for a row of the database: whatever is wrong is told at once, and no secret
//! is in any of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    endpoint_fields::ENDPOINT_FIELDS,
    endpoints::{Field, Given, GivenEndpoint},
    key::Kind,
    origin::Origin,
    problem::{Problem, Reason, file_trouble, quoted},
    secret::Secret,
    suggest::did_you_mean,
    text_file,
    units::{self, one_of},
};
use crate::{
    secret_source::without_line_end,
    webhooks::{
        BodyFormat, Endpoint, EndpointName, ExtraHeader, Guard, Ordering, Schedule, SigningSecret, Start, Target,
        TargetError, is_filter,
    },
};

/// What holds for all endpoints of one origin.
pub(super) struct Surroundings<'a> {
    /// What the names of fields begin with when something is wrong with one.
    pub(super) of: Option<&'static str>,
    /// The addresses and ports that may be connected to.
    pub(super) guard: &'a Guard,
    /// What an endpoint gets that names no subjects.
    pub(super) all_subjects: &'a [String],
    /// The variables of the environment. Whoever gives none names none, and no files either.
    pub(super) variables: Option<&'a BTreeMap<String, Secret>>,
}

/// The endpoint, or everything that is wrong with it.
pub(super) fn read(given: GivenEndpoint, around: &Surroundings<'_>) -> Result<Endpoint, Vec<Problem>> {
    let mut fields = Fields { given, around, problems: Vec::new() };
    match fields.endpoint() {
        Some(endpoint) if fields.problems.is_empty() => Ok(endpoint),
        _ => Err(fields.problems),
    }
}

/// The fields of one endpoint, which are taken one after the other.
struct Fields<'a> {
    given: GivenEndpoint,
    around: &'a Surroundings<'a>,
    problems: Vec<Problem>,
}

impl Fields<'_> {
    /// The endpoint, if every field is right.
    fn endpoint(&mut self) -> Option<Endpoint> {
        for field in self.given.fields.clone().iter().filter(|field| !is_field(&field.name)) {
            let name: String = field.name.chars().take(40).filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let reason = Reason::new(format!("unknown field {} of an endpoint", quoted(&name)));
            self.problems.push(Problem::at(
                field.origin.clone(),
                reason.maybe_hint(did_you_mean(&name, ENDPOINT_FIELDS.iter().map(|field| field.name))),
            ));
        }
        let name = self.required("name", |text| {
            let hint = "1 to 40 of a-z, 0-9, _ and -";
            EndpointName::parse(text).ok_or_else(|| Reason::new(format!("{} is not a name", quoted(text))).hint(hint))
        });
        let is_plain_allowed = self.switch("plain_http", false);
        let guard = self.around.guard;
        let target = self.required("url", |text| {
            let plain = is_plain_allowed.unwrap_or(true);
            Target::parse(text, plain, guard)
                .map_err(|error| Reason::new(error.to_string()).hint(hint_for(&error, guard)))
        });
        let secrets = self.secrets();
        let subjects = self.subjects();
        let headers = self.headers();
        let format = self.optional("format", |text| one_of(text, &FORMATS));
        let ordering = self.optional("ordering", |text| one_of(text, &ORDERINGS));
        let start = self.optional("start", |text| one_of(text, &STARTS));
        let concurrency = self.count("concurrency", 16, 256);
        let max_waiting = self.count("max_waiting", 1000, 10_000);
        let timeout = self.duration("timeout", Duration::from_secs(15), Duration::from_secs(300));
        let disable_after = self.duration("disable_after", 5 * DAY, 365 * DAY);
        let schedule = self.schedule();
        let is_enabled = self.switch("enabled", true);
        Some(Endpoint {
            name: name?,
            target: target?,
            secrets: secrets?,
            subjects: subjects?,
            headers: headers?,
            format: format?.unwrap_or_default(),
            ordering: ordering?.unwrap_or_default(),
            concurrency: concurrency?,
            timeout: timeout?,
            schedule: schedule?,
            disable_after: disable_after?,
            max_waiting: max_waiting?,
            start: start?.unwrap_or_default(),
            is_enabled: is_enabled? && is_plain_allowed.is_some(),
        })
    }

    /// A field, if it is given.
    fn take(&self, name: &str) -> Option<Field> {
        self.given.fields.iter().find(|field| field.name == name).cloned()
    }

    /// Notes what is wrong with a field.
    fn refuse<T>(&mut self, field: &Field, reason: Reason) -> Option<T> {
        self.problems.push(Problem::at(field.origin.clone(), reason.about(&self.called(&field.name))));
        None
    }

    /// What a field is called when something is wrong with it.
    fn called(&self, name: &str) -> String {
        self.around.of.map_or_else(|| name.to_owned(), |what| format!("{what}.{name}"))
    }

    fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Reason>) -> Option<T> {
        let value = self.optional(name, parse)?;
        if value.is_none() {
            let reason = Reason::new("required, but not given").about(&self.called(name));
            self.problems.push(Problem::at(self.given.origin.clone(), reason));
        }
        value
    }

    fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Reason>) -> Option<Option<T>> {
        let Some(field) = self.take(name) else { return Some(None) };
        let Given::Text(text) = &field.value else { return self.refuse(&field, Reason::new("expected text")) };
        match parse(text) {
            Ok(value) => Some(Some(value)),
            Err(reason) => self.refuse(&field, reason),
        }
    }

    fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let Some(field) = self.take(name) else { return Some(Vec::new()) };
        match &field.value {
            Given::Texts(texts) => Some(texts.clone()),
            _ => self.refuse(&field, Reason::new("expected a list of texts").hint("write it as [\"...\", \"...\"]")),
        }
    }

    fn switch(&mut self, name: &str, preset: bool) -> Option<bool> {
        let Some(field) = self.take(name) else { return Some(preset) };
        match field.value {
            Given::Switch(value) => Some(value),
            _ => self.refuse(&field, Reason::new("expected true or false")),
        }
    }

    fn count(&mut self, name: &str, preset: usize, max: usize) -> Option<usize> {
        let Some(field) = self.take(name) else { return Some(preset) };
        let number = if let Given::Number(number) = field.value { usize::try_from(number).ok() } else { None };
        let kind = Kind::Count { min: 1, max };
        match number.filter(|number| (1..=max).contains(number)) {
            Some(number) => Some(number),
            None => self.refuse(&field, Reason::new(format!("expected {}", kind.describe()))),
        }
    }

    fn duration(&mut self, name: &str, preset: Duration, max: Duration) -> Option<Duration> {
        let kind = Kind::Duration { min: Duration::from_millis(1), max };
        Some(self.optional(name, |text| units::duration(text, kind))?.unwrap_or(preset))
    }

    fn schedule(&mut self) -> Option<Schedule> {
        let Some(field) = self.take("retries") else { return Some(Schedule::default()) };
        let Given::Texts(texts) = &field.value else {
            let hint = "write it as [\"5s\", \"5m\", \"2h\"]; [] means one attempt";
            return self.refuse(&field, Reason::new("expected a list of durations").hint(hint));
        };
        let kind = Kind::Duration { min: Duration::ZERO, max: Duration::MAX };
        let steps: Result<Vec<_>, _> = texts.iter().map(|text| units::duration(text, kind)).collect();
        match steps.and_then(|steps| Schedule::new(steps).map_err(|error| Reason::new(error.to_string()))) {
            Ok(schedule) => Some(schedule),
            Err(reason) => self.refuse(&field, reason),
        }
    }

    fn subjects(&mut self) -> Option<Vec<String>> {
        let subjects = self.texts("subjects")?;
        if subjects.is_empty() {
            return Some(self.around.all_subjects.to_vec());
        }
        match (subjects.iter().find(|subject| !is_filter(subject)), self.take("subjects")) {
            (Some(wrong), Some(field)) => {
                let reason = Reason::new(format!("{} is not a filter of subjects", quoted(wrong)));
                self.refuse(
                    &field,
                    reason.hint("words with dots between them, * for one, > for the rest: outbox.order.>"),
                )
            }
            _ => Some(subjects),
        }
    }

    fn headers(&mut self) -> Option<Vec<ExtraHeader>> {
        let Some(field) = self.take("headers") else { return Some(Vec::new()) };
        let Given::Table(pairs) = &field.value else {
            return self.refuse(&field, Reason::new("expected a table").hint("write it as { name = \"value\" }"));
        };
        let mut headers = Vec::new();
        for (name, value) in pairs {
            match ExtraHeader::new(name, value) {
                Ok(header) => headers.push(header),
                // Not the value, which may be a secret.
                Err(reason) => return self.refuse(&field, Reason::new(format!("{}: {reason}", quoted(name)))),
            }
        }
        Some(headers)
    }

    /// The secrets: as such, in files, in variables of the environment.
    fn secrets(&mut self) -> Option<Vec<SigningSecret>> {
        let mut found = Vec::new();
        for text in self.texts("secrets")? {
            found.push(("secrets", secret(&text)));
        }
        for path in self.texts("secret_files")? {
            let read = text_file::read(&self.beside_the_file(&path), LARGEST_SECRET_BYTES);
            // The path is not quoted: the secret itself, in its place, is an easy mistake.
            let read = read.map_err(|error| Reason::new(format!("the file cannot be read: {}", file_trouble(&error))));
            found.push(("secret_files", read.and_then(|text| secret(without_line_end(&text)))));
        }
        for name in self.texts("secret_variables")? {
            let text = self.around.variables.and_then(|all| all.get(&name)).map(Secret::expose);
            let text = text.ok_or_else(|| Reason::new("the variable is not set, or is not text"));
            found.push(("secret_variables", text.and_then(secret)));
        }
        if found.is_empty() {
            let (reason, making) =
                (Reason::new("no secret to sign with"), "`openssl rand -base64 32` with whsec_ before it makes one");
            let reason = match self.around.of {
                Some(what) => reason.about(what).hint(format!("name a file that holds one in secret_files; {making}")),
                None => reason.about("secrets").hint(making),
            };
            self.problems.push(Problem::at(self.given.origin.clone(), reason));
            return None;
        }
        let mut secrets = Vec::new();
        let mut is_whole = true;
        for (name, secret) in found {
            match (secret, self.take(name)) {
                (Ok(secret), _) => secrets.push(secret),
                (Err(reason), Some(field)) => is_whole = self.refuse(&field, reason).unwrap_or(false),
                (Err(_), None) => is_whole = false,
            }
        }
        is_whole.then_some(secrets)
    }

    /// A path, taken from the folder of the configuration file.
    fn beside_the_file(&self, path: &str) -> PathBuf {
        match &self.given.origin {
            Origin::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
            _ => path.into(),
        }
    }
}

/// What would make a URL one that is right.
fn hint_for(error: &TargetError, guard: &Guard) -> String {
    match error {
        TargetError::Port(_) => format!("webhooks.allow_ports says which they may have; now {}", guard.ports()),
        _ => "an address in your own network must be in webhooks.allow_addresses, http needs plain_http = true"
            .to_owned(),
    }
}

fn is_field(name: &str) -> bool {
    ENDPOINT_FIELDS.iter().any(|field| field.name == name)
}

fn secret(text: &str) -> Result<SigningSecret, Reason> {
    SigningSecret::parse(text.trim()).map_err(|error| Reason::new(error.to_string()))
}

/// The words for what requests carry.
const FORMATS: [(&str, BodyFormat); 3] =
    [("raw", BodyFormat::Raw), ("envelope", BodyFormat::Envelope), ("cloudevents", BodyFormat::CloudEvents)];
/// The words for order.
const ORDERINGS: [(&str, Ordering); 2] = [("none", Ordering::None), ("aggregate", Ordering::Aggregate)];
/// The words for the beginning.
const STARTS: [(&str, Start); 2] = [("new", Start::New), ("all", Start::All)];
/// A day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest secret that is read.
const LARGEST_SECRET_BYTES: u64 = 4096;
