//! What is known of a key before anyone gives it a value.

use std::time::Duration;

/// One key of the configuration. All of them are listed once, in [`super::KEYS`].
#[derive(Debug)]
pub struct Key {
    /// `section.key`, as in the file.
    pub(super) name: &'static str,
    /// What it is, in a line.
    pub(super) doc: &'static str,
    /// What values it takes.
    pub(super) kind: Kind,
    /// What holds if nobody gives it.
    pub(super) preset: Preset,
}

impl Key {
    /// The name in the file: `postgres.slot`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the key is, in a line.
    pub const fn doc(&self) -> &'static str {
        self.doc.trim_ascii()
    }

    /// What values it takes.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What holds if nobody gives it.
    pub const fn preset(&self) -> Preset {
        self.preset
    }

    /// The name in the environment: `WALPOST_POSTGRES_SLOT`.
    pub fn environment_name(&self) -> String {
        let mut name = super::environment::PREFIX.to_owned();
        name.extend(self.name.chars().map(|c| if c == '.' { '_' } else { c.to_ascii_uppercase() }));
        name
    }

    /// The name of the key whose value stands in the file that this key names, if this is such a key.
    pub fn holds(&self) -> Option<&'static str> {
        matches!(self.kind, Kind::SecretFile).then(|| self.name.strip_suffix("_file")).flatten()
    }

    /// Whether the whole value is a secret.
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }
}

/// What holds for a key that nobody gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The configuration is not whole without it.
    Required,
    /// This value, written as in the environment.
    Value(&'static str),
    /// Nothing; the text says what that means.
    Unset(&'static str),
}

/// What values a key takes. Drives the types accepted in the file, the hints, and the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A URL, whose user part may hold a secret.
    Url,
    /// A secret.
    Secret,
    /// The path of a file that holds the secret of the key without `_file`.
    SecretFile,
    /// The path of a file that is read when it is needed.
    Path,
    /// The same, or this word.
    PathOr(&'static str),
    /// An IP address and a port.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Count {
        /// The smallest.
        min: usize,
        /// The largest.
        max: usize,
    },
    /// A number of bytes.
    Size,
    /// A length of time.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// On or off.
    Switch,
}

impl Kind {
    /// What a value looks like: goes into hints and the reference.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Url => "a URL".to_owned(),
            Self::Secret => "text, a secret".to_owned(),
            Self::SecretFile | Self::Path => "the path of a file".to_owned(),
            Self::PathOr(word) => format!("the path of a file, or `{word}`"),
            Self::Address => "an address and a port, such as 127.0.0.1:9464 or [::1]:9464".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Size => "a number of bytes with a unit (B, KiB, MiB, GiB), such as 16MiB".to_owned(),
            Self::Duration { .. } => "a whole number with a unit (ms, s, m, h, d), such as 5s".to_owned(),
            Self::Switch => "true or false".to_owned(),
        }
    }
}
