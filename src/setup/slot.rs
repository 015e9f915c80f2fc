//! The slot, and the rows that were there before it.
//!
//! A slot sends what is committed after the moment at which it became consistent, which lies somewhere in its creation. So
//! it is created over a replication connection, which exports the snapshot of that very moment: the rows that are
//! visible in it are those that the slot does not send, to the last one, whoever writes meanwhile.
//!
//! To send them they are inserted again, in front of everything that is committed later. Nobody may write meanwhile, and the
//! slot begins behind what others have committed since it was made, because that is inserted again, too. (The table cannot be
//! locked before the slot is made: that waits for the transactions which would wait for the table.)
//!
//! A slot in place of one that is lost stands beyond what the watermark says was confirmed, so a relay refuses it. That lasts until
//! the watermark is forgotten, in the transaction that inserts the rows. (Within the 64 KiB that a relay which was killed may
//! have gone beyond its watermark, another one may take the slot before that. Then the rows cannot be inserted, and setup says so.)

use std::pin::pin;

use tokio::time::timeout;
use tokio_postgres::{Client, Row, error::SqlState, types::ToSql};

use super::{
    SLOW, Setup, SetupError,
    error::RowsError,
    missing::{Missing, Unsent},
    statement,
};
use crate::{
    postgres::sql::{Session, SqlError, exists_already},
    preflight::{Facts, Needs, Problem},
    replication::{Connection, Snapshot},
};

/// What becomes of rows that were committed before the slot was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExistingRows {
    /// Insert them again, so that they are sent.
    Send,
    /// Insert again those that the stream does not hold; a slot that is lost is made anew.
    Missing,
    /// Leave them as they are; they count as published.
    Keep,
}

/// What a new slot found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// No rows.
    Nothing,
    /// So many rows, which are sent now.
    Sent(u64),
    /// So many rows, all of which had been sent but for some, which are sent now.
    Completed(u64),
    /// Whatever there is stays as it is.
    Kept,
}

/// Creates the slot and sees to the rows from before; none if somebody else has made one meanwhile.
///
/// Without a decision about rows that are there, or if they cannot be inserted again, there is no slot afterwards.
pub(super) async fn create(
    setup: &Setup<'_>,
    facts: &Facts,
    on_wait: &mut impl FnMut(&str),
) -> Result<Option<Before>, SetupError> {
    let Setup { session, needs, .. } = *setup;
    let failed = |source| SetupError::CreateSlot { slot: needs.slot.clone(), source };
    let mut connection = Connection::open(session.host()).await.map_err(failed)?;
    if facts.slot.is_some() {
        // One that is lost, unless somebody else has made it anew by now.
        let sql = "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots
                    WHERE slot_name = $1 AND wal_status = 'lost'";
        session.client().query(sql, &[&needs.slot]).await.map_err(SqlError::from)?;
    }
    let fails_over = statement::fails_over(facts.server.version_num);
    let snapshot = {
        let mut creation = pin!(connection.create_slot(&needs.slot, fails_over));
        match timeout(SLOW, &mut creation).await {
            Ok(created) => created,
            Err(_) => {
                on_wait(super::Part::Slot.reason_to_wait());
                creation.await
            }
        }
    };
    let snapshot = match snapshot {
        Ok(snapshot) => snapshot,
        Err(error) if exists_already(error.sqlstate()) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let before = see_to_rows(setup, facts, (&mut connection, &snapshot), on_wait).await;
    if before.is_err() {
        // Whoever repeats this must find the rows in front of the slot again.
        drop_slot(session, &needs.slot)
            .await
            .map_err(|source| SetupError::SlotLeft { slot: needs.slot.clone(), source })?;
    }
    before.map(Some)
}

async fn drop_slot(session: &Session, slot: &str) -> Result<(), SqlError> {
    session.client().execute("SELECT pg_catalog.pg_drop_replication_slot($1)", &[&slot]).await?;
    Ok(())
}

/// Looks for rows in the slot's snapshot, and does with them what is wished.
async fn see_to_rows(
    setup: &Setup<'_>,
    facts: &Facts,
    (connection, snapshot): (&mut Connection, &Snapshot),
    on_wait: &mut impl FnMut(&str),
) -> Result<Before, SetupError> {
    let Setup { session, needs, existing_rows, .. } = *setup;
    let (client, table) = (session.client(), || needs.mapping.table.clone());
    match existing_rows {
        Some(ExistingRows::Keep) => return Ok(Before::Kept),
        Some(ExistingRows::Missing) => {
            let unsent = Unsent::look(setup, facts, Some(snapshot)).await?;
            // It ends the snapshot's transaction, which need not stay open while the stream is read.
            let ended = connection.flush_log().await;
            ended.map_err(|source| SetupError::RowsUnsent { table: table(), source: source.into() })?;
            let missing = unsent.compare(setup, facts, on_wait).await?;
            return complete(setup, facts, &missing, connection).await;
        }
        Some(ExistingRows::Send) | None => {}
    }
    let exist = rows_exist(client, needs, snapshot).await;
    match (exist.map_err(|source| SetupError::RowsUnseen { table: table(), source })?, existing_rows) {
        (false, _) => Ok(Before::Nothing),
        (true, None) => Err(SetupError::Refused(vec![Problem::ExistingRows(table())])),
        (true, Some(_)) => {
            let sql = statement::existing_rows(needs, facts);
            let again = Again { sql: &sql, values: &[], forgets: false };
            send(client, needs, again, connection).await.map(Before::Sent)
        }
    }
}

/// Inserts again what is missing in the stream, and forgets up to where an earlier slot was confirmed.
async fn complete(
    setup: &Setup<'_>,
    facts: &Facts,
    missing: &Missing,
    connection: &mut Connection,
) -> Result<Before, SetupError> {
    let (client, needs, forgets) = (setup.session.client(), setup.needs, facts.watermark.is_some());
    if missing.count > 0 {
        let again = Again { sql: &missing.sql, values: &[&missing.held], forgets };
        return send(client, needs, again, connection).await.map(Before::Completed);
    }
    if forgets {
        forget_watermark(client, needs).await.map_err(SqlError::from)?;
    }
    Ok(if missing.looked_at == 0 { Before::Nothing } else { Before::Completed(0) })
}

async fn forget_watermark(client: &Client, needs: &Needs) -> Result<u64, tokio_postgres::Error> {
    client.execute(&statement::forget_watermark(needs), &[&needs.slot]).await
}

/// Whether there are rows that the slot does not send.
async fn rows_exist(client: &Client, needs: &Needs, snapshot: &Snapshot) -> Result<bool, SqlError> {
    client.batch_execute(&statement::in_snapshot(snapshot)).await?;
    let exist = client.query_one(&statement::has_rows(needs), &[]).await;
    client.batch_execute("ROLLBACK").await?;
    as_far_as_seen(client, needs, exist).await
}

/// Whether there are rows as long as there is no slot.
pub(super) async fn rows_exist_now(client: &Client, needs: &Needs) -> Result<bool, SqlError> {
    let exist = client.query_one(&statement::has_rows(needs), &[]).await;
    as_far_as_seen(client, needs, exist).await
}

async fn as_far_as_seen(
    client: &Client,
    needs: &Needs,
    exist: Result<Row, tokio_postgres::Error>,
) -> Result<bool, SqlError> {
    match exist {
        // A role that only delivers may not read the table. One that takes no room has no rows, and everybody may ask for that.
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let takes_room: bool = client.query_one(&statement::takes_room(needs), &[]).await?.try_get(0)?;
            if takes_room { Err(error.into()) } else { Ok(false) }
        }
        exist => Ok(exist?.try_get(0)?),
    }
}

/// Which rows are inserted again.
struct Again<'a> {
    /// The statement.
    sql: &'a str,
    /// Its parameters.
    values: &'a [&'a (dyn ToSql + Sync)],
    /// Whether it is forgotten up to where an earlier slot was confirmed.
    forgets: bool,
}

/// Inserts rows again, and has the slot begin right before; how many that are.
async fn send(
    client: &Client,
    needs: &Needs,
    again: Again<'_>,
    connection: &mut Connection,
) -> Result<u64, SetupError> {
    let sent = insert_again(client, needs, again, connection).await;
    if sent.is_err() && !client.is_closed() {
        client.batch_execute("ROLLBACK").await.map_err(SqlError::from)?;
    }
    sent.map_err(|source| SetupError::RowsUnsent { table: needs.mapping.table.clone(), source })
}

async fn insert_again(
    client: &Client,
    needs: &Needs,
    Again { sql, values, forgets }: Again<'_>,
    connection: &mut Connection,
) -> Result<u64, RowsError> {
    client.batch_execute(&statement::begin_alone(needs)).await.map_err(SqlError::from)?;
    connection.flush_log().await?;
    client.execute(statement::SKIP_TO_END, &[&needs.slot]).await.map_err(SqlError::from)?;
    let sent = client.execute(sql, values).await.map_err(SqlError::from)?;
    if forgets {
        forget_watermark(client, needs).await.map_err(SqlError::from)?;
    }
    client.batch_execute("COMMIT").await.map_err(SqlError::from)?;
    Ok(sent)
}
