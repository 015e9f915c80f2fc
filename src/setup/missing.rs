//! Which rows of the outbox were never sent, when the slot that would have sent them is lost.
//!
//! Input: the rows that a new slot does not send, the ids that the stream holds, the delivery status. Output: SQL that inserts
//! again what is missing, and how much that is.
//!
//! A row was sent if the stream holds its id. A stream that drops messages may have held it: then the delivery status tells, if
//! it was told by this very stream and reaches no further than that. Where neither tells, nobody guesses. Dead letters are
//! not sent again: somebody decides about each.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::{Duration, Instant};

use super::{Setup, SetupError, statement};
use crate::{
    postgres::sql::SqlError,
    preflight::{Facts, Problem},
    publish::StreamExtent,
    relay::Watermark,
    replication::Snapshot,
};

/// How often somebody who waits is told how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// Rows that a new slot does not send, and that may not have been sent before.
#[derive(Debug)]
pub(super) struct Unsent {
    ids: HashSet<String>,
    /// The stream; none if there is none.
    extent: Option<StreamExtent>,
    /// Whether rows that are shown published are not among them.
    by_status: bool,
}

/// What of them is missing in the stream.
#[derive(Debug)]
pub(super) struct Missing {
    /// How many rows were looked at.
    pub(super) looked_at: usize,
    /// How many of them are missing.
    pub(super) count: usize,
    /// Those that the stream holds: the statement's parameter.
    pub(super) held: Vec<String>,
    /// Inserts again whatever is not among these.
    pub(super) sql: String,
}

impl Unsent {
    /// Looks at the rows that are visible in the snapshot, or now.
    pub(super) async fn look(
        setup: &Setup<'_>,
        facts: &Facts,
        snapshot: Option<&Snapshot>,
    ) -> Result<Self, SetupError> {
        let extent = setup.inspector.extent().await?;
        let has_status = facts.has_xid() && facts.status_objects.has_columns;
        let reached = |(watermark, extent)| is_reached(watermark, extent);
        let by_status = has_status
            && extent.as_ref().is_some_and(|extent| !extent.is_whole())
            && facts.watermark.as_ref().zip(extent.as_ref()).is_some_and(reached);
        let ids = rows(setup, &statement::unsent_ids(setup.needs, facts, by_status), snapshot).await?;
        Ok(Self { ids, extent, by_status })
    }

    /// Compares them with the stream; `on_wait` is told how far it is.
    pub(super) async fn compare(
        self,
        setup: &Setup<'_>,
        facts: &Facts,
        on_wait: &mut impl FnMut(&str),
    ) -> Result<Missing, SetupError> {
        let Self { mut ids, extent, by_status } = self;
        let is_whole = extent.as_ref().is_none_or(StreamExtent::is_whole);
        let (looked_at, mut held) = (ids.len(), Vec::new());
        if let Some(extent) = extent.filter(|extent| looked_at > 0 && extent.messages > 0) {
            let mut told = Instant::now();
            let look = |id: &str, read: u64| {
                held.extend(ids.take(id));
                if told.elapsed() >= PROGRESS {
                    told = Instant::now();
                    let (stream, of) = (&extent.identity.name, extent.messages);
                    on_wait(&format!("comparing with stream {stream}: {read} of {of} messages"));
                }
            };
            setup.inspector.ids(look).await?;
        }
        let (needs, count) = (setup.needs, ids.len());
        if count > 0 && !is_whole && !by_status {
            return Err(SetupError::Refused(vec![Problem::RowsUndecided {
                table: needs.mapping.table.clone(),
                stream: setup.stream.name.clone(),
                count,
                slot: needs.slot.clone(),
                watermark: needs.watermark(),
            }]));
        }
        Ok(Missing { looked_at, count, held, sql: statement::missing_rows(needs, facts, by_status) })
    }
}

/// Whether the stream is the one that was written, and reaches to the last event that is known to be stored: then it has lost
/// nothing at its end, and what it does not hold of that it has dropped.
fn is_reached(watermark: &Watermark, extent: &StreamExtent) -> bool {
    let last = watermark.mark.confirmed.event;
    watermark.stream == extent.identity && last.is_some_and(|last| last.sequence <= extent.last_sequence)
}

/// The ids that a query gives.
async fn rows(setup: &Setup<'_>, sql: &str, snapshot: Option<&Snapshot>) -> Result<HashSet<String>, SetupError> {
    let client = setup.session.client();
    let unseen = |source| SetupError::RowsUnseen { table: setup.needs.mapping.table.clone(), source };
    let query = async || {
        if let Some(snapshot) = snapshot {
            client.batch_execute(&statement::in_snapshot(snapshot)).await?;
        }
        let none: [&str; 0] = [];
        let ids = client.query_raw(sql, none).await?.map(|row| row?.try_get::<_, Option<String>>(0));
        ids.try_filter_map(async |id| Ok(id)).try_collect().await
    };
    let ids: Result<_, tokio_postgres::Error> = query().await;
    if snapshot.is_some() && !client.is_closed() {
        client.batch_execute("ROLLBACK").await.map_err(SqlError::from)?;
    }
    ids.map_err(|error| unseen(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lsn::Lsn,
        position::{Place, Source},
        publish::StreamIdentity,
        relay::{Confirmed, Mark, Stored},
    };

    #[test]
    fn the_status_tells_of_the_stream_that_was_written_if_that_has_lost_nothing_at_its_end() {
        let identity = |name: &str, created_ns| StreamIdentity { name: name.into(), created_ns };
        let watermark = |event: Option<u64>| Watermark {
            source: Source { system_id: 7, timeline: 1, slot: "walpost".into() },
            stream: identity("OUTBOX", 5),
            mark: Mark {
                confirmed: Confirmed {
                    lsn: Lsn::new(9),
                    event: event
                        .map(|sequence| Stored { place: Place { commit_lsn: Lsn::new(8), index: 0 }, sequence }),
                },
                ceiling: Lsn::new(9),
            },
        };
        let extent = |identity, last_sequence| StreamExtent { identity, messages: 3, last_sequence };
        for (event, found, tells) in [
            (Some(10), extent(identity("OUTBOX", 5), 10), true),
            (Some(10), extent(identity("OUTBOX", 5), 12), true),
            (Some(10), extent(identity("OUTBOX", 5), 9), false),
            (None, extent(identity("OUTBOX", 5), 12), false),
            (Some(10), extent(identity("OUTBOX", 6), 12), false),
            (Some(10), extent(identity("OTHER", 5), 12), false),
        ] {
            assert_eq!(is_reached(&watermark(event), &found), tells, "{event:?} {found:?}");
        }
    }
}
