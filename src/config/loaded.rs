//! The outcome of loading: the configuration, and each value as it may be shown.

use super::{
    Config,
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
    pub(super) fn new(key: &'static Key, given: Option<&Given>, config: &Config) -> Self {
        let origin = given.map_or(Origin::Default, |given| given.origin.clone());
        let text = given.map(|given| given.text.expose()).or(match key.preset() {
            Preset::Value(text) => Some(text),
            Preset::Required | Preset::Unset(_) => None,
        });
        let value = match (text, key.kind()) {
            (None, _) => Shown::Unset,
            (Some(_), Kind::Secret) => Shown::Hidden,
            (Some(_), Kind::Url) if key.name() == keys::POSTGRES_URL.name() => {
                Shown::Text(config.postgres.shown_url.clone())
            }
            (Some(_), Kind::Url) if key.name() == keys::NATS_URL.name() => Shown::Text(config.nats.shown_url.clone()),
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
