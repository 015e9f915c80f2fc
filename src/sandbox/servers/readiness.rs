//! Waiting for a started server: until it answers, until it ends, or until patience does.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::error::ServerError;
use super::log::ServerLog;
use super::port;
use super::process::{Process, describe};

/// How long to wait between two probes: well below what a person notices.
const BETWEEN_PROBES: Duration = Duration::from_millis(10);

/// How long one probe may take; a server that accepts and then is silent does not hold up the wait.
const PROBE: Duration = Duration::from_secs(3);

/// How many lines of the log an error carries.
const LOG_LINES: usize = 25;

/// Why a server is not ready.
pub(super) enum NotReady {
    /// Somebody else has the port: another one, or a little later, may do.
    PortTaken(ServerError),
    /// It will not come up.
    Failed(ServerError),
}

impl NotReady {
    /// The error, whatever it means.
    pub(super) fn into_error(self) -> ServerError {
        match self {
            Self::PortTaken(error) | Self::Failed(error) => error,
        }
    }
}

/// A server that was just started.
pub(super) struct Starting<'a> {
    /// Its name in messages.
    pub(super) server: &'static str,
    /// The process.
    pub(super) process: &'a Process,
    /// Its log.
    pub(super) log: &'a ServerLog,
    /// The end of the log before it was started.
    pub(super) mark: u64,
}

impl Starting<'_> {
    /// Wait until `probe` succeeds. It must be sure to speak to this server and not to another on the same port.
    pub(super) async fn until_ready<P>(&self, within: Duration, probe: P) -> Result<(), NotReady>
    where
        P: AsyncFn() -> Result<(), String>,
    {
        let deadline = Instant::now() + within;
        loop {
            let refusal = match timeout(PROBE, probe()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(refusal)) => refusal,
                Err(_) => format!("no answer within {PROBE:?}"),
            };
            if let Some(status) = self.process.ended(Duration::ZERO).await {
                return Err(self.ended_early(&describe(status)));
            }
            if Instant::now() >= deadline {
                let reason = format!("did not accept a connection within {within:?} ({refusal})");
                return Err(NotReady::Failed(misbehaved(self.server, reason, self.log)));
            }
            sleep(BETWEEN_PROBES).await;
        }
    }

    /// It ended instead of starting.
    fn ended_early(&self, how: &str) -> NotReady {
        let error = misbehaved(self.server, format!("did not start: {how}"), self.log);
        if port::is_taken(&self.log.since(self.mark)) { NotReady::PortTaken(error) } else { NotReady::Failed(error) }
    }
}

/// The error for a server that did not do as it was told, with the end of its log.
pub(super) fn misbehaved(server: &'static str, reason: String, log: &ServerLog) -> ServerError {
    ServerError::Misbehaved { server, reason, log: log.tail(LOG_LINES) }
}
