//! Dead letters as people ask for them and decide about them.

use serde::Serialize;
use tokio_postgres::Row;

use super::Needs;
use crate::postgres::sql::{Session, SqlError};

/// A dead letter, as a row of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The slot that it was found through.
    pub slot: String,
    /// Where the event stands in the log.
    pub position: String,
    /// The event's id.
    pub event_id: Option<String>,
    /// The kind of thing it is about.
    pub aggregate_type: Option<String>,
    /// Which thing it is about.
    pub aggregate_id: Option<String>,
    /// What happened.
    pub event_type: Option<String>,
    /// The reason's code.
    pub reason: String,
    /// The reason for people.
    pub detail: String,
    /// The record's sequence in the stream.
    pub stream_sequence: Option<i64>,
    /// When it was found, RFC 3339.
    pub dead_at: String,
    /// What was decided: `dead` until then, `retried` or `discarded`.
    pub state: String,
    /// When, RFC 3339.
    pub decided_at: Option<String>,
}

/// Which dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Also those that somebody has decided about.
    pub all: bool,
    /// Those of one event, by its id or its position.
    pub event: Option<&'a str>,
    /// At most so many.
    pub most: u32,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is published again.
    Retry,
    /// It is given up.
    Discard,
}

/// The newest dead letters first.
pub async fn list_dead_letters(
    session: &Session,
    needs: &Needs,
    wanted: Wanted<'_>,
) -> Result<Vec<DeadLetter>, SqlError> {
    let sql = include_str!("../../sql/status/list.sql").replace("{dead_letter}", &needs.dead_letters().to_string());
    let Wanted { all, event, most } = wanted;
    let rows = session.client().query(&sql, &[&all, &event, &i64::from(most)]).await?;
    rows.iter().map(|row| Ok(DeadLetter::read(row)?)).collect()
}

/// Decides about an event; `false` if it has no dead letter that nobody has decided about, or its row is gone.
pub async fn decide(session: &Session, needs: &Needs, decision: Decision, event: &str) -> Result<bool, SqlError> {
    let function = match decision {
        Decision::Retry => "walpost_retry",
        Decision::Discard => "walpost_discard",
    };
    let sql = format!("SELECT {}($1)", needs.mapping.table.beside(function));
    Ok(session.client().query_one(&sql, &[&event]).await?.try_get(0)?)
}

impl DeadLetter {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            slot: row.try_get("slot")?,
            position: row.try_get("position")?,
            event_id: row.try_get("event_id")?,
            aggregate_type: row.try_get("aggregate_type")?,
            aggregate_id: row.try_get("aggregate_id")?,
            event_type: row.try_get("event_type")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            stream_sequence: row.try_get("stream_sequence")?,
            dead_at: row.try_get("dead_at")?,
            state: row.try_get("state")?,
            decided_at: row.try_get("decided_at")?,
        })
    }
}
