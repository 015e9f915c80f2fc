//! What can go wrong with private servers.

use std::io;
use std::path::{Path, PathBuf};

/// Why a private server could not be found, started or commanded.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The machine has no such program in any of the places.
    #[error("no {program} found: run `make tools`, or put {program} on PATH (looked in {})", listed(.places))]
    NotFound {
        /// The program, as one would type it.
        program: &'static str,
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// The program is there, and does not do what a program of its name does.
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable {
        /// The program.
        path: PathBuf,
        /// What it did instead.
        reason: String,
    },
    /// The process runs as root and knows no other user to run Postgres as.
    #[error("postgres refuses to run as root, and there is neither a user `postgres` nor a user `nobody` to run it as")]
    NoOrdinaryUser,
    /// No temporary folder is short enough for a socket and reachable for the user that Postgres runs as.
    #[error("no usable temporary folder (tried {}): it must be short and reachable for user {user}", listed(.tried))]
    NoFolder {
        /// The folders that were tried.
        tried: Vec<PathBuf>,
        /// The user that must reach it.
        user: String,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The server did not come up, did not go down or did not obey.
    #[error("{server}: {reason}; the end of its log:\n{log}")]
    Misbehaved {
        /// Which server.
        server: &'static str,
        /// What it did, or did not do.
        reason: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server is not running, and the operation needs it to.
    #[error("{server} is not running")]
    NotRunning {
        /// Which server.
        server: &'static str,
    },
    /// A statement failed, or the connection for it.
    #[error("the private Postgres refused a statement")]
    Sql(#[from] tokio_postgres::Error),
}

impl ServerError {
    /// For `map_err`: the operating system refused `action` on `path`.
    pub(super) fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, path: path.to_owned(), source }
    }
}

/// Paths in one line.
fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
