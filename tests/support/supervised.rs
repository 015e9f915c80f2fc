//! A daemon that something starts again whenever it ends, as systemd or Kubernetes would.

use super::daemon::{Daemon, Settings};

/// As many ends in a row as no fault explains.
const MOST_FAILURES: usize = 500;

/// A daemon and its successors.
#[derive(Debug)]
pub(crate) struct Supervised {
    settings: Settings,
    daemon: Daemon,
    failures: usize,
    skipped: u64,
    skipped_by_this: u64,
    retries: u64,
    retries_by_this: u64,
}

impl Supervised {
    /// Starts the first.
    pub(crate) fn start(settings: &Settings) -> Self {
        let daemon = settings.start();
        Self {
            settings: settings.clone(),
            daemon,
            failures: 0,
            skipped: 0,
            skipped_by_this: 0,
            retries: 0,
            retries_by_this: 0,
        }
    }

    /// Looks after it: starts it again if it ended, else asks it how it does. True if it delivers.
    pub(crate) async fn look(&mut self) -> bool {
        if let Some(code) = self.daemon.exit_code() {
            // 1 is a fault that another start may survive; anything else would be the end of it in production, too.
            assert_eq!(code, 1, "{}", self.daemon.log());
            self.failures += 1;
            assert!(self.failures < MOST_FAILURES, "it never comes up: {}", self.daemon.log());
            self.start_again();
        }
        let Some(status) = self.daemon.status().await else { return false };
        self.skipped_by_this = self.skipped_by_this.max(status["rows"]["skipped"].as_u64().unwrap());
        self.retries_by_this = self.retries_by_this.max(status["retries"].as_u64().unwrap());
        status["ready"] == true && status["phase"] == "leading"
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.daemon.kill().await;
    }

    /// Starts the next one.
    pub(crate) fn start_again(&mut self) {
        self.daemon = self.settings.start();
        self.skipped += std::mem::take(&mut self.skipped_by_this);
        self.retries += std::mem::take(&mut self.retries_by_this);
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(self) -> i32 {
        self.daemon.terminate().await
    }

    /// How often it ended by itself.
    pub(crate) fn failures(&self) -> usize {
        self.failures
    }

    /// How many rows all of them were sent that the stream held already, as far as they were asked in time.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped + self.skipped_by_this
    }

    /// How often all of them tried again after a fault that they survived.
    pub(crate) fn retries(&self) -> u64 {
        self.retries + self.retries_by_this
    }

    /// What the present one has written to its log.
    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }
}
