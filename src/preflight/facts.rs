//! What a server has of what walpost needs: the queries and their answers.
//!
//! Each query is a file under `sql/preflight/`. The answers are taken as they are; [`super::problems`] judges them.

use tokio_postgres::Row;

use super::{Needs, RetentionFacts, StatusObjects, WatermarkTable, read_watermark};
use crate::{
    lsn::Lsn,
    outbox::BaseTypes,
    postgres::sql::{Session, SqlError},
    relay::Watermark,
};

/// The oldest server that can be asked, and served: `binary` came to `pgoutput` with version 14.
pub(super) const OLDEST_VERSION_NUM: i32 = 140_000;

/// Everything that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The server, the database and our role.
    pub server: Server,
    /// Whether the outbox table's schema exists.
    pub has_schema: bool,
    /// The outbox table, if it exists.
    pub table: Option<Table>,
    /// What the types that users made lead to.
    pub base_types: BaseTypes,
    /// The publication, if it exists.
    pub publication: Option<Publication>,
    /// The slot, if it exists.
    pub slot: Option<Slot>,
    /// The table of watermarks.
    pub watermark_table: WatermarkTable,
    /// The slot's watermark, if there is one. Looked up after the slot: it may be newer than that, never older.
    pub watermark: Option<Watermark>,
    /// What is there of the delivery status.
    pub status_objects: StatusObjects,
    /// What deleting delivered rows takes; none if they are kept.
    pub retention: Option<RetentionFacts>,
}

/// The server, the database and the role of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The version as a number, 180003 for 18.3.
    pub version_num: i32,
    /// The version as people write it.
    pub version: String,
    /// The configured `wal_level`.
    pub wal_level: String,
    /// The level in force, where the server tells it (version 19 on).
    pub effective_wal_level: Option<String>,
    /// Whether it is a standby.
    pub is_in_recovery: bool,
    /// The database.
    pub database: String,
    /// The database's encoding.
    pub encoding: String,
    /// The role.
    pub role: String,
    /// Whether the role may replicate: by attribute, as superuser, or by a provider's role.
    pub may_replicate: bool,
    /// How many slots there may be.
    pub max_slots: i64,
    /// How many slots there are.
    pub used_slots: i64,
    /// How many replication connections there may be.
    pub max_senders: i64,
    /// How many replication connections there are.
    pub used_senders: i64,
}

/// A table, or what goes by the name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its object id.
    pub oid: u32,
    /// `relkind`: `r` for a table, `p` for a partitioned one.
    pub kind: char,
    /// `relpersistence`: `p` if its changes go to the log.
    pub persistence: char,
    /// Its columns, in order.
    pub columns: Vec<TableColumn>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// The object id of its type.
    pub type_oid: u32,
    /// Whether its values are computed; such are not sent unless the publication says so (version 18 on).
    pub is_generated: bool,
}

/// A publication, and what it does with the outbox table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Whether inserts are sent.
    pub publishes_insert: bool,
    /// Whether the rows of partitions go out under the name of their root.
    pub is_via_root: bool,
    /// Whether rows go out under the table's own name: by name, by schema, or as one of all tables.
    pub has_table: bool,
    /// Whether the table belongs to it by name or as one of all tables, under whatever name its rows go out.
    pub is_member: bool,
    /// The columns that are sent, where the server tells them (version 15 on); else empty.
    pub column_names: Vec<String>,
    /// The condition for rows to be sent, as SQL.
    pub row_filter: Option<String>,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its output plugin; a physical slot has none.
    pub plugin: Option<String>,
    /// Its database; a physical slot has none.
    pub database: Option<String>,
    /// Whether it ends with the session that made it.
    pub is_temporary: bool,
    /// Whether it sends prepared transactions before they commit.
    pub is_two_phase: bool,
    /// The server process that uses it.
    pub active_pid: Option<i32>,
    /// Whether the log that it needs is there: `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Why it can never be used again, where the server tells (version 16 on).
    pub invalidation_reason: Option<String>,
    /// Up to where its reader has confirmed.
    pub confirmed_flush: Option<Lsn>,
    /// From where on it keeps the log.
    pub restart: Option<Lsn>,
}

/// Asks the server for everything.
///
/// A server that is too old for the questions is asked for its version alone.
pub async fn inspect(session: &Session, needs: &Needs) -> Result<Facts, SqlError> {
    let client = session.client();
    let server = Server::read(&client.query_one(include_str!("../../sql/preflight/server.sql"), &[]).await?)?;
    if server.version_num < OLDEST_VERSION_NUM {
        return Ok(Facts::of_unasked(server));
    }
    let (schema, name) = (needs.mapping.table.schema(), needs.mapping.table.name());
    let table = client.query_opt(include_str!("../../sql/preflight/table.sql"), &[&schema, &name]).await?;
    let publication = client
        .query_opt(include_str!("../../sql/preflight/publication.sql"), &[&needs.publication, &schema, &name])
        .await?;
    let slot = client.query_opt(include_str!("../../sql/preflight/slot.sql"), &[&needs.slot]).await?;
    let watermark_table = WatermarkTable::inspect(session, needs).await?;
    let watermark = if watermark_table.may_use { read_watermark(session, needs).await? } else { None };
    Ok(Facts {
        server,
        has_schema: table.is_some(),
        table: table.as_ref().map(Table::read).transpose()?.flatten(),
        base_types: base_types(session).await?,
        publication: publication.as_ref().map(Publication::read).transpose()?,
        slot: slot.as_ref().map(Slot::read).transpose()?,
        watermark_table,
        watermark,
        status_objects: StatusObjects::inspect(session, needs).await?,
        retention: RetentionFacts::inspect(session, needs).await?,
    })
}

/// What every enum, domain and `citext` of the database leads to; to be asked again when an unknown type comes up.
pub async fn base_types(session: &Session) -> Result<BaseTypes, SqlError> {
    let rows = session.client().query(include_str!("../../sql/preflight/base_types.sql"), &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("type")?, row.try_get("base")?))).collect()
}

/// Which process reads from the slot; `None` if nobody does.
pub async fn slot_reader(session: &Session, slot: &str) -> Result<Option<i32>, SqlError> {
    let row = session.client().query_opt(include_str!("../../sql/preflight/slot_reader.sql"), &[&slot]).await?;
    Ok(row.map(|row| row.try_get("active_pid")).transpose()?.flatten())
}

impl Facts {
    /// The facts about a server that understands none of the other questions.
    fn of_unasked(server: Server) -> Self {
        Self {
            server,
            has_schema: false,
            table: None,
            base_types: BaseTypes::new(),
            publication: None,
            slot: None,
            watermark_table: WatermarkTable::default(),
            watermark: None,
            status_objects: StatusObjects::default(),
            retention: None,
        }
    }
}

impl Server {
    /// Reads the row of `server.sql`.
    fn read(row: &Row) -> Result<Self, SqlError> {
        let may: [bool; 3] =
            [row.try_get("is_superuser")?, row.try_get("has_replication")?, row.try_get("is_lent_replication")?];
        Ok(Self {
            version_num: row.try_get("version_num")?,
            version: row.try_get("version")?,
            wal_level: row.try_get("wal_level")?,
            effective_wal_level: row.try_get("effective_wal_level")?,
            is_in_recovery: row.try_get("is_in_recovery")?,
            database: row.try_get("database")?,
            encoding: row.try_get("encoding")?,
            role: row.try_get("role")?,
            may_replicate: may.contains(&true),
            max_slots: row.try_get("max_slots")?,
            used_slots: row.try_get("used_slots")?,
            max_senders: row.try_get("max_senders")?,
            used_senders: row.try_get("used_senders")?,
        })
    }
}

impl Table {
    /// Reads the row of `table.sql`; `None` if there is only a schema.
    fn read(row: &Row) -> Result<Option<Self>, SqlError> {
        let Some(oid) = row.try_get("oid")? else { return Ok(None) };
        let names: Vec<String> = row.try_get("column_names")?;
        let types: Vec<u32> = row.try_get("column_types")?;
        let generated: Vec<bool> = row.try_get("columns_generated")?;
        let columns = names.into_iter().zip(types).zip(generated);
        Ok(Some(Self {
            oid,
            kind: letter(row.try_get("kind")?),
            persistence: letter(row.try_get("persistence")?),
            columns: columns
                .map(|((name, type_oid), is_generated)| TableColumn { name, type_oid, is_generated })
                .collect(),
        }))
    }
}

impl Publication {
    /// Reads the row of `publication.sql`.
    fn read(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            publishes_insert: row.try_get("publishes_insert")?,
            is_via_root: row.try_get("is_via_root")?,
            has_table: row.try_get("has_table")?,
            is_member: row.try_get("is_member")?,
            column_names: row.try_get("column_names")?,
            row_filter: row.try_get("row_filter")?,
        })
    }
}

impl Slot {
    /// Reads the row of `slot.sql`.
    fn read(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            plugin: row.try_get("plugin")?,
            database: row.try_get("database")?,
            is_temporary: row.try_get("is_temporary")?,
            is_two_phase: row.try_get("is_two_phase")?,
            active_pid: row.try_get("active_pid")?,
            wal_status: row.try_get("wal_status")?,
            invalidation_reason: row.try_get("invalidation_reason")?,
            confirmed_flush: row.try_get::<_, Option<&str>>("confirmed_flush")?.and_then(position),
            restart: row.try_get::<_, Option<&str>>("restart")?.and_then(position),
        })
    }
}

/// A `pg_lsn` as text; the server writes no other text for one.
fn position(text: &str) -> Option<Lsn> {
    text.parse().ok()
}

/// A value of the catalog's one-letter type.
fn letter(text: &str) -> char {
    text.chars().next().unwrap_or(' ')
}
