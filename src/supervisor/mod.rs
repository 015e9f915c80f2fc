//! The service: starts, stands by, leads, waits out what time mends, and ends.
//!
//! ```text
//!   starting ──► standby ──► leading ──► draining ──► stopped
//!      ▲            │           │
//!      └────────────┴───────────┘  after a fault of Postgres, or of the broker while the log cannot stay open or another
//!                                   instance reaches it
//! ```
//!
//! The slot is the lock: Postgres gives it to one connection at a time, and everybody else stands by. Before anything
//! is moved everything is looked at: what Postgres and the stream must have, whose log the stream was fed from, where
//! it ends. A fault of the broker keeps the log open and its rows in memory; a fault of Postgres begins a new term.
//! Either way delivery goes on where the stream ends.

mod backoff;
mod displaced;
mod error;
mod guard;
mod health;
mod origin;
mod peers;
mod recorder;
mod retention;
mod slot_watch;
mod status;
mod term;
mod verdict;

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use error::RunError;
pub use health::{Health, HealthWatch, Phase, Trouble};
pub use origin::OrphansError;
pub use retention::Retained;
pub use verdict::{Policy, Verdict, verdict};
pub(crate) use verdict::{of_broker, of_problem, of_replication, of_resume, of_sql, of_stream, of_watermark};

use crate::{
    plan::Plan,
    relay::{Finish, Progress, Wait},
};
use health::HealthTeller;

/// The service.
#[derive(Debug)]
pub struct Supervisor {
    plan: Plan,
    progress: Arc<Progress>,
    health: HealthTeller,
}

impl Supervisor {
    /// A service that has not begun.
    pub fn new(plan: Plan) -> Self {
        let progress = Arc::<Progress>::default();
        let health = HealthTeller::new(Arc::clone(&progress));
        if plan.delete_after.is_some() {
            health.retains(|_| {});
        }
        Self { plan, health, progress }
    }

    /// The account that others may look at.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The state that others may look at.
    pub fn health(&self) -> HealthWatch {
        self.health.watch()
    }

    /// Delivers until `stop` is cancelled, or until something breaks that only a person can mend.
    pub async fn run(&self, stop: &CancellationToken) -> Result<Finish, RunError> {
        let finish = self.serve(stop).await;
        self.health.enter(Phase::Stopped);
        finish
    }

    async fn serve(&self, stop: &CancellationToken) -> Result<Finish, RunError> {
        let mut was_ready = false;
        loop {
            let error = match Box::pin(self.term(stop, &mut was_ready)).await {
                Ok(finish) => return Ok(finish),
                Err(error) if was_ready => error,
                Err(error) => return Err(error),
            };
            self.health.enter(Phase::Starting);
            let pause = self.pause_after(error)?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(self.unfinished()),
                () = sleep(pause) => self.progress.waited(Wait::Retry, pause),
            }
        }
    }

    /// How it ends when there is no session to end in good order: rows of an earlier one may never have been answered.
    fn unfinished(&self) -> Finish {
        match usize::try_from(self.progress.snapshot().in_flight).unwrap_or(usize::MAX) {
            0 => Finish::Drained,
            in_flight => Finish::Abandoned { in_flight },
        }
    }

    /// Tells of an error that time may mend, and how long to wait before the next attempt; gives back every other.
    fn pause_after(&self, error: RunError) -> Result<Duration, RunError> {
        let (code, policy) = verdict(&error);
        if policy.ends(code, self.health.watch().now().trouble.as_ref()) {
            return Err(error);
        }
        let (trouble, is_news) = self.health.tell(code, error.cause(), error.hint());
        if is_news {
            let action = trouble.action.as_deref().unwrap_or("none if it passes by itself");
            let seconds = trouble.duration().as_secs();
            tracing::warn!(%code, error = trouble.cause, action, seconds, "not delivering; trying again");
        } else {
            tracing::debug!(%code, error = trouble.cause, attempts = trouble.attempts, "still not delivering");
        }
        Ok(backoff::wait(trouble.attempts))
    }
}
