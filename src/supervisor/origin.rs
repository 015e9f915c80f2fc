//! Where the log comes from, and where delivery continues on it: also after a failover.

use super::{RunError, Supervisor};
use crate::{
    lsn::Lsn,
    position::{Place, Position, Source},
    publish::{Broker, Orphans, StreamEnd},
    relay::{LOST_LOG_REMEDY, LostLog, OnOrphans, ResumeError, Start, place_in},
    replication::{Connection, ReplicationError, TimelineHistory},
};

/// How many ids stand in one line of the log.
const IDS_PER_LINE: usize = 50;

/// The log that is read, and which others it continues.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// What stands in the positions of its events.
    pub(super) source: Source,
    /// What its timeline continues.
    pub(super) history: TimelineHistory,
    /// Where it ended when it was looked at.
    pub(super) wal_end: Lsn,
}

/// Events in the stream that the database has lost.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the stream holds events that a failover or restore lost: the server's timeline {} left timeline {} at {} ({orphans})",
        .lost.server, .lost.source.timeline, .lost.fork)]
pub struct OrphansError {
    lost: LostLog,
    orphans: Orphans,
}

impl Origin {
    /// Asks the server.
    pub(super) async fn ask(connection: &mut Connection, slot: &str) -> Result<Self, ReplicationError> {
        let identity = connection.identify_system().await?;
        let history = connection.timeline_history(identity.timeline).await?;
        let source = Source { system_id: identity.system_id, timeline: identity.timeline, slot: slot.to_owned() };
        Ok(Self { source, history, wal_end: identity.wal_end })
    }

    /// The place of a position in this log, if it has one.
    pub(super) fn place_of(&self, position: &Position) -> Option<Place> {
        place_in(position, &self.source, &self.history)
    }

    /// Where to continue on a log that is being read: its end is growing, so every position lies before it.
    pub(super) fn continue_after(&self, end: &StreamEnd, on_orphans: OnOrphans) -> Result<Start, ResumeError> {
        match Start::after(end, &self.source, &self.history, Lsn::new(u64::MAX)) {
            Err(ResumeError::LostLog(lost)) if on_orphans == OnOrphans::Keep => Ok(lost.start_behind()),
            other => other,
        }
    }
}

impl Supervisor {
    /// Where to begin on a log that is looked at for the first time. Events that it has lost are told, by their ids.
    pub(super) async fn begin_after(
        &self,
        end: &StreamEnd,
        origin: &Origin,
        broker: &Broker,
    ) -> Result<Start, RunError> {
        let lost = match Start::after(end, &origin.source, &origin.history, origin.wal_end) {
            Err(ResumeError::LostLog(lost)) => lost,
            other => return Ok(other?),
        };
        let orphans = broker.inspector().orphans(|position| lost.holds(position)).await?;
        if self.plan.on_orphans == OnOrphans::Halt {
            return Err(Box::new(OrphansError { lost, orphans }).into());
        }
        tracing::warn!(
            count = orphans.ids.len(),
            first_sequence = orphans.first_sequence,
            last_sequence = orphans.last_sequence,
            timeline = lost.source.timeline,
            fork = %lost.fork,
            "the stream keeps events that a failover or restore lost; delivery goes on behind them",
        );
        for ids in orphans.ids.chunks(IDS_PER_LINE) {
            tracing::warn!(ids = ids.join(" "), "lost by the database, and kept in the stream");
        }
        Ok(lost.start_behind())
    }
}

impl OrphansError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        LOST_LOG_REMEDY
    }
}
