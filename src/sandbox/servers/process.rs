//! One server process: started under guard, watched until its end, signalled, paused, killed with all its children.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio::time::timeout;

use super::error::ServerError;
use super::identity::Identity;
use super::process_tree;
use super::reaper::Reaper;

/// Registers itself with the guard, whose pipe is its standard output, and becomes the server with the log as its output.
/// The number of the process stays the same. Arguments: signal, log, program, its arguments.
const LAUNCHER: &str = r#"signal=$1 log=$2; shift 2; echo "start $$ $signal"; exec >>"$log" 2>&1; exec "$@""#;

/// Settings of the user's session that would change how a server behaves.
const FOREIGN_SETTINGS: [&str; 12] = [
    "PGDATA",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
    "PGOPTIONS",
    "PGSERVICE",
    "PGSSLMODE",
    "PGDATESTYLE",
    "PGTZ",
];

/// What to start.
pub(super) struct Launch<'a> {
    /// The server program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<OsString>,
    /// Where its output goes, appended.
    pub(super) log: &'a Path,
    /// Whom it runs as.
    pub(super) identity: &'a Identity,
    /// How it is ended when nobody wants it any more.
    pub(super) farewell: Farewell,
    /// What it finds in its environment.
    pub(super) environment: Environment,
}

/// The environment of a process.
#[derive(Clone, Debug)]
pub(super) enum Environment {
    /// Ours, without what would change how a server behaves.
    Inherited,
    /// These variables and no others.
    Only(Vec<(OsString, OsString)>),
}

/// The signal that ends a process which nobody wants any more: sent on drop, and first by the guard.
#[derive(Clone, Copy, Debug)]
pub(super) enum Farewell {
    /// SIGQUIT: Postgres's immediate shutdown, which ends the children and frees the shared memory.
    Quit,
    /// SIGKILL: for what has nothing to tidy.
    Kill,
}

impl Farewell {
    /// The signal.
    fn signal(self) -> Signal {
        match self {
            Self::Quit => Signal::SIGQUIT,
            Self::Kill => Signal::SIGKILL,
        }
    }
}

/// A started process.
///
/// Invariant: it leads its own process group, and the guard knows it as long as it runs.
#[derive(Debug)]
pub(super) struct Process {
    /// Its number; another process's once `ended` says so.
    pid: Pid,
    /// How it ended, when it has.
    ended: watch::Receiver<Option<ExitStatus>>,
    /// Whether it may be stopped, so that it must be woken before it can be asked anything.
    is_paused: AtomicBool,
    /// The signal that ends it.
    farewell: Farewell,
}

impl Process {
    /// Start it.
    pub(super) fn launch(reaper: &Reaper, launch: Launch<'_>) -> Result<Self, ServerError> {
        // The shell wants the name without its first three letters.
        let signal = launch.farewell.signal().as_str().trim_start_matches("SIG");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LAUNCHER, "walpost-launcher", signal]).arg(launch.log).arg(&launch.program);
        command.args(launch.arguments).current_dir(reaper.folder()).process_group(0);
        command.stdin(Stdio::null()).stdout(reaper.registration()?).stderr(Stdio::null());
        if let Environment::Only(variables) = launch.environment {
            command.env_clear().envs(variables);
        }
        // English messages, because they are read; UTC, because looking for the machine's zone takes initdb long.
        command.env("LC_ALL", "C").env("TZ", "UTC");
        for name in FOREIGN_SETTINGS {
            command.env_remove(name);
        }
        launch.identity.assume(&mut command);
        let child = command.spawn().map_err(ServerError::system("start", &launch.program))?;
        Self::watch(child, reaper, launch.farewell)
    }

    /// Have a thread wait for the end: it needs no runtime, so the process is collected at once in any case.
    fn watch(mut child: Child, reaper: &Reaper, farewell: Farewell) -> Result<Self, ServerError> {
        let pid = pid_of(&child);
        let mut pipe = reaper.registration()?;
        let (tell, ended) = watch::channel(None);
        thread::spawn(move || {
            // Waiting for one's own child fails only if somebody else collected it: then it has ended, too.
            let status = child.wait().unwrap_or_default();
            let _guard_is_gone = pipe.write_all(format!("stop {pid}\n").as_bytes());
            tell.send_replace(Some(status));
        });
        Ok(Self { pid, ended, is_paused: AtomicBool::new(false), farewell })
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Whether it has not ended.
    pub(super) fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// How it ended, waiting at most so long.
    pub(super) async fn ended(&self, within: Duration) -> Option<ExitStatus> {
        let mut ended = self.ended.clone();
        timeout(within, ended.wait_for(Option::is_some)).await.ok()?.ok().and_then(|status| *status)
    }

    /// Send a signal to the process alone; nothing happens if it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_running() {
            let _ended_meanwhile = kill(self.pid, signal);
        }
    }

    /// Stop it and all its children where they are, until [`Self::resume`].
    pub(super) async fn pause(&self) {
        if self.is_running() {
            self.is_paused.store(true, Ordering::Relaxed);
            process_tree::freeze(self.pid).await;
        }
    }

    /// Let it and its children go on.
    pub(super) fn resume(&self) {
        if self.is_running() && self.is_paused.swap(false, Ordering::Relaxed) {
            process_tree::thaw(self.pid);
        }
    }

    /// SIGKILL for it and all its children, and wait until they are gone.
    pub(super) async fn kill(&self, within: Duration) {
        if self.is_running() {
            // Frozen first: a child cannot notice its parent's death and tidy up, nor a parent a child's.
            let tree = process_tree::freeze(self.pid).await;
            process_tree::kill(&tree);
            self.ended(within).await;
            process_tree::until_gone(&tree, within).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard wakes only the leader: with paused children Postgres would need five seconds to end.
        self.resume();
        // The guard waits for the end, and sends this as well; should it be gone, this is what ends the server.
        self.signal(self.farewell.signal());
    }
}

/// How a process ended, in words.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// The number of a child.
fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process numbers fit a pid_t, of which they were made"))
}
