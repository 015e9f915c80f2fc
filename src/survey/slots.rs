//! The replication slots of the server, ours and those of others: they share its disk.

use std::time::Duration;

use tokio_postgres::Row;

use crate::postgres::sql::{Session, SqlError};

/// A replication slot as it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotSeen {
    /// Its name.
    pub name: String,
    /// Whether it decodes; otherwise a standby takes the log from it as it is.
    pub is_logical: bool,
    /// Whether it ends with its session.
    pub is_temporary: bool,
    /// The server process that reads from it.
    pub active_pid: Option<i32>,
    /// Whether the log that it needs is there.
    pub wal_status: Option<String>,
    /// How much more log there may be before it is lost; none without a limit.
    pub safe_bytes: Option<i64>,
    /// How much log it keeps; none if it keeps none.
    pub retained_bytes: Option<u64>,
    /// How much log its reader has not confirmed; none if it is physical.
    pub unconfirmed_bytes: Option<u64>,
    /// Up to where its reader has confirmed.
    pub confirmed: Option<String>,
    /// Where the log of the server ended then.
    pub log_end: Option<String>,
    /// Whether it goes over to a standby, where the server can do that.
    pub fails_over: Option<bool>,
    /// Since when nobody reads from it, where the server tells.
    pub inactive_for: Option<Duration>,
    /// What its reader calls itself.
    pub reader: Option<String>,
    /// Where its reader connects from.
    pub reader_address: Option<String>,
    /// For how long its reader has been connected.
    pub reading_for: Option<Duration>,
}

impl SlotSeen {
    pub(super) async fn ask(session: &Session) -> Result<Vec<Self>, SqlError> {
        let rows = session.client().query(include_str!("../../sql/survey/slots.sql"), &[]).await?;
        rows.iter().map(|row| Ok(Self::read(row)?)).collect()
    }

    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let count =
            |column| Ok::<_, tokio_postgres::Error>(row.try_get::<_, Option<i64>>(column)?.map(i64::unsigned_abs));
        Ok(Self {
            name: row.try_get("name")?,
            is_logical: row.try_get("is_logical")?,
            is_temporary: row.try_get("is_temporary")?,
            active_pid: row.try_get("active_pid")?,
            wal_status: row.try_get("wal_status")?,
            safe_bytes: row.try_get("safe_bytes")?,
            retained_bytes: count("retained_bytes")?,
            unconfirmed_bytes: count("unconfirmed_bytes")?,
            confirmed: row.try_get("confirmed")?,
            log_end: row.try_get("log_end")?,
            fails_over: row.try_get("fails_over")?,
            inactive_for: seconds(row, "inactive_for")?,
            reader: row.try_get("reader")?,
            reader_address: row.try_get("reader_address")?,
            reading_for: seconds(row, "reading_for")?,
        })
    }
}

/// A column of seconds; what lies in the future by the server's clock is now.
pub(super) fn seconds(row: &Row, column: &str) -> Result<Option<Duration>, tokio_postgres::Error> {
    let seconds: Option<f64> = row.try_get(column)?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
