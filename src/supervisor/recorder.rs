//! Writes the watermark: before a position is confirmed to Postgres, and not more often than it must.
//!
//! Positions behind which no event lies pass without writing up to a ceiling, so that an idle outbox writes next to
//! nothing: each write is log too, whose end would have to be confirmed again. The ceiling is taken back at a stop in
//! good order. After any other end a slot that somebody moved by less than [`HEADROOM`] goes unnoticed.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::RunError;
use crate::{
    position::Source,
    postgres::sql::Session as SqlSession,
    preflight::{Needs, write_watermark},
    publish::StreamIdentity,
    relay::{Mark, Watermark, Wishes},
};

/// The pause after a write: what commits meanwhile is confirmed together.
const PAUSE: Duration = Duration::from_millis(250);
/// How far idle positions may go without another write, in bytes of log: some hundred of our own writes.
const HEADROOM: u64 = 64 * 1024;
/// How long a write may take. It changes one row that nobody else writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last one may take: whoever asked to stop waits for it, and all that it spares is the headroom.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Keeps the watermark of one session.
#[derive(Debug)]
pub(super) struct Recorder<'a> {
    pub(super) sql: &'a SqlSession,
    pub(super) needs: &'a Needs,
    pub(super) source: &'a Source,
    pub(super) stream: &'a StreamIdentity,
    pub(super) wishes: Wishes,
    /// Whether the table has the columns for the delivery status.
    pub(super) has_status: bool,
}

impl Recorder<'_> {
    /// Writes what is wished for until that fails. A write that is broken off by cancelling is finished by the server
    /// before any later one.
    pub(super) async fn run(&mut self) -> RunError {
        loop {
            let wish = self.wishes.next().await;
            let ceiling = wish.lsn.saturating_add(HEADROOM);
            if let Err(error) = self.write(Mark { confirmed: wish, ceiling }, PATIENCE).await {
                return error;
            }
            sleep(PAUSE).await;
        }
    }

    /// Writes exactly what is confirmed at the end.
    pub(super) async fn finish(&mut self) -> Result<(), RunError> {
        let confirmed = self.wishes.last();
        if !confirmed.lsn.is_valid() || confirmed.lsn < self.wishes.mark().confirmed.lsn {
            return Ok(());
        }
        self.write(Mark { confirmed, ceiling: confirmed.lsn }, LAST_PATIENCE).await
    }

    async fn write(&mut self, mark: Mark, patience: Duration) -> Result<(), RunError> {
        let watermark = Watermark { source: self.source.clone(), stream: self.stream.clone(), mark };
        let written = timeout(patience, write_watermark(self.sql, self.needs, &watermark, self.has_status)).await;
        match written.map_err(|_| RunError::WatermarkHeldUp { table: self.needs.watermark() })? {
            Ok(true) => {
                self.wishes.written(mark);
                Ok(())
            }
            Ok(false) => Err(RunError::WatermarkAhead),
            Err(source) => Err(RunError::WatermarkUnwritten { table: self.needs.watermark(), source }),
        }
    }
}
