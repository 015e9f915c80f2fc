//! The runtime of a command, and the signals that end it.
//!
//! One thread: a second one costs twice the CPU time for the same throughput.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;

/// Runs `work` to its end.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RuntimeError)?;
    let done = runtime.block_on(work);
    // Nothing that is still going on in the background is worth waiting for: a name that is being resolved, perhaps.
    runtime.shutdown_background();
    done
}

/// A token that the first SIGTERM or SIGINT cancels; the second ends the process at once.
pub(super) fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RuntimeError)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RuntimeError)?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let signal = next().await;
        tracing::info!(signal, "stopping");
        cancelled.cancel();
        next().await;
        #[expect(clippy::exit, reason = "whoever asks twice does not want to wait for an orderly end")]
        std::process::exit(1);
    });
    Ok(stop)
}

/// The operating system gave us no runtime.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the runtime")]
struct RuntimeError(#[source] io::Error);

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        Self::new(error)
    }
}
