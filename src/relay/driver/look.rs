//! Looks at the end of the stream before what was held back is confirmed, when no answer of the broker tells as much.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Session, SessionError};
use crate::relay::Resume;

/// How long a look may take: meanwhile nothing is read or published. The outbox has been idle for the hold-back.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon after a look there may be another one.
const LOOK_SPACING: Duration = Duration::from_secs(1);

impl Session {
    /// Whether [`Session::look`] is due.
    pub(super) fn is_time_to_look(&self) -> bool {
        self.next_look().is_some_and(|look| look <= Instant::now())
    }

    /// When to look next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.relay.next_look().map(|at| at.max(self.look_after))
    }

    /// Asks where the stream ends. If nobody says so, nothing that was held back is confirmed, and it is asked again.
    pub async fn look<E: std::fmt::Display>(
        &mut self,
        end: impl Future<Output = Result<Resume, E>>,
    ) -> Result<(), SessionError> {
        let asked = Instant::now();
        self.look_after = asked + LOOK_SPACING;
        match timeout(LOOK_TIMEOUT, end).await {
            Ok(Ok(end)) => self.relay.look(end, asked).map_err(SessionError::Stop),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the stream does not say where it ends");
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }
}
