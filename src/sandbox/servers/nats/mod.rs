//! A private NATS server with JetStream: its life and its addresses.

mod cluster;
mod options;

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

pub use self::cluster::NatsCluster;
pub use self::options::{NatsOptions, NatsTls, SyncInterval};
use self::options::{Ports, configuration};
use super::binaries::{NatsBinary, Places};
use super::error::ServerError;
use super::identity::Identity;
use super::log::ServerLog;
use super::process::{Environment, Farewell, Launch, Process};
use super::readiness::{NotReady, Starting, misbehaved};
use super::reaper::Reaper;
use super::{folder, port};

/// The name in messages.
const SERVER: &str = "the private NATS server";

/// How many pairs of free ports to try: each is lost only if somebody takes one within milliseconds.
const PORT_ATTEMPTS: usize = 10;

/// How long a restart waits for its own port, should somebody have taken it meanwhile.
const PORT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a reload may take; it takes milliseconds.
const RELOADING: Duration = Duration::from_secs(10);

/// The file that the configuration includes, if it does.
const INCLUDED_FILE: &str = "included.conf";

/// How long to wait before asking again whether something changed.
const BETWEEN_GLANCES: Duration = Duration::from_millis(20);

/// A NATS server of one's own, with JetStream, on loopback only.
///
/// Dropping it ends the server and removes its streams, and blocks until that is done (some 50 ms).
#[derive(Debug)]
pub struct PrivateNats {
    /// The server process, while there is one. Dropped first, so that a paused server goes on and can end.
    process: Option<Process>,
    /// The program.
    binary: NatsBinary,
    /// How it is configured.
    options: NatsOptions,
    /// Where it listens; the same after each restart.
    ports: Ports,
    /// What it has to say.
    log: ServerLog,
    /// Ends and removes everything.
    reaper: Reaper,
}

impl PrivateNats {
    /// Start a server with an empty store; ready for connections on return.
    ///
    /// # Errors
    /// No NATS server is installed, or it does not start: the error carries the end of its log.
    pub async fn start(options: NatsOptions) -> Result<Self, ServerError> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => NatsBinary::find(&Places::from_environment())?,
        };
        let folder = folder::create(options.temporary_folder.as_deref(), &Identity::Own)?;
        let log = ServerLog::at(folder.join("nats.log"));
        let reaper = Reaper::guard(folder)?;
        let mut server = Self { process: None, binary, options, ports: Ports::default(), log, reaper };
        let mut attempts = 1..=PORT_ATTEMPTS;
        loop {
            attempts.next();
            server.ports = server.choose_ports()?;
            match server.launch().await {
                Ok(()) => return Ok(server),
                Err(NotReady::PortTaken(_)) if !attempts.is_empty() => {}
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// The address: `nats://` or, with TLS, `tls://`; no user or password in it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "tls" } else { "nats" };
        format!("{scheme}://127.0.0.1:{}", self.ports.client)
    }

    /// The address of the monitoring pages, if they were asked for.
    #[must_use]
    pub fn monitoring_url(&self) -> Option<String> {
        self.ports.monitoring.map(|port| format!("http://127.0.0.1:{port}"))
    }

    /// The port for clients; the same after each restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.client
    }

    /// The process number while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().ok().map(Process::pid)
    }

    /// Whether it runs (a paused one does).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running().is_ok()
    }

    /// The version: `2.15.1`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.binary.version
    }

    /// The folder of everything; it goes with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.reaper.folder()
    }

    /// The folder of the streams: removing it between a stop and a restart is a broker that lost its disk.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.log.tail(lines)
    }

    /// Change options while it runs, and wait until they are in effect; the program and the folder stay.
    ///
    /// # Errors
    /// The server is not running, or refuses the change: not everything can be changed without a restart.
    pub async fn reload(&mut self, change: impl FnOnce(NatsOptions) -> NatsOptions) -> Result<(), ServerError> {
        self.running()?;
        let before = self.options.clone();
        self.options = change(before.clone());
        self.write_configuration()?;
        let mark = self.log.end();
        self.running()?.signal(Signal::SIGHUP);
        let deadline = Instant::now() + RELOADING;
        loop {
            let said = self.log.since(mark);
            if said.contains("Reloaded server configuration") {
                return Ok(());
            }
            if said.contains("Failed to reload") || Instant::now() >= deadline || !self.is_running() {
                self.options = before;
                return Err(misbehaved(SERVER, "did not accept its configuration".to_owned(), &self.log));
            }
            sleep(BETWEEN_GLANCES).await;
        }
    }

    /// SIGTERM: stop in order; nothing happens if it does not run. A paused server is resumed first.
    ///
    /// # Errors
    /// It does not stop in time.
    pub async fn stop(&mut self) -> Result<(), ServerError> {
        let Some(process) = &self.process else { return Ok(()) };
        process.resume();
        process.signal(Signal::SIGTERM);
        if process.ended(self.options.patience).await.is_none() {
            let reason = format!("did not stop within {:?}", self.options.patience);
            return Err(misbehaved(SERVER, reason, &self.log));
        }
        self.process = None;
        Ok(())
    }

    /// SIGKILL; gone on return.
    ///
    /// # Errors
    /// It is still there after a time in which no killed process should be.
    pub async fn kill(&mut self) -> Result<(), ServerError> {
        let Some(process) = &self.process else { return Ok(()) };
        process.kill(self.options.patience).await;
        if process.is_running() {
            return Err(misbehaved(SERVER, "survived SIGKILL".to_owned(), &self.log));
        }
        self.process = None;
        Ok(())
    }

    /// Start again on the same store and port, after stopping if it runs; ready for connections on return.
    ///
    /// # Errors
    /// It does not stop or start; or the port was taken and not given back.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.stop().await?;
        let deadline = Instant::now() + PORT_PATIENCE;
        loop {
            match self.launch().await {
                Ok(()) => return Ok(()),
                Err(NotReady::PortTaken(_)) if Instant::now() < deadline => sleep(BETWEEN_GLANCES).await,
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// Stop, and start again on the same store and port as another version.
    ///
    /// # Errors
    /// As for [`Self::restart`].
    pub async fn restart_as(&mut self, binary: NatsBinary) -> Result<(), ServerError> {
        self.stop().await?;
        self.binary = binary;
        self.restart().await
    }

    /// SIGSTOP: connections stay open and nothing answers.
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

    /// Start the process on the ports and the store as they are and wait until it greets.
    async fn launch(&mut self) -> Result<(), NotReady> {
        let (port, name, mark) = (self.ports.client, self.name(), self.log.end());
        let process = self.spawn().map_err(NotReady::Failed)?;
        // Kept before it is ready: whoever gives up waiting can still stop it.
        let process = &*self.process.insert(process);
        let starting = Starting { server: SERVER, process, log: &self.log, mark };
        let readiness = starting.until_ready(self.options.patience, async || greeting_of(port, &name).await).await;
        if readiness.is_err() {
            process.kill(self.options.patience).await;
            self.process = None;
        }
        readiness
    }

    /// Start the process.
    fn spawn(&self) -> Result<Process, ServerError> {
        self.write_configuration()?;
        let launch = Launch {
            program: self.binary.path.clone(),
            arguments: vec![OsString::from("--config"), self.configuration_file().into()],
            log: self.log.path(),
            identity: &Identity::Own,
            farewell: Farewell::Kill,
            environment: Environment::Inherited,
        };
        Process::launch(&self.reaper, launch)
    }

    /// Write the file that the server reads at start and reload.
    fn write_configuration(&self) -> Result<(), ServerError> {
        let file = self.configuration_file();
        let mut text = configuration(&self.options, self.ports, &self.name(), &self.store_dir()).to_string();
        if let Some(included) = &self.options.included {
            let beside = self.folder().join(INCLUDED_FILE);
            fs::write(&beside, included).map_err(ServerError::system("write", &beside))?;
            // The server looks for it beside the file that names it.
            text.insert_str(1, &format!("\ninclude {INCLUDED_FILE:?}\n"));
        }
        fs::write(&file, text).map_err(ServerError::system("write", &file))
    }

    /// The configuration file.
    fn configuration_file(&self) -> PathBuf {
        self.folder().join("nats.conf")
    }

    /// The server's name, which no other server has: that of its folder.
    fn name(&self) -> String {
        self.folder().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Ports that are free now.
    fn choose_ports(&self) -> Result<Ports, ServerError> {
        let free = || port::free().map_err(ServerError::system("find a free port for", self.folder()));
        let monitoring = if self.options.monitoring { Some(free()?) } else { None };
        Ok(Ports { client: free()?, monitoring })
    }

    /// The process, if it runs.
    fn running(&self) -> Result<&Process, ServerError> {
        let running = self.process.as_ref().filter(|process| process.is_running());
        running.ok_or(ServerError::NotRunning { server: SERVER })
    }
}

/// Connect and read the server's INFO; an error if there is none, or if it is another server's.
/// The server greets after JetStream has recovered its streams.
/// <https://docs.nats.io/reference/reference-protocols/nats-protocol#info>
async fn greeting_of(port: u16, name: &str) -> Result<(), String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| error.to_string())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.map_err(|error| error.to_string())?;
    let info = line.strip_prefix("INFO ").and_then(|json| serde_json::from_str::<Value>(json).ok());
    match info.as_ref().and_then(|info| info.get("server_name")).and_then(Value::as_str) {
        Some(found) if found == name => Ok(()),
        Some(found) => Err(format!("the server on port {port} is {found}")),
        None => Err(format!("whatever is on port {port} does not greet like a NATS server")),
    }
}
