//! What the delivery status in the database says: how many rows wait, since when, and how many are dead.

use std::time::Duration;

use super::slots::seconds;
use crate::{
    postgres::sql::{Session, SqlError},
    preflight::Needs,
};

/// SQLSTATE of a table or view that is not there.
const UNDEFINED_TABLE: &str = "42P01";

/// What `walpost_lag` says of our slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutboxLag {
    /// Rows that are not known to be delivered, counted up to ten thousand; none if nothing is known yet.
    pub pending: Option<u64>,
    /// Since when the oldest of them waits, by its own time.
    pub oldest_for: Option<Duration>,
    /// How old this knowledge is.
    pub known_for: Option<Duration>,
    /// Dead letters that nobody has decided about.
    pub dead: u64,
}

impl OutboxLag {
    /// None if no status is kept, or the relay never led.
    pub(super) async fn ask(session: &Session, needs: &Needs) -> Result<Option<Self>, SqlError> {
        let view = needs.mapping.table.beside("walpost_lag").to_string();
        let sql = include_str!("../../sql/survey/outbox_lag.sql").replace("{lag}", &view);
        let row = match session.client().query_opt(&sql, &[&needs.slot]).await.map_err(SqlError::from) {
            Err(error) if error.sqlstate() == Some(UNDEFINED_TABLE) => return Ok(None),
            other => other?,
        };
        let Some(row) = row else { return Ok(None) };
        let pending: Option<i64> = row.try_get("pending")?;
        Ok(Some(Self {
            pending: pending.map(i64::unsigned_abs),
            oldest_for: seconds(&row, "oldest_for")?,
            known_for: seconds(&row, "known_for")?,
            dead: row.try_get::<_, i64>("dead")?.unsigned_abs(),
        }))
    }
}
