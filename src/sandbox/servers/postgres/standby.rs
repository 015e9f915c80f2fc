//! A physical standby of a private Postgres: a copy that follows, until it is cut off or promoted.

use std::ffi::OsString;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, SUPERUSER};
use super::{BETWEEN_GLANCES, PostgresOptions, PrivatePostgres, SERVER};
use crate::sandbox::servers::error::ServerError;
use crate::sandbox::servers::identity::Identity;
use crate::sandbox::servers::readiness::misbehaved;
use crate::sandbox::servers::reaper::Reaper;
use crate::sandbox::servers::{folder, process::Farewell};

/// The physical slot on the primary that keeps the log for its standby; made with the first standby, so there can be
/// one. What `synchronized_standby_slots` wants to hear.
pub const STANDBY_SLOT: &str = "standby";

impl PrivatePostgres {
    /// Make a standby of `primary`, of its version and with its settings and passwords under those of `options`; it
    /// follows and can be asked on return. It is a server like any other: it can be stopped, killed, paused and started
    /// again, and is a standby until it is promoted.
    ///
    /// # Errors
    /// The primary cannot be copied, or the copy does not start.
    pub async fn start_standby(primary: &Self, options: PostgresOptions) -> Result<Self, ServerError> {
        let identity = Identity::for_postgres()?;
        let folder = folder::create(options.temporary_folder.as_deref(), &identity)?;
        let reaper = Reaper::guard(folder)?;
        let patience = options.patience;
        let mut options = options.binaries(primary.cluster.binaries.clone());
        options.auth = primary.cluster.auth.clone();
        let mut settings = primary.cluster.settings.clone();
        settings.insert("primary_conninfo".to_owned(), primary.cluster.conninfo());
        settings.insert("primary_slot_name".to_owned(), STANDBY_SLOT.to_owned());
        // What the primary waits for is not there on the standby.
        settings.remove("synchronized_standby_slots");
        settings.append(&mut options.settings);
        options.settings = settings;
        let cluster = Cluster::prepare(&reaper, identity, options)?;
        cluster.copy(&reaper, &primary.cluster, patience).await?;
        Self { process: None, cluster, patience, reaper }.on_a_free_port().await
    }

    /// Make a primary of a standby; it takes writes on return, on a timeline of its own.
    ///
    /// # Errors
    /// It does not run, is no standby, or is not promoted in time.
    pub async fn promote(&self) -> Result<(), ServerError> {
        let seconds = self.patience.as_secs().max(1);
        match self.ask(&format!("SELECT pg_promote(true, {seconds})")).await?.as_deref() {
            Some("t") => Ok(()),
            _ => Err(misbehaved(SERVER, format!("was not promoted within {seconds} s"), &self.cluster.log)),
        }
    }

    /// Have a standby receive nothing more, as if the network to its primary were gone.
    ///
    /// # Errors
    /// It does not run, or goes on receiving.
    pub async fn cut_off(&mut self) -> Result<(), ServerError> {
        self.set_config("primary_conninfo", "")?;
        self.reload().await?;
        let deadline = Instant::now() + self.patience;
        while self.ask("SELECT count(*) FROM pg_stat_wal_receiver").await?.as_deref() != Some("0") {
            if Instant::now() >= deadline {
                return Err(misbehaved(SERVER, "goes on following its primary".to_owned(), &self.cluster.log));
            }
            sleep(BETWEEN_GLANCES).await;
        }
        Ok(())
    }
}

impl Cluster {
    /// How another server connects to this one. It names a database, which the synchronisation of slots needs.
    fn conninfo(&self) -> String {
        let password = self.auth.password_of(SUPERUSER).map(|password| format!(" password={}", quoted(password)));
        let port = self.port;
        let password = password.unwrap_or_default();
        format!("host=127.0.0.1 port={port} user={SUPERUSER}{password} dbname=postgres application_name=standby")
    }

    /// Fill the data directory with a copy of the primary's, made to follow it.
    async fn copy(&self, reaper: &Reaper, primary: &Self, patience: Duration) -> Result<(), ServerError> {
        let mut arguments: Vec<OsString> = vec!["-D".into(), self.data.clone().into()];
        arguments.extend(["-d".into(), primary.conninfo().into()]);
        arguments.extend(["-C", "-S", STANDBY_SLOT, "-c", "fast", "--no-sync", "--no-manifest"].map(OsString::from));
        let copying = self.run(reaper, "pg_basebackup", arguments, Farewell::Kill)?;
        self.succeeded("pg_basebackup", copying.ended(patience).await, patience)?;
        self.write_file(&self.data.join("standby.signal"), b"")
    }
}

/// A value as a connection string wants it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
