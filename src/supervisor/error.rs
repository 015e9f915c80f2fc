//! Why delivery ended or is interrupted.

use super::origin::OrphansError;
use crate::{
    postgres::sql::SqlError,
    preflight::{self, Problem, explain},
    publish::{BrokerError, MessageError, StreamError},
    relay::{ResumeError, SessionError},
    replication::ReplicationError,
};

/// Why the service ended, or does not deliver.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Plain SQL failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Postgres ended the session for plain SQL, as it does first of all when it shuts down.
    #[error("Postgres ended the SQL session: it shuts down, or somebody terminated the session")]
    SqlSessionEnded,
    /// Something is missing or does not fit.
    #[error("cannot deliver: {}", preflight::counted(.0))]
    NotReady(Vec<Problem>),
    /// NATS failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// JetStream failed.
    #[error(transparent)]
    JetStream(#[from] StreamError),
    /// The replication connection failed.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The stream was not fed from this log.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The stream holds events that the database has lost.
    #[error(transparent)]
    Orphans(#[from] Box<OrphansError>),
    /// The stream's name cannot be put in a header.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Delivery broke off.
    #[error("delivery broke off, and goes on at the next start where it stopped")]
    Session(#[from] SessionError),
}

impl RunError {
    /// The problems that must be mended first, if that is what it is.
    pub fn problems(&self) -> &[Problem] {
        if let Self::NotReady(problems) = self { problems } else { &[] }
    }

    /// What happened, in one line, without the words about how it ends.
    pub fn cause(&self) -> String {
        match self {
            Self::Session(error) => error.to_string(),
            Self::NotReady(problems) => problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "),
            other => other.to_string(),
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sql(error) => explain(error.sqlstate(), &error.to_string()),
            Self::Replication(error) | Self::Session(SessionError::Replication(error)) => {
                error.hint().map(str::to_owned).or_else(|| explain(error.sqlstate(), &error.to_string()))
            }
            Self::Session(SessionError::Intake(error)) => error.hint(),
            Self::Resume(error) => Some(error.remedy().to_owned()),
            Self::Orphans(error) => Some(error.remedy().to_owned()),
            Self::Broker(error) | Self::Session(SessionError::Broker(error)) => error.hint().map(str::to_owned),
            Self::JetStream(StreamError::Problem(problem)) => Some(Problem::Stream(problem.clone()).remedy()),
            Self::JetStream(error) => error.hint().map(str::to_owned),
            Self::Session(error) => error.hint().map(str::to_owned),
            Self::SqlSessionEnded => Some("nothing if it passes: walpost connects anew".to_owned()),
            Self::Message(_) => Some("choose another name as nats.stream".to_owned()),
            Self::NotReady(problems) => Some(problems.iter().map(Problem::remedy).collect::<Vec<_>>().join("; ")),
        }
    }
}
