//! Reads both sides for the verdict: all rows of the table, then the whole stream from its first message.

use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::audit::{Audit, Findings};
use super::error::SandboxError;
use super::servers::PrivatePostgres;
use super::stored::{StreamReader, digest};

/// How long the stream may be silent although it holds more.
const SILENCE: Duration = Duration::from_secs(30);

/// Compare the table with the stream.
pub(super) async fn compare(postgres: &PrivatePostgres, client: &async_nats::Client) -> Result<Findings, SandboxError> {
    let mut audit = Audit::default();
    read_table(postgres, &mut audit).await?;
    read_stream(client, &mut audit).await?;
    Ok(audit.finish())
}

/// How many rows the table has.
pub(super) async fn count_rows(client: &tokio_postgres::Client) -> Result<u64, SandboxError> {
    let row = client.query_one("SELECT count(*) FROM public.outbox", &[]).await.map_err(SandboxError::Table)?;
    let count: i64 = row.try_get(0).map_err(SandboxError::Table)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Every row, one after the other: the table may be larger than memory should be.
async fn read_table(postgres: &PrivatePostgres, audit: &mut Audit) -> Result<(), SandboxError> {
    let client = postgres.connect().await?;
    let failed = SandboxError::Table;
    let none: [&(dyn ToSql + Sync); 0] = [];
    let rows = client.query_raw(include_str!("outbox_rows.sql"), none).await.map_err(failed)?;
    pin_mut!(rows);
    while let Some(row) = rows.next().await {
        let row = row.map_err(failed)?;
        let text = |index: usize| row.try_get::<_, &str>(index).map_err(failed);
        let id: Uuid =
            text(0)?.parse().map_err(|_| SandboxError::Broken("the table holds an id that is none".into()))?;
        audit.committed(id, digest([text(1)?, text(2)?, text(3)?], text(4)?.as_bytes()));
    }
    Ok(())
}

/// Every message, in the stream's order.
async fn read_stream(client: &async_nats::Client, audit: &mut Audit) -> Result<(), SandboxError> {
    let mut reader = StreamReader::open(client).await?;
    let last = reader.last_sequence().await?;
    let mut sequence = 0;
    while sequence < last {
        let next = timeout(SILENCE, reader.next()).await;
        let message = next.map_err(|_| SandboxError::StreamSilent(sequence))??;
        sequence = message.sequence;
        audit.stored(&message);
    }
    Ok(())
}
