//! Where a value of the configuration comes from.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::visible::visible_path;

/// The place that gave a value. Later variants win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// Nobody gave it: the built-in default.
    Default,
    /// A line of the configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A table of the database.
    Table {
        /// The table.
        name: String,
    },
    /// An environment variable.
    Environment {
        /// The variable.
        name: String,
    },
    /// A flag of the command line.
    Flag {
        /// The flag, as it was written: `--log-format`, `--set nats.stream`.
        name: String,
    },
}

impl Origin {
    /// The rank of this origin: of two that give the same key, the one with the higher level wins.
    pub(super) fn level(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } | Self::Table { .. } => 1,
            Self::Environment { .. } => 2,
            Self::Flag { .. } => 3,
        }
    }

    /// Whether the origin's text already tells which key is meant.
    pub(super) fn names_the_key(&self) -> bool {
        matches!(self, Self::Environment { .. } | Self::Flag { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", visible_path(path)),
            Self::Table { name } => write!(f, "table {name}"),
            Self::Environment { name } | Self::Flag { name } => f.write_str(name),
        }
    }
}
