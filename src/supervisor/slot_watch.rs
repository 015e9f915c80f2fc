//! Watches the slot for those who look from outside: what it holds back matters most while nothing is delivered.

use std::{convert::Infallible, time::Duration};

use tokio::time::interval;

use super::{Phase, Supervisor};
use crate::{postgres::sql::Session as SqlSession, preflight};

/// How often is looked: a log that grows by 100 MB/s is seen within half a gigabyte.
const INTERVAL: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Looks now and then.
    pub(super) async fn watch_slot(&self, sql: &SqlSession) -> Infallible {
        let mut ticks = interval(INTERVAL);
        loop {
            ticks.tick().await;
            self.look_at_slot(sql).await;
        }
    }

    /// Looks once. Delivery does not depend on it, so a failure is none of delivery's.
    pub(super) async fn look_at_slot(&self, sql: &SqlSession) {
        match preflight::look_at_slot(sql, &self.plan.needs.slot).await {
            Ok(look) => {
                // Who does not lead confirms nothing, and would seem to lag behind by the whole log.
                if let Some(end) = look.server_end
                    && self.health.phase() == Phase::Leading
                {
                    self.progress.server_ends_at(end);
                }
                self.health.seen(look);
            }
            Err(error) => tracing::debug!(%error, "cannot look at the slot"),
        }
    }
}
