//! Why setup did not finish.

use crate::{
    outbox::IdentifierError,
    postgres::sql::SqlError,
    preflight::{Problem, counted},
    publish::StreamError,
};

/// Why setup did not finish. What it created before is there and fits; the next run goes on from it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Something is there that does not fit, or that setup does not create.
    #[error("setup cannot go on: {}", counted(.0))]
    Refused(Vec<Problem>),
    /// The server refused to create something.
    #[error("cannot create {what}")]
    Create {
        /// The part.
        what: String,
        /// What the server said.
        source: SqlError,
    },
    /// The server could not be asked.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The stream could not be asked or created.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A name that no object can have.
    #[error("the publication's name cannot be used")]
    Name(#[from] IdentifierError),
    /// The stream's settings could not be written as JSON.
    #[error("the stream's settings cannot be printed")]
    Settings(#[from] serde_json::Error),
}

impl SetupError {
    /// What stands in the way, each with its remedy; empty if something else failed.
    pub fn problems(&self) -> &[Problem] {
        if let Self::Refused(problems) = self { problems } else { &[] }
    }
}
