//! The watermark's row: looked up before a start, and written while delivering.

use tokio_postgres::{Row, types::ToSql};

use super::Needs;
use crate::{
    lsn::Lsn,
    position::{Place, Source},
    postgres::sql::{Session, SqlError},
    publish::StreamIdentity,
    relay::{Confirmed, Mark, Stored, Watermark},
};

/// The table of watermarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatermarkTable {
    /// Whether it is there.
    pub is_there: bool,
    /// Whether our role may read and write it.
    pub may_use: bool,
}

impl WatermarkTable {
    pub(super) async fn inspect(session: &Session, needs: &Needs) -> Result<Self, SqlError> {
        let table = needs.watermark();
        let sql = include_str!("../../sql/preflight/watermark.sql");
        let row = session.client().query_one(sql, &[&table.schema(), &table.name()]).await?;
        Ok(Self { is_there: row.try_get("is_there")?, may_use: row.try_get("may_use")? })
    }
}

/// The watermark of the slot, if there is one.
pub async fn read_watermark(session: &Session, needs: &Needs) -> Result<Option<Watermark>, SqlError> {
    let sql = naming(include_str!("../../sql/watermark/read.sql"), needs);
    let row = session.client().query_opt(&sql, &[&needs.slot]).await?;
    Ok(row.map(|row| watermark(&row, &needs.slot)).transpose()?)
}

/// What a change of the stream undoes, where the table has such a column: sequences begin anew.
const ANOTHER_STREAM: &str = ",
       dead_letters_to = CASE WHEN (w.stream, w.stream_created) = (excluded.stream, excluded.stream_created)
                              THEN w.dead_letters_to END";

/// Writes the watermark. `false` if the row says more already: another process has the slot. `has_status` says whether the
/// table has the columns for the delivery status.
pub async fn write_watermark(
    session: &Session,
    needs: &Needs,
    watermark: &Watermark,
    has_status: bool,
) -> Result<bool, SqlError> {
    let Watermark { source, stream, mark: Mark { confirmed, ceiling } } = watermark;
    let sql = naming(include_str!("../../sql/watermark/write.sql"), needs);
    let sql = sql.replace("{more}", if has_status { ANOTHER_STREAM } else { "" });
    let event_lsn = confirmed.event.map(|event| event.place.commit_lsn.to_string());
    let event_index = confirmed.event.map(|event| i64::from(event.place.index));
    let event_sequence = confirmed.event.and_then(|event| i64::try_from(event.sequence).ok());
    let (system_id, timeline) = (source.system_id.to_string(), i64::from(source.timeline));
    let (confirmed_lsn, ceiling) = (confirmed.lsn.to_string(), ceiling.to_string());
    let values: [&(dyn ToSql + Sync); 10] = [
        &source.slot,
        &system_id,
        &timeline,
        &confirmed_lsn,
        &ceiling,
        &event_lsn,
        &event_index,
        &event_sequence,
        &stream.name,
        &stream.created_ns,
    ];
    Ok(session.client().execute(&sql, &values).await? > 0)
}

fn naming(sql: &str, needs: &Needs) -> String {
    sql.replace("{watermark}", &needs.watermark().to_string())
}

/// Reads the row of `read.sql`. What cannot be read as one of ours was not written by us, and says nothing.
fn watermark(row: &Row, slot: &str) -> Result<Watermark, tokio_postgres::Error> {
    let lsn = |column| Ok::<_, tokio_postgres::Error>(position(row.try_get(column)?));
    let event_lsn: Option<&str> = row.try_get("event_lsn")?;
    let index: Option<i64> = row.try_get("event_index")?;
    let sequence: Option<i64> = row.try_get("event_sequence")?;
    let event = event_lsn.zip(index).zip(sequence).and_then(|((lsn, index), sequence)| {
        let place = Place { commit_lsn: position(lsn), index: u32::try_from(index).ok()? };
        Some(Stored { place, sequence: u64::try_from(sequence).ok()? })
    });
    Ok(Watermark {
        source: Source {
            system_id: row.try_get::<_, &str>("system_id")?.parse().unwrap_or_default(),
            timeline: u32::try_from(row.try_get::<_, i64>("timeline")?).unwrap_or_default(),
            slot: slot.to_owned(),
        },
        stream: StreamIdentity { name: row.try_get("stream")?, created_ns: row.try_get("stream_created")? },
        mark: Mark { confirmed: Confirmed { lsn: lsn("confirmed")?, event }, ceiling: lsn("ceiling")? },
    })
}

/// A `pg_lsn` as text; the server writes no other text for one.
fn position(text: &str) -> Lsn {
    text.parse().unwrap_or_default()
}
