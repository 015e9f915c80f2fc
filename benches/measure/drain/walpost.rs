//! walpost itself.

use super::Backlog;
use crate::{
    support::daemon::{Daemon, Settings},
    usage::{Run, Usage},
};
use tokio::time::Instant;

/// Whether the delivery status is kept in the database. It is not where a part of it is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Status {
    Missing,
    Kept,
}

impl Backlog<'_> {
    /// From the start of the process until the stream holds the last event.
    pub(crate) async fn walpost(&self, status: Status) -> Run {
        let (slot, settings) = self.copy_for_walpost(status).await;
        let begun = Instant::now();
        let mut daemon = settings.start();
        self.world.until_stored(&mut daemon, self.events.into()).await;
        let seconds = begun.elapsed().as_secs_f64();
        let Usage { cpu_seconds, peak_kib } = Usage::of(daemon.pid_number()).unwrap();
        self.end_walpost(daemon, &slot).await;
        Run { seconds, cpu_seconds, peak_kib: Some(peak_kib), servers: None }
    }

    /// An empty stream, a slot at the beginning, and the settings for it.
    pub(crate) async fn copy_for_walpost(&self, status: Status) -> (String, Settings) {
        self.world.new_stream().await;
        let slot = self.copy_slot().await;
        let settings = self.settings.clone().with("POSTGRES_SLOT", &slot);
        match status {
            Status::Missing => {
                self.world.sql.batch_execute("DROP TABLE IF EXISTS walpost_dead_letter CASCADE").await.unwrap();
            }
            Status::Kept => drop(settings.set_up().await),
        }
        (slot, settings)
    }

    /// Stops it, which must be in good order.
    pub(crate) async fn end_walpost(&self, daemon: Daemon, slot: &str) {
        assert_eq!(daemon.terminate().await, 0, "walpost did not end well");
        self.drop_slot(slot).await;
    }
}
