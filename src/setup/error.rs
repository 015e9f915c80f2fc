//! Why setup did not finish.

use postgres_protocol::escape::escape_literal;

use crate::{
    outbox::{IdentifierError, TableName},
    postgres::sql::SqlError,
    preflight::{Problem, counted},
    publish::StreamError,
    replication::ReplicationError,
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
    /// The slot could not be created.
    #[error("cannot create slot {slot}")]
    CreateSlot {
        /// The slot.
        slot: String,
        /// What stood in the way.
        source: ReplicationError,
    },
    /// Nobody can tell whether there are rows that the slot would not send.
    #[error("cannot see whether table {table} has rows from before the slot")]
    RowsUnseen {
        /// The outbox table.
        table: TableName,
        /// What the server said.
        source: SqlError,
    },
    /// Rows from before the slot could not be inserted again.
    #[error("cannot send the rows that are in table {table}")]
    RowsUnsent {
        /// The outbox table.
        table: TableName,
        /// What the server said.
        source: RowsError,
    },
    /// The slot was created, what comes with it failed, and then the slot could not be taken away.
    #[error("slot {slot} was made, and rows from before it were not looked after; drop it, and repeat")]
    SlotLeft {
        /// The slot.
        slot: String,
        /// What stood in the way of dropping it.
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

/// Why rows could not be inserted again.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A command of the replication connection failed.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
}

impl SetupError {
    /// What stands in the way, each with its remedy; empty if something else failed.
    pub fn problems(&self) -> &[Problem] {
        if let Self::Refused(problems) = self { problems } else { &[] }
    }

    /// What to do about it, where more is known than what the server's answer tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::RowsUnseen { table, .. } => Some(format!(
                "let the role read the table (`GRANT SELECT ON {table} TO <role>;`), or repeat it with `--existing-rows keep` if \
                 there are no rows"
            )),
            Self::RowsUnsent { table, .. } => Some(format!(
                "the slot is taken away again, and no row is changed: the role must own table {table}, or have SELECT, INSERT \
                 and DELETE on it, its triggers and constraints must admit the rows that are there, and no transaction \
                 that has written to it may stay open for long"
            )),
            Self::SlotLeft { slot, .. } => {
                Some(format!("run `SELECT pg_drop_replication_slot({});`", escape_literal(slot)))
            }
            Self::Stream(error) => error.hint().map(str::to_owned),
            Self::CreateSlot { source, .. } => source.hint().map(str::to_owned),
            _ => None,
        }
    }

    /// What the database said, if it was the database.
    pub fn sql(&self) -> Option<&SqlError> {
        match self {
            Self::Create { source, .. }
            | Self::RowsUnseen { source, .. }
            | Self::RowsUnsent { source: RowsError::Sql(source), .. }
            | Self::SlotLeft { source, .. }
            | Self::Sql(source) => Some(source),
            _ => None,
        }
    }
}
