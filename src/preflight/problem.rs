//! What can stand in the way, in words: what is wrong, and what mends it.

use postgres_protocol::escape::escape_literal;

use super::RetentionProblem;
use crate::{
    outbox::{BindError, TableName, quote_identifier},
    publish::StreamProblem,
};

/// One thing that keeps the relay from working. Its text says what is wrong, [`Problem::remedy`] what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The server cannot do what walpost needs.
    #[error("Postgres {0} is too old, walpost needs version 14 or later")]
    VersionTooOld(String),
    /// The server is a standby.
    #[error("the server is a standby (in recovery), and walpost needs the primary")]
    InRecovery,
    /// The log holds too little to decode.
    #[error("wal_level is {0}, logical decoding needs logical")]
    WalLevel(String),
    /// The role may not replicate.
    #[error("role {0:?} may not use replication")]
    NoReplication(String),
    /// There is no room for another slot.
    #[error("all {0} replication slots of the server are taken (max_replication_slots)")]
    NoFreeSlot(i64),
    /// There is no room for another replication connection.
    #[error("all {0} replication connections of the server are taken (max_wal_senders)")]
    NoFreeSender(i64),
    /// The table's schema does not exist.
    #[error("the schema of table {0} does not exist")]
    SchemaMissing(TableName),
    /// The table does not exist.
    #[error("table {table} does not exist")]
    TableMissing {
        /// The table.
        table: TableName,
        /// Whether the configured columns are those of the table that `setup` creates.
        is_ours: bool,
    },
    /// Something else has the table's name.
    #[error("{table} is {kind}, whose rows are not in the log")]
    NotATable {
        /// The name.
        table: TableName,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The table's changes do not go to the log.
    #[error("table {0} is unlogged or temporary, so its rows are not in the log")]
    NotLogged(TableName),
    /// The table's columns are not those of an outbox.
    #[error(transparent)]
    Columns(#[from] BindError),
    /// The log does not carry columns that are computed.
    #[error("column {column:?} of table {table} is generated, and the publication does not send it")]
    GeneratedColumn {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// The publication does not exist.
    #[error("publication {0:?} does not exist")]
    PublicationMissing(String),
    /// The publication leaves inserts out.
    #[error("publication {0:?} does not publish inserts")]
    NoInserts(String),
    /// The publication leaves the table out.
    #[error("publication {publication:?} does not contain table {table}")]
    TableNotPublished {
        /// The publication.
        publication: String,
        /// The table.
        table: TableName,
    },
    /// Rows go out under the names of partitions.
    #[error("publication {publication:?} sends the rows of table {table} under the names of its partitions")]
    NotViaRoot {
        /// The publication.
        publication: String,
        /// The table.
        table: TableName,
    },
    /// The publication's column list leaves columns out.
    #[error("publication {publication:?} leaves out {} of table {table}", listed(.columns))]
    ColumnsLeftOut {
        /// The publication.
        publication: String,
        /// The table.
        table: TableName,
        /// The columns.
        columns: Vec<String>,
    },
    /// The publication does not send all rows.
    #[error("publication {publication:?} sends only rows of table {table} where {filter}")]
    RowFilter {
        /// The publication.
        publication: String,
        /// The table.
        table: TableName,
        /// The condition, as the server prints it.
        filter: String,
    },
    /// A new slot does not reach the rows that are there already.
    #[error("table {0} has rows already, and a slot sends only what is committed after it was made")]
    ExistingRows(TableName),
    /// Nobody can tell which rows a lost slot would have sent.
    #[error(
        "table {table} has {count} rows that stream {stream:?} does not hold, and it has dropped messages: they may have been \
         sent"
    )]
    RowsUndecided {
        /// The table.
        table: TableName,
        /// The stream.
        stream: String,
        /// How many rows.
        count: usize,
        /// The slot.
        slot: String,
        /// The table of watermarks.
        watermark: TableName,
    },
    /// The slot does not exist.
    #[error("replication slot {0:?} does not exist")]
    SlotMissing(String),
    /// The slot speaks something else.
    #[error("replication slot {slot:?} {}, expected pgoutput", plugin_of(.plugin.as_deref()))]
    SlotPlugin {
        /// The slot.
        slot: String,
        /// Its plugin; none if it is physical.
        plugin: Option<String>,
    },
    /// The slot belongs to another database of the server.
    #[error("replication slot {slot:?} belongs to database {found:?}, not to {expected:?}")]
    SlotDatabase {
        /// The slot.
        slot: String,
        /// Its database.
        found: String,
        /// Ours.
        expected: String,
    },
    /// The slot ends with the session that made it.
    #[error("replication slot {0:?} is temporary, so it would be lost with its session")]
    SlotTemporary(String),
    /// The slot sends prepared transactions, which may yet be rolled back.
    #[error("replication slot {0:?} was created with two_phase, which sends transactions before they commit")]
    SlotTwoPhase(String),
    /// The slot can never be used again.
    #[error("replication slot {slot:?} is invalidated: {reason}")]
    SlotLost {
        /// The slot.
        slot: String,
        /// The server's reason.
        reason: String,
        /// Up to where walpost had confirmed.
        confirmed: String,
    },
    /// The slot was there, and is not any more.
    #[error("replication slot {slot:?} is gone: walpost had confirmed up to {confirmed}, and a new slot begins later")]
    SlotGone {
        /// The slot.
        slot: String,
        /// Up to where walpost had confirmed.
        confirmed: String,
    },
    /// The table of watermarks does not exist.
    #[error("table {0} does not exist")]
    WatermarkMissing(TableName),
    /// The table of watermarks is not ours to use.
    #[error("role {role:?} may not read and write table {table}")]
    WatermarkRights {
        /// The table.
        table: TableName,
        /// Our role.
        role: String,
    },
    /// Delivered rows are to be deleted, and cannot be.
    #[error(transparent)]
    Retention(#[from] RetentionProblem),
    /// The stream is not fit.
    #[error(transparent)]
    Stream(#[from] StreamProblem),
}

/// The problems in a few words, before each is told in full: `one thing is missing or does not fit`.
pub fn counted(problems: &[Problem]) -> String {
    match problems {
        [_] => "one thing is missing or does not fit".to_owned(),
        _ => format!("{} things are missing or do not fit", problems.len()),
    }
}

impl Problem {
    /// Whether `walpost setup` mends it.
    pub fn made_by_setup(&self) -> bool {
        matches!(
            self,
            Self::TableMissing { is_ours: true, .. }
                | Self::WatermarkMissing(_)
                | Self::PublicationMissing(_)
                | Self::SlotMissing(_)
                | Self::Stream(StreamProblem::Missing(_))
        ) || matches!(self, Self::Retention(problem) if problem.made_by_setup())
    }

    /// What to do about it: the exact SQL where there is one.
    pub fn remedy(&self) -> String {
        if self.made_by_setup() {
            return "run `walpost setup`, which creates it".to_owned();
        }
        match self {
            Self::VersionTooOld(_)
            | Self::InRecovery
            | Self::WalLevel(_)
            | Self::NoReplication(_)
            | Self::NoFreeSlot(_)
            | Self::NoFreeSender(_) => self.remedy_for_server(),
            Self::SlotMissing(_)
            | Self::SlotPlugin { .. }
            | Self::SlotDatabase { .. }
            | Self::SlotTemporary(_)
            | Self::SlotTwoPhase(_)
            | Self::SlotLost { .. }
            | Self::SlotGone { .. } => self.remedy_for_slot(),
            Self::Retention(problem) => problem.remedy(),
            Self::Stream(problem) => remedy_for_stream(problem),
            _ => self.remedy_for_table(),
        }
    }

    /// [`Problem::remedy`] for what only the server's owner can change.
    fn remedy_for_server(&self) -> String {
        match self {
            Self::VersionTooOld(_) => "move to a supported version of Postgres".to_owned(),
            Self::InRecovery => "give the primary's address in postgres.url".to_owned(),
            Self::WalLevel(_) => "run `ALTER SYSTEM SET wal_level = logical;` and restart Postgres \
                                  (RDS, Aurora: parameter rds.logical_replication = 1; \
                                  Cloud SQL: flag cloudsql.logical_decoding = on; restart the instance)"
                .to_owned(),
            Self::NoReplication(role) => {
                let role = quoted(role);
                format!("run `ALTER ROLE {role} REPLICATION;` (RDS, Aurora: `GRANT rds_replication TO {role};`)")
            }
            Self::NoFreeSlot(_) => "drop slots that nobody uses (`SELECT slot_name, active, wal_status FROM \
                                    pg_replication_slots;`), or raise max_replication_slots and restart Postgres"
                .to_owned(),
            _ => "see who is connected (`SELECT pid, usename, application_name, client_addr FROM \
                  pg_stat_replication;`), or raise max_wal_senders and restart Postgres"
                .to_owned(),
        }
    }

    /// [`Problem::remedy`] for the table and the publication.
    fn remedy_for_table(&self) -> String {
        match self {
            Self::SchemaMissing(table) => {
                format!("run `CREATE SCHEMA {};`, or name an existing table as outbox.table", quoted(table.schema()))
            }
            Self::TableMissing { .. } => "create it, or name an existing table as outbox.table: \
                                          `walpost setup` creates only the table of preset \"walpost\" with its own \
                                          column names"
                .to_owned(),
            Self::NotATable { .. } => "name an ordinary or partitioned table as outbox.table".to_owned(),
            Self::WatermarkRights { table, role } => {
                let (schema, role) = (quoted(table.schema()), quoted(role));
                format!(
                    "run `GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT, INSERT, UPDATE ON {table} TO {role};`"
                )
            }
            Self::NotLogged(table) => format!("run `ALTER TABLE {table} SET LOGGED;`"),
            Self::Columns(error) => error.hint(),
            Self::ExistingRows(_) => {
                "repeat it with `--existing-rows send` if nobody has published them, so that they \
                                      are sent before everything else, or with `--existing-rows keep` if they are to \
                                      stay as they are; they count as published then"
                    .to_owned()
            }
            Self::RowsUndecided { slot, watermark, .. } => format!(
                "delete the rows that were sent, run `DELETE FROM {watermark} WHERE slot = {};`, then `walpost setup \
                 --existing-rows send`, which sends all that are left",
                escape_literal(slot)
            ),
            Self::GeneratedColumn { .. } => "map an ordinary column under [outbox.columns]".to_owned(),
            Self::NoInserts(publication) => {
                format!("run `ALTER PUBLICATION {} SET (publish = 'insert');`", quoted(publication))
            }
            Self::TableNotPublished { publication, table } => {
                format!("run `ALTER PUBLICATION {} ADD TABLE {table};`", quoted(publication))
            }
            Self::NotViaRoot { publication, .. } => {
                format!("run `ALTER PUBLICATION {} SET (publish_via_partition_root = true);`", quoted(publication))
            }
            Self::ColumnsLeftOut { publication, table, .. } | Self::RowFilter { publication, table, .. } => {
                let publication = quoted(publication);
                format!(
                    "run `BEGIN; ALTER PUBLICATION {publication} DROP TABLE {table}; \
                     ALTER PUBLICATION {publication} ADD TABLE {table}; COMMIT;`"
                )
            }
            _ => String::new(),
        }
    }

    /// [`Problem::remedy`] for the slot.
    fn remedy_for_slot(&self) -> String {
        match self {
            Self::SlotTwoPhase(slot) => format!(
                "run `SELECT pg_drop_replication_slot({});`, then `walpost setup --existing-rows missing`, which makes it anew \
                 and sends the rows that the stream does not hold",
                escape_literal(slot)
            ),
            Self::SlotLost { confirmed, .. } => format!(
                "run `walpost setup --existing-rows missing`, which makes it anew and sends the rows that the stream does not \
                 hold; let nobody delete rows before that (it was confirmed up to {confirmed})"
            ),
            Self::SlotGone { .. } => "if the slot is on another server, go there; else run `walpost setup --existing-rows \
                                      missing`, which makes it anew and sends the rows that the stream does not hold; let \
                                      nobody delete rows before that"
                .to_owned(),
            _ => "give walpost a slot of its own: choose another name as postgres.slot and run `walpost setup`"
                .to_owned(),
        }
    }
}

/// What to do about a stream that is there.
fn remedy_for_stream(problem: &StreamProblem) -> String {
    match problem {
        StreamProblem::Subject { stream, subject } => {
            format!("add {subject:?} to the subjects of the stream, for example with `nats stream edit {stream}`")
        }
        _ => "give walpost a stream of its own: choose another name as nats.stream and run `walpost setup`".to_owned(),
    }
}

/// An identifier for SQL that is shown; a name that cannot be one exists nowhere, and is shown as it is.
fn quoted(name: &str) -> String {
    quote_identifier(name).unwrap_or_else(|_| name.to_owned())
}

/// `column "a"` or `columns "a", "b"`.
fn listed(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|name| format!("{name:?}")).collect();
    format!("column{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// What a slot is, instead of one for pgoutput.
fn plugin_of(plugin: Option<&str>) -> String {
    plugin.map_or_else(|| "is physical".to_owned(), |plugin| format!("uses plugin {plugin}"))
}
