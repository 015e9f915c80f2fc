//! Why delivery ended or is interrupted.

use super::origin::OrphansError;
use crate::{
    outbox::TableName,
    postgres::sql::SqlError,
    preflight::{self, Problem, explain},
    publish::{BrokerError, MessageError, StreamError},
    relay::{ResumeError, SessionError, WatermarkError},
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
    /// This instance cannot reach NATS, and another can.
    #[error("NATS cannot be reached from here, and an instance that reaches it stands by: this one let it lead")]
    GaveWay,
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
    /// The slot or the stream is not as walpost left it.
    #[error("{error}")]
    Watermark {
        /// In what way.
        error: WatermarkError,
        /// The watermark's table.
        table: TableName,
        /// The slot.
        slot: String,
    },
    /// The watermark cannot be written.
    #[error("the watermark cannot be written to table {table}, so nothing more is confirmed to Postgres")]
    WatermarkUnwritten {
        /// The table.
        table: TableName,
        /// Why.
        source: SqlError,
    },
    /// Something holds up the writing of the watermark.
    #[error(
        "the watermark is not written to table {table}, so nothing more is confirmed to Postgres: another session holds a lock, or the server is stuck"
    )]
    WatermarkHeldUp {
        /// The table.
        table: TableName,
    },
    /// Another process has written a later watermark.
    #[error("the watermark is ahead of this process: another one has taken the slot over")]
    WatermarkAhead,
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
            Self::WatermarkUnwritten { source, .. } => format!("{self}: {source}"),
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
            Self::Watermark { error, table, slot } => Some(error.remedy(&table.to_string(), slot)),
            Self::WatermarkUnwritten { source, .. } => explain(source.sqlstate(), &source.to_string()),
            Self::WatermarkHeldUp { .. } => Some(
                "see who holds the lock: `SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity WHERE \
                 wait_event_type = 'Lock';`"
                    .to_owned(),
            ),
            Self::Broker(error) | Self::Session(SessionError::Broker(error)) => error.hint().map(str::to_owned),
            Self::JetStream(StreamError::Problem(problem)) => Some(Problem::Stream(problem.clone()).remedy()),
            Self::JetStream(error) => error.hint().map(str::to_owned),
            Self::Session(error) => error.hint().map(str::to_owned),
            Self::SqlSessionEnded | Self::WatermarkAhead => {
                Some("nothing if it passes: walpost connects anew".to_owned())
            }
            Self::GaveWay => Some("mend the way from here to NATS; events are delivered meanwhile".to_owned()),
            Self::Message(_) => Some("choose another name as nats.stream".to_owned()),
            Self::NotReady(problems) => Some(problems.iter().map(Problem::remedy).collect::<Vec<_>>().join("; ")),
        }
    }
}
