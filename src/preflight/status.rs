//! The delivery status in the database: what of it is there, and what is written of it while delivering.

use tokio_postgres::types::ToSql;

use super::{Facts, Needs, TableColumn, Visibility, snapshot::end_of_records};
use crate::{
    lsn::Lsn,
    position::Source,
    postgres::sql::{Session, SqlError},
    publish::{Letter, StreamIdentity},
    relay::Wants,
};

/// The column of the outbox that says which transaction wrote a row.
pub const XID_COLUMN: &str = "xid";
/// The object id of its type, `xid8`.
const XID_TYPE: u32 = 5069;
/// The object ids of `timestamptz` and `timestamp`.
const MOMENT_TYPES: [u32; 2] = [1184, 1114];

/// What is there of the delivery status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusObjects {
    /// Whether the table of watermarks has the columns for it.
    pub has_columns: bool,
    /// Whether the table of dead letters is there.
    pub has_dead_letters: bool,
    /// Whether our role may read, write and delete dead letters.
    pub may_use_dead_letters: bool,
    /// Whether the view is there.
    pub has_view: bool,
    /// What the view says of itself, if it looks at the outbox table.
    pub form: Option<String>,
}

/// Which transactions are visible, and a position behind the commit of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The transactions.
    pub visibility: Visibility,
    /// The position.
    pub lsn: Lsn,
}

impl StatusObjects {
    pub(super) async fn inspect(session: &Session, needs: &Needs) -> Result<Self, SqlError> {
        let (schema, name) = (needs.mapping.table.schema(), needs.mapping.table.name());
        let row = session.client().query_one(include_str!("../../sql/preflight/status.sql"), &[&schema, &name]).await?;
        Ok(Self {
            has_columns: row.try_get("has_columns")?,
            has_dead_letters: row.try_get("has_dead_letters")?,
            may_use_dead_letters: row.try_get("may_use_dead_letters")?,
            has_view: row.try_get("has_view")?,
            form: row.try_get("form")?,
        })
    }
}

impl Facts {
    /// Whether rows say which transaction wrote them.
    pub fn has_xid(&self) -> bool {
        let is_xid = |name: &str, type_oid| name == XID_COLUMN && type_oid == XID_TYPE;
        self.table
            .as_ref()
            .is_some_and(|table| table.columns.iter().any(|column| is_xid(&column.name, column.type_oid)))
    }

    /// The column that says when a row was recorded, if the table has one of a fitting type.
    pub fn created_at<'a>(&self, needs: &'a Needs) -> Option<&'a str> {
        let name = &needs.mapping.columns.created_at.as_ref()?.name;
        let is_moment = |column: &&TableColumn| column.name == *name && MOMENT_TYPES.contains(&column.type_oid);
        self.table.as_ref()?.columns.iter().find(is_moment).map(|_| name.as_str())
    }

    /// What of the delivery status can be kept.
    pub fn status(&self) -> Wants {
        let StatusObjects { has_columns, may_use_dead_letters, .. } = self.status_objects;
        let dead_letters = has_columns && may_use_dead_letters;
        Wants { dead_letters, transactions: dead_letters && self.has_xid() }
    }
}

/// Takes a snapshot; `None` if the session is not with the server of `source`.
pub async fn take_snapshot(session: &Session, source: &Source) -> Result<Option<Seen>, SqlError> {
    let row = session.client().query_one(include_str!("../../sql/status/snapshot.sql"), &[]).await?;
    let is_ours = row.try_get::<_, &str>("system_id")? == source.system_id.to_string()
        && row.try_get::<_, i64>("timeline")? == i64::from(source.timeline);
    let bytes =
        |column| Ok::<_, tokio_postgres::Error>(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default());
    let next: Option<Lsn> = row.try_get::<_, &str>("insert_lsn")?.parse().ok();
    let visibility = Visibility::parse(row.try_get("snapshot")?);
    let (block_bytes, segment_bytes) = (bytes("block_bytes")?, bytes("segment_bytes")?);
    let seen = visibility
        .zip(next)
        .map(|(visibility, next)| Seen { visibility, lsn: end_of_records(next, block_bytes, segment_bytes) });
    Ok(seen.filter(|_| is_ours))
}

/// Up to where in the stream all dead letters are written down; 0 if nothing says so.
pub async fn read_dead_letters_to(session: &Session, needs: &Needs, stream: &StreamIdentity) -> Result<u64, SqlError> {
    let sql = format!(
        "SELECT dead_letters_to FROM {} WHERE slot = $1 AND stream = $2 AND stream_created = $3",
        needs.watermark()
    );
    let row = session.client().query_opt(&sql, &[&needs.slot, &stream.name, &stream.created_ns]).await?;
    let sequence: Option<i64> = row.map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(sequence.and_then(|sequence| u64::try_from(sequence).ok()).unwrap_or_default())
}

/// Writes a snapshot down whose every transaction is delivered, when `stored` is the end of what is stored. `false` if there is
/// no watermark yet, or another process has the slot.
pub async fn write_delivered(
    session: &Session,
    needs: &Needs,
    (source, stream): (&Source, &StreamIdentity),
    seen: &Seen,
    (stored, dead_letters_to): (Lsn, u64),
) -> Result<bool, SqlError> {
    let sql = naming(include_str!("../../sql/status/delivered.sql"), needs);
    let values: [&(dyn ToSql + Sync); 8] = [
        &source.slot,
        &seen.visibility.text(),
        &number(dead_letters_to),
        &source.system_id.to_string(),
        &i64::from(source.timeline),
        &stored.to_string(),
        &stream.name,
        &stream.created_ns,
    ];
    Ok(!session.client().query(&sql, &values).await?.is_empty())
}

/// Writes dead letters down, and that all in the stream are up to a sequence.
pub async fn write_dead_letters(
    session: &Session,
    needs: &Needs,
    (source, stream): (&Source, &StreamIdentity),
    letters: &[Letter],
    dead_letters_to: u64,
) -> Result<(), SqlError> {
    let texts = |text: fn(&Letter) -> Option<&str>| -> Vec<Option<String>> {
        letters.iter().map(|letter| text(letter).map(writable)).collect()
    };
    let sequences: Vec<Option<i64>> = letters.iter().map(|letter| letter.sequence.map(number)).collect();
    let sql = naming(include_str!("../../sql/status/dead_letters.sql"), needs);
    let values: [&(dyn ToSql + Sync); 13] = [
        &source.slot,
        &texts(|letter| Some(&letter.position)),
        &texts(|letter| letter.event_id.as_deref()),
        &texts(|letter| letter.aggregate_type.as_deref()),
        &texts(|letter| letter.aggregate_id.as_deref()),
        &texts(|letter| letter.event_type.as_deref()),
        &texts(|letter| Some(&letter.reason)),
        &texts(|letter| Some(&letter.detail)),
        &sequences,
        &number(dead_letters_to),
        &source.system_id.to_string(),
        &stream.name,
        &stream.created_ns,
    ];
    session.client().execute(&sql, &values).await?;
    Ok(())
}

/// Takes dead letters back.
pub async fn delete_dead_letters(session: &Session, needs: &Needs, positions: &[String]) -> Result<(), SqlError> {
    let sql = naming(include_str!("../../sql/status/revived.sql"), needs);
    session.client().execute(&sql, &[&needs.slot, &positions]).await?;
    Ok(())
}

fn naming(sql: &str, needs: &Needs) -> String {
    sql.replace("{watermark}", &needs.watermark().to_string())
        .replace("{dead_letter}", &needs.dead_letters().to_string())
}

/// A text as Postgres takes it: it has none with the character zero.
fn writable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A sequence as Postgres takes it.
fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
