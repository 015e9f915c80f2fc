//! The steps of a cleanup: each is one statement, in a transaction of its own.

use std::{fmt, time::Duration};

use postgres_protocol::escape::escape_literal;
use tokio_postgres::Row;

use crate::{
    outbox::quote_identifier,
    postgres::sql::{Session, SqlError},
    preflight::{Needs, fill},
};

/// How many rows a step looks at: they are locked and gone within some milliseconds.
const BATCH: i64 = 1000;

/// What a cleanup knows of the table.
#[derive(Clone, Debug)]
pub struct Sweep {
    table: String,
    /// Names and values for the places of the files under `sql/retention/`.
    values: Vec<(&'static str, String)>,
    /// Whether it is partitioned by the age of its rows.
    pub is_by_age: bool,
}

/// Where a step begins: behind the rows that were looked at and stayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The transaction.
    from: u64,
    /// How many of its rows stayed.
    skip: i64,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many rows it deleted.
    pub deleted: u64,
    /// Where the next begins; none if nothing more is old enough.
    pub next: Option<Start>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name, quoted.
    pub name: String,
    /// Whether each of its rows is old enough; none if its rows may be of any age.
    pub is_past: Option<bool>,
    /// Whether none is later.
    pub is_last: bool,
    /// Whether our role may drop it.
    pub may_drop: bool,
}

/// A slot on which cleanup waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldUp {
    /// It has not said yet what it has delivered.
    Silent(String),
    /// What it said was said on another server, of which this one is a copy.
    Elsewhere(String),
}

impl Sweep {
    /// Looks at the table; rows older than `age` are to go.
    pub async fn begin(session: &Session, needs: &Needs, age: Duration) -> Result<Self, SqlError> {
        let quoted = |name: &str| quote_identifier(name).unwrap_or_else(|_| name.to_owned());
        let (table, columns) = (needs.mapping.table.to_string(), &needs.mapping.columns);
        let created_at = columns.created_at.as_ref().map_or("created_at", |column| column.name.as_str());
        let mut values = vec![
            ("{watermark}", needs.watermark().to_string()),
            ("{dead_letter}", needs.dead_letters().to_string()),
            ("{table}", table.clone()),
            ("{table_literal}", escape_literal(&table)),
            ("{id}", quoted(&columns.id)),
            ("{created_at}", quoted(created_at)),
            ("{age}", format!("{:.3}", age.as_secs_f64())),
            ("{most}", BATCH.to_string()),
        ];
        let sql = filled(include_str!("../../../sql/retention/shape.sql"), &values, &[]);
        let row = session.client().query_one(&sql, &[&columns.id, &created_at]).await?;
        values.push(("{id_type}", row.try_get("id_type")?));
        Ok(Self { table, values, is_by_age: row.try_get("is_by_age")? })
    }

    /// Deletes some rows of the table, or of one of its partitions.
    pub async fn rows(&self, session: &Session, partition: Option<&str>, start: Start) -> Result<Step, SqlError> {
        let (from, skip) = (start.from.to_string(), start.skip.to_string());
        let part = partition.unwrap_or(&self.table);
        let own = [("{part}", part), ("{from}", &from), ("{skip}", &skip)];
        let sql = filled(include_str!("../../../sql/retention/rows.sql"), &self.values, &own);
        Ok(Step::read(&session.client().query_one(&sql, &[]).await?, start)?)
    }

    /// Deletes some dead letters; how many.
    pub async fn letters(&self, session: &Session) -> Result<u64, SqlError> {
        let sql = filled(include_str!("../../../sql/retention/letters.sql"), &self.values, &[]);
        Ok(session.client().execute(&sql, &[]).await?)
    }

    /// The partitions, the oldest first.
    pub async fn partitions(&self, session: &Session) -> Result<Vec<Partition>, SqlError> {
        let sql = filled(include_str!("../../../sql/retention/partitions.sql"), &self.values, &[]);
        let rows = session.client().query(&sql, &[]).await?;
        rows.iter().map(|row| Ok(Partition::read(row)?)).collect()
    }

    /// Drops a partition if every row in it is delivered. Whether it is gone.
    pub async fn drop_partition(&self, session: &Session, partition: &str) -> Result<bool, SqlError> {
        let client = session.client();
        let sql =
            filled(include_str!("../../../sql/retention/partition_done.sql"), &self.values, &[("{part}", partition)]);
        let Some(row) = client.query_opt(&sql, &[]).await? else { return Ok(false) };
        let below: Option<u64> = row.try_get::<_, Option<&str>>("below")?.and_then(|below| below.parse().ok());
        let Some(below) = below.filter(|_| row.try_get("is_done").unwrap_or(false)) else { return Ok(false) };
        let own = [("{part}", partition), ("{below}", &below.to_string())];
        let sql = filled(include_str!("../../../sql/retention/drop_partition.sql"), &self.values, &own);
        client.batch_execute(&sql).await?;
        Ok(client.query_one("SELECT to_regclass($1) IS NULL", &[&partition]).await?.try_get(0)?)
    }
}

impl Step {
    fn read(row: &Row, start: Start) -> Result<Self, tokio_postgres::Error> {
        let [looked, old, deleted, stayed] =
            ["looked", "old", "deleted", "stayed"].map(|name| row.try_get::<_, i64>(name));
        let last: Option<u64> = row.try_get::<_, Option<&str>>("last")?.and_then(|last| last.parse().ok());
        // Rows come in the order of their transactions, which is about that of their age.
        let goes_on = looked? == BATCH && old? > 0;
        let stayed = stayed?;
        let next = last.filter(|_| goes_on).map(|last| start.behind(last, stayed));
        Ok(Self { deleted: u64::try_from(deleted?).unwrap_or_default(), next })
    }
}

impl Start {
    /// Behind rows of which the last is of transaction `last`, where `stayed` of its rows stayed.
    fn behind(self, last: u64, stayed: i64) -> Self {
        let before = if last == self.from { self.skip } else { 0 };
        Self { from: last, skip: before.saturating_add(stayed) }
    }
}

impl Partition {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            name: row.try_get("part")?,
            is_past: row.try_get("is_past")?,
            is_last: row.try_get::<_, Option<bool>>("is_last")?.unwrap_or(false),
            may_drop: row.try_get("may_drop")?,
        })
    }
}

/// Why nothing may be deleted, if that is so: not before every slot of the table, ours among them, has said what it has delivered.
pub async fn held_up(session: &Session, needs: &Needs) -> Result<Option<HeldUp>, SqlError> {
    let values = [("{watermark}", needs.watermark().to_string())];
    let sql = filled(include_str!("../../../sql/retention/known.sql"), &values, &[]);
    let mut is_ours_known = false;
    for row in session.client().query(&sql, &[]).await? {
        let slot: String = row.try_get("slot")?;
        match (row.try_get("is_here")?, row.try_get("is_known")?) {
            (false, _) => return Ok(Some(HeldUp::Elsewhere(slot))),
            (true, false) => return Ok(Some(HeldUp::Silent(slot))),
            (true, true) => is_ours_known |= slot == needs.slot,
        }
    }
    Ok((!is_ours_known).then(|| HeldUp::Silent(needs.slot.clone())))
}

impl HeldUp {
    /// What to do if it lasts.
    pub fn remedy(&self, needs: &Needs) -> String {
        let (Self::Silent(slot) | Self::Elsewhere(slot)) = self;
        format!(
            "let a relay lead on that slot; if the slot is used no more, run `DELETE FROM {} WHERE slot = {};`",
            needs.watermark(),
            escape_literal(slot)
        )
    }
}

impl fmt::Display for HeldUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(slot) => write!(f, "slot {slot:?} has not said yet what it has delivered"),
            Self::Elsewhere(slot) => write!(f, "what slot {slot:?} has delivered was said on another server"),
        }
    }
}

/// A file with its places filled.
fn filled(template: &str, values: &[(&'static str, String)], own: &[(&str, &str)]) -> String {
    let all: Vec<(&str, &str)> =
        values.iter().map(|(place, value)| (*place, value.as_str())).chain(own.iter().copied()).collect();
    fill(template, &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_stay_are_passed_once() {
        let start = Start { from: 7, skip: 2 };
        assert_eq!(start.behind(7, 1000), Start { from: 7, skip: 1002 });
        assert_eq!(start.behind(9, 3), Start { from: 9, skip: 3 });
        assert_eq!(start.behind(9, 0), Start { from: 9, skip: 0 });
    }
}
