//! A private Postgres server: its life and its addresses.

mod cluster;
mod options;
mod standby;

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use self::cluster::{Cluster, SUPERUSER};
pub use self::options::{PostgresAuth, PostgresOptions};
pub use self::standby::STANDBY_SLOT;
use super::error::ServerError;
use super::process::Process;
use super::readiness::{NotReady, Starting, misbehaved};
use super::reaper::Reaper;
use super::{folder, identity::Identity, port};

/// The name in messages.
const SERVER: &str = "the private Postgres";

/// How many free ports to try: each is lost only if somebody takes it within milliseconds.
const PORT_ATTEMPTS: usize = 10;

/// How long a restart waits for its own port, should somebody have taken it meanwhile.
const PORT_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before asking again whether something changed.
const BETWEEN_GLANCES: Duration = Duration::from_millis(20);

/// A Postgres of one's own, for logical replication: `wal_level=logical`, loopback only, superuser `postgres`.
///
/// Dropping it ends the server and removes its data, and blocks until that is done (some 50 ms).
#[derive(Debug)]
pub struct PrivatePostgres {
    /// The postmaster, while there is one. Dropped first, so that a paused server goes on and can end.
    process: Option<Process>,
    /// The data and the settings.
    cluster: Cluster,
    /// How long starting and stopping may take.
    patience: Duration,
    /// Ends and removes everything.
    reaper: Reaper,
}

/// How to stop a Postgres in order. For disorder see [`PrivatePostgres::kill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// SIGINT: disconnect the clients, let the log senders send what there is, write a checkpoint.
    Fast,
    /// SIGQUIT: end at once without a checkpoint; the next start recovers from the log.
    Immediate,
}

impl PrivatePostgres {
    /// Make a database cluster and start a server on it; ready for connections on return.
    ///
    /// # Errors
    /// No Postgres is installed, or it does not start: the error carries the end of its log.
    pub async fn start(options: PostgresOptions) -> Result<Self, ServerError> {
        let identity = Identity::for_postgres()?;
        let folder = folder::create(options.temporary_folder.as_deref(), &identity)?;
        let reaper = Reaper::guard(folder)?;
        let patience = options.patience;
        let cluster = Cluster::create(&reaper, identity, options).await?;
        Self { process: None, cluster, patience, reaper }.on_a_free_port().await
    }

    /// Start for the first time.
    async fn on_a_free_port(mut self) -> Result<Self, ServerError> {
        let mut attempts = 1..=PORT_ATTEMPTS;
        loop {
            attempts.next();
            self.cluster.port = port::free().map_err(ServerError::system("find a free port for", self.folder()))?;
            match self.launch().await {
                Ok(()) => return Ok(self),
                Err(NotReady::PortTaken(_)) if !attempts.is_empty() => {}
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// The address for the superuser and the database `postgres`, over loopback.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_for(SUPERUSER, "postgres")
    }

    /// The address for a user and a database. It has a password only for the superuser: with [`PostgresAuth::Trust`]
    /// nobody needs one, with [`PostgresAuth::Scram`] use [`Self::url_with_password`].
    #[must_use]
    pub fn url_for(&self, user: &str, database: &str) -> String {
        self.cluster.url("127.0.0.1", user, self.cluster.auth.password_of(user), database)
    }

    /// The address for a user that has a password.
    #[must_use]
    pub fn url_with_password(&self, user: &str, password: &str, database: &str) -> String {
        self.cluster.url("127.0.0.1", user, Some(password), database)
    }

    /// As [`Self::url_for`], through the Unix socket.
    #[must_use]
    pub fn unix_socket_url(&self, user: &str, database: &str) -> String {
        let host = self.cluster.socket_dir();
        self.cluster.url(&host.to_string_lossy(), user, self.cluster.auth.password_of(user), database)
    }

    /// The loopback port; the same after each restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.cluster.port
    }

    /// The process number of the postmaster while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().ok().map(Process::pid)
    }

    /// Whether the postmaster runs (a paused one does).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running().is_ok()
    }

    /// The major version: 18.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.cluster.binaries.major
    }

    /// The folder of everything; it goes with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.reaper.folder()
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.cluster.data
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.cluster.log.tail(lines)
    }

    /// Write a file into the data directory, readable only for the server: `server.key`, `pg_hba.conf`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_data_file(&self, name: &str, contents: &[u8]) -> Result<(), ServerError> {
        self.cluster.write_file(&self.cluster.data.join(name), contents)
    }

    /// Change a setting; in effect after [`Self::reload`], or [`Self::restart`] for those that need one.
    ///
    /// # Errors
    /// The settings file cannot be written.
    pub fn set_config(&mut self, name: &str, value: &str) -> Result<(), ServerError> {
        self.cluster.settings.insert(name.to_owned(), value.to_owned());
        self.cluster.write_settings()
    }

    /// Have the server read its configuration again, and wait until it has.
    ///
    /// # Errors
    /// The server is not running, or refuses the configuration; a setting that needs a restart is refused as well.
    pub async fn reload(&self) -> Result<(), ServerError> {
        let before = self.configured_at().await?;
        self.running()?.signal(Signal::SIGHUP);
        let deadline = Instant::now() + self.patience.min(Duration::from_secs(10));
        while self.configured_at().await? == before {
            if Instant::now() >= deadline {
                return Err(misbehaved(SERVER, "did not accept its configuration".to_owned(), &self.cluster.log));
            }
            sleep(BETWEEN_GLANCES).await;
        }
        Ok(())
    }

    /// Stop in order; nothing happens if it does not run. A paused server is resumed first.
    ///
    /// # Errors
    /// It does not stop in time.
    pub async fn stop(&mut self, mode: StopMode) -> Result<(), ServerError> {
        let Some(process) = &self.process else { return Ok(()) };
        process.resume();
        process.signal(match mode {
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGQUIT,
        });
        if process.ended(self.patience).await.is_none() {
            let reason = format!("did not stop within {:?}", self.patience);
            return Err(misbehaved(SERVER, reason, &self.cluster.log));
        }
        self.process = None;
        Ok(())
    }

    /// SIGKILL for the postmaster and every child, as when the machine fails; gone on return.
    ///
    /// # Errors
    /// It is still there after a time in which no killed process should be.
    pub async fn kill(&mut self) -> Result<(), ServerError> {
        let Some(process) = &self.process else { return Ok(()) };
        process.kill(self.patience).await;
        if process.is_running() {
            return Err(misbehaved(SERVER, "survived SIGKILL".to_owned(), &self.cluster.log));
        }
        self.process = None;
        Ok(())
    }

    /// Start again on the same data and port, after stopping (fast) if it runs; ready for connections on return.
    ///
    /// # Errors
    /// It does not stop or start; or the port was taken and not given back.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.stop(StopMode::Fast).await?;
        let deadline = Instant::now() + PORT_PATIENCE;
        loop {
            match self.launch().await {
                Ok(()) => return Ok(()),
                Err(NotReady::PortTaken(_)) if Instant::now() < deadline => sleep(BETWEEN_GLANCES).await,
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// SIGSTOP for the postmaster and every child: connections stay open and nothing answers.
    ///
    /// # Errors
    /// It is not running.
    pub async fn pause(&self) -> Result<(), ServerError> {
        self.running()?.pause().await;
        Ok(())
    }

    /// Let a paused server go on.
    ///
    /// # Errors
    /// It is not running.
    pub fn resume(&self) -> Result<(), ServerError> {
        self.running()?.resume();
        Ok(())
    }

    /// Run statements as the superuser in the database `postgres`, on a connection of their own.
    ///
    /// # Errors
    /// The connection or a statement fails.
    pub async fn execute_sql(&self, sql: &str) -> Result<(), ServerError> {
        let (client, connection) = Box::pin(self.cluster.over_loopback().connect(NoTls)).await?;
        let run = async move { client.batch_execute(sql).await };
        let (result, connection) = tokio::join!(run, connection);
        result?;
        Ok(connection?)
    }

    /// A connection as the superuser to the database `postgres`, driven by a task that ends with the client.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn connect(&self) -> Result<Client, ServerError> {
        let (client, connection) = Box::pin(self.cluster.over_loopback().connect(NoTls)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection to the private Postgres ended");
            }
        });
        Ok(client)
    }

    /// Start the postmaster on the cluster as it is and wait until it accepts connections.
    async fn launch(&mut self) -> Result<(), NotReady> {
        let mark = self.cluster.log.end();
        let process = self.cluster.launch(&self.reaper).map_err(NotReady::Failed)?;
        // Kept before it is ready: whoever gives up waiting can still stop it.
        let process = &*self.process.insert(process);
        let starting = Starting { server: SERVER, process, log: &self.cluster.log, mark };
        // Through the socket in our own folder: on the port another Postgres may answer, if it was quicker.
        let config = self.cluster.over_socket();
        let probe = async || match Box::pin(config.connect(NoTls)).await {
            Ok(_connected) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        let readiness = starting.until_ready(self.patience, probe).await;
        if readiness.is_err() {
            process.kill(self.patience).await;
            self.process = None;
        }
        readiness
    }

    /// When the configuration was last read.
    async fn configured_at(&self) -> Result<Option<String>, ServerError> {
        self.ask("SELECT pg_conf_load_time()").await
    }

    /// The first column of the first row, asked through the socket.
    async fn ask(&self, sql: &str) -> Result<Option<String>, ServerError> {
        let (client, connection) = Box::pin(self.cluster.over_socket().connect(NoTls)).await?;
        let run = async move { client.simple_query(sql).await };
        let (result, connection) = tokio::join!(run, connection);
        connection?;
        let row = result?.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(row.and_then(|row| row.get(0).map(str::to_owned)))
    }

    /// The postmaster, if it runs.
    fn running(&self) -> Result<&Process, ServerError> {
        let running = self.process.as_ref().filter(|process| process.is_running());
        running.ok_or(ServerError::NotRunning { server: SERVER })
    }
}
