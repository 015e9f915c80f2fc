//! Any other program beside the servers, under the same guard: above all walpost itself.
//!
//! A [`GuardedFolder`] holds the logs of the programs that run in it. A program sees the environment that it is given and
//! nothing else, so that the settings of whoever tries the sandbox do not reach it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::error::ServerError;
use super::identity::Identity;
use super::log::ServerLog;
use super::process::{Environment, Farewell, Launch, Process, describe};
use super::readiness::{NotReady, Starting, misbehaved};
use super::reaper::Reaper;
use super::{folder, port};

/// A temporary folder in which programs run. It goes with the last of its handles and programs, and they with it.
#[derive(Clone, Debug)]
pub struct GuardedFolder {
    /// Ends and removes everything.
    reaper: Arc<Reaper>,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct ProgramOptions {
    /// The name in messages; with dashes for blanks, the name of the log.
    pub name: &'static str,
    /// The file.
    pub program: PathBuf,
    /// What follows on the command line.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// A started program. Dropping it ends it by SIGKILL.
#[derive(Debug)]
pub struct PrivateProgram {
    /// The process. Dropped first, so that a paused one goes on and can end.
    process: Process,
    /// The name in messages.
    name: &'static str,
    /// What it has to say.
    log: ServerLog,
    /// The end of the log before it was started.
    mark: u64,
    /// Keeps the folder while the program is in it.
    _reaper: Arc<Reaper>,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether its exit code was 0.
    pub is_success: bool,
    /// In words: `it ended with exit code 1`.
    pub how: String,
}

impl GuardedFolder {
    /// Make a folder and its guard.
    ///
    /// # Errors
    /// There is no usable temporary folder, or no guard can be started.
    pub fn create() -> Result<Self, ServerError> {
        let folder = folder::create(None, &Identity::Own)?;
        Ok(Self { reaper: Arc::new(Reaper::guard(folder)?) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.reaper.folder()
    }

    /// A loopback port that is free now, for a program to listen on.
    ///
    /// # Errors
    /// No port is free.
    pub fn free_port(&self) -> Result<u16, ServerError> {
        port::free().map_err(ServerError::system("find a free port for", self.path()))
    }

    /// Start a program in this folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, options: ProgramOptions) -> Result<PrivateProgram, ServerError> {
        let ProgramOptions { name, program, arguments, environment } = options;
        let log = ServerLog::at(self.path().join(format!("{}.log", name.replace(' ', "-"))));
        let mark = log.end();
        let (identity, environment) = (&Identity::Own, Environment::Only(environment));
        let launch = Launch { program, arguments, log: log.path(), identity, farewell: Farewell::Kill, environment };
        let process = Process::launch(&self.reaper, launch)?;
        Ok(PrivateProgram { process, name, log, mark, _reaper: Arc::clone(&self.reaper) })
    }
}

impl PrivateProgram {
    /// The process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How it ended, waiting at most so long.
    pub async fn ended(&self, within: Duration) -> Option<End> {
        let status = self.process.ended(within).await?;
        Some(End { is_success: status.success(), how: describe(status) })
    }

    /// Wait until `probe` succeeds.
    ///
    /// # Errors
    /// The program ends before, or is not ready in time: the error carries the end of its log.
    pub async fn until_ready<P>(&self, within: Duration, probe: P) -> Result<(), ServerError>
    where
        P: AsyncFn() -> Result<(), String>,
    {
        let starting = Starting { server: self.name, process: &self.process, log: &self.log, mark: self.mark };
        starting.until_ready(within, probe).await.map_err(NotReady::into_error)
    }

    /// Whether it said that somebody else has its port: it may succeed on another.
    #[must_use]
    pub fn lacks_port(&self) -> bool {
        port::is_taken(&self.log.since(self.mark))
    }

    /// SIGTERM: ask it to end.
    pub fn terminate(&self) {
        self.process.signal(Signal::SIGTERM);
    }

    /// SIGKILL; gone on return unless that takes longer.
    pub async fn kill(&self, within: Duration) {
        self.process.kill(within).await;
    }

    /// The most memory it ever had in use, in bytes; nothing if it has ended, or if the system does not tell.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        peak_in(&status)
    }

    /// What it has said since it was started.
    #[must_use]
    pub fn said(&self) -> String {
        self.log.since(self.mark)
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.log.tail(lines)
    }

    /// The error for a program that did not do as it was told, with the end of its log.
    #[must_use]
    pub fn misbehaved(&self, reason: impl Into<String>) -> ServerError {
        misbehaved(self.name, reason.into(), &self.log)
    }
}

/// The peak of the resident set in a process's `status` file: `VmHWM:     9876 kB`.
fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is `sh` with a script.
    fn shell(script: &str) -> ProgramOptions {
        let arguments = ["-c", script].map(OsString::from).to_vec();
        let environment = vec![("GREETING".into(), "hello".into())];
        ProgramOptions { name: "a script", program: "/bin/sh".into(), arguments, environment }
    }

    #[tokio::test]
    async fn a_program_sees_its_own_environment_and_no_other() {
        let folder = GuardedFolder::create().unwrap();
        let program = folder.start(shell("echo \"$GREETING ${HOME:-nobody}\"; exit 3")).unwrap();
        let end = program.ended(Duration::from_secs(10)).await.unwrap();
        assert_eq!(end, End { is_success: false, how: "it ended with exit code 3".to_owned() });
        assert_eq!(program.said(), "hello nobody\n");
        assert!(program.misbehaved("gave up").to_string().contains("hello nobody"));
    }

    #[tokio::test]
    async fn folder_and_program_go_with_the_last_handle() {
        let folder = GuardedFolder::create().unwrap();
        let program = folder.start(shell("sleep 600")).unwrap();
        let (path, pid) = (folder.path().to_owned(), program.pid());
        drop(folder);
        assert!(path.exists());
        drop(program);
        assert!(!path.exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(peak_in("Name:\twalpost\nVmHWM:\t    9876 kB\nVmRSS:\t 12 kB\n"), Some(9876 * 1024));
        assert_eq!(peak_in("Name:\twalpost\n"), None);
    }
}
