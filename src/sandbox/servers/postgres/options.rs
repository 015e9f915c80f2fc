//! What to start a private Postgres with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::cluster::SUPERUSER;
use crate::sandbox::servers::binaries::PostgresBinaries;

/// How long a server may take to start or stop: a hundred times what it needs on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a private Postgres is to be; the default is right for most.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The programs, or those found in the usual places.
    pub(super) binaries: Option<PostgresBinaries>,
    /// Where to make the folder, or the system's place.
    pub(super) temporary_folder: Option<PathBuf>,
    /// Who may connect.
    pub(super) auth: PostgresAuth,
    /// Settings beside and instead of the standard ones.
    pub(super) settings: BTreeMap<String, String>,
    /// How long starting and stopping may take, each.
    pub(super) patience: Duration,
}

/// How clients prove who they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum PostgresAuth {
    /// Not at all: every local user of this machine may be anybody.
    #[default]
    Trust,
    /// By password, with SCRAM-SHA-256.
    Scram {
        /// The superuser's password.
        password: String,
    },
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            binaries: None,
            temporary_folder: None,
            auth: PostgresAuth::Trust,
            settings: BTreeMap::new(),
            patience: PATIENCE,
        }
    }
}

impl PostgresOptions {
    /// Use these programs, instead of the first that [`Places::from_environment`](super::super::Places) leads to.
    #[must_use]
    pub fn binaries(mut self, binaries: PostgresBinaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Make the server's folder below this one, instead of the system's temporary folder.
    #[must_use]
    pub fn temporary_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.temporary_folder = Some(folder.into());
        self
    }

    /// Ask for passwords; this one is the superuser's.
    #[must_use]
    pub fn scram(mut self, password: impl Into<String>) -> Self {
        self.auth = PostgresAuth::Scram { password: password.into() };
        self
    }

    /// A setting as in `postgresql.conf`, instead of the sandbox's own if it has one.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// How long starting and stopping may take, each.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl PostgresAuth {
    /// The method's name in `pg_hba.conf`.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Scram { .. } => "scram-sha-256",
        }
    }

    /// The password of a user, as far as it is known here.
    pub(super) fn password_of(&self, user: &str) -> Option<&str> {
        match self {
            Self::Scram { password } if user == SUPERUSER => Some(password),
            _ => None,
        }
    }
}

impl fmt::Debug for PostgresAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.method())
    }
}
