//! The outcome of loading: the configuration, and each value as it may be shown.

use super::{
    Config, WorkerConfig,
    given::Given,
    key::{Key, Kind, Preset},
    keys,
    origin::Origin,
};

/// A configuration, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// One row for each key, in the order of [`super::KEYS`].
    pub rows: Vec<Row>,
}

/// What webhooks need of a configuration, and where each value of it comes from.
#[derive(Clone, Debug)]
pub struct LoadedWorker {
    /// The settings.
    pub config: WorkerConfig,
    /// One row for each key that webhooks read, in the order of [`super::KEYS`].
    pub rows: Vec<Row>,
}

/// The URLs as they may be shown; none if nobody read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShownUrls<'a> {
    /// That of the database.
    pub(super) postgres: Option<&'a str>,
    /// That of the broker.
    pub(super) nats: &'a str,
}

/// One key, its value and its origin, fit to be shown.
#[derive(Clone, Debug)]
pub struct Row {
    /// The key.
    pub key: &'static Key,
    /// The value, without anything secret.
    pub value: Shown,
    /// Where the value comes from.
    pub origin: Origin,
}

impl Row {
    /// The row of `key`, whose text is `given`.
    pub(super) fn new(key: &'static Key, given: Option<&Given>, urls: ShownUrls<'_>) -> Self {
        let origin = given.map_or(Origin::Default, |given| given.origin.clone());
        let text = given.map(|given| given.text.expose()).or(match key.preset() {
            Preset::Value(text) => Some(text),
            Preset::Required | Preset::Unset(_) => None,
        });
        let value = match (text, key.kind()) {
            (None, _) => Shown::Unset,
            (Some(_), Kind::Secret) => Shown::Hidden,
            (Some(_), Kind::Url) if key.name() == keys::POSTGRES_URL.name() => {
                urls.postgres.map_or(Shown::Hidden, |url| Shown::Text(url.to_owned()))
            }
            (Some(_), Kind::Url) if key.name() == keys::NATS_URL.name() => Shown::Text(urls.nats.to_owned()),
            (Some(_), Kind::Url) => Shown::Hidden,
            (Some(text), _) => Shown::Text(text.to_owned()),
        };
        Self { key, value, origin }
    }
}

/// A value as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The value, without anything secret.
    Text(String),
    /// A secret.
    Hidden,
    /// Nobody gave it, and there is no default.
    Unset,
}
