//! Nothing outlives its owner: a guard process per server that cleans up when the owner is gone.
//!
//! A destructor does not run on SIGKILL, on abort (which is what a panic does in the release build) or on Ctrl-C. So the one
//! clean-up there is lives in another process, a small shell script (`reaper.sh`) that reads a pipe of which only the owner
//! holds the other end. Drop tells it to begin and waits; any other end of the owner closes the pipe, which tells it as well.
//! The guard leads its own process group, so Ctrl-C in a terminal does not reach it.
//!
//! Registration leaves no gap: a starting process writes its own line into the pipe before it becomes the server
//! (see [`super::process`]), and while it has not, it keeps the pipe open.

use std::fs;
use std::io::{self, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::error::ServerError;

/// What runs the guard.
const SHELL: &str = "/bin/sh";

/// What the guard runs.
const SCRIPT: &str = include_str!("reaper.sh");

/// How long a drop waits for the guard: longer than the ten seconds that the script gives the servers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Owns a folder and the processes that work in it; dropping it ends them and removes it.
#[derive(Debug)]
pub(super) struct Reaper {
    /// The folder to remove.
    folder: PathBuf,
    /// The owner's end of the pipe.
    pipe: PipeWriter,
    /// Told once, when the guard has ended: whether it did its work.
    done: Mutex<mpsc::Receiver<bool>>,
}

impl Reaper {
    /// Start a guard for this folder.
    pub(super) fn guard(folder: PathBuf) -> Result<Self, ServerError> {
        let start = || -> io::Result<_> {
            let (reader, pipe) = io::pipe()?;
            Ok((script(&folder).stdin(reader).spawn()?, pipe))
        };
        let (mut guard, pipe) = start().map_err(|error| {
            // Nobody watches the folder yet, and it is still empty.
            let _gone_or_harmless = fs::remove_dir(&folder);
            ServerError::system("start the guard with", Path::new(SHELL))(error)
        })?;
        let (tell, done) = mpsc::channel();
        thread::spawn(move || {
            let is_clean = guard.wait().is_ok_and(|status| status.success());
            let _nobody_waits = tell.send(is_clean);
        });
        Ok(Self { folder, pipe, done: Mutex::new(done) })
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Another handle of the pipe: for a starting process to write its line, for a watcher to write that it ended.
    pub(super) fn registration(&self) -> Result<PipeWriter, ServerError> {
        self.pipe.try_clone().map_err(ServerError::system("share the guard's pipe of", &self.folder))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // Fails only if the guard is gone already; then `done` says so at once.
        let _guard_is_gone = self.pipe.write_all(b"end\n");
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        if done.recv_timeout(PATIENCE) != Ok(true) {
            tracing::warn!(folder = %self.folder.display(), "the sandbox guard is gone or stuck; cleaning up without it");
            // Each process was told to end when it was dropped. This guard knows of none, and only removes.
            let _best_effort = script(&self.folder).stdin(Stdio::null()).status();
        }
    }
}

/// The script for a folder, as a command that lacks only its input.
fn script(folder: &Path) -> Command {
    let mut command = Command::new(SHELL);
    command.args(["-c", SCRIPT, "walpost-guard"]).arg(folder).current_dir("/").process_group(0);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::servers::folder;
    use crate::sandbox::servers::identity::Identity;

    #[test]
    fn dropping_removes_the_folder_with_what_is_in_it() {
        let folder = folder::create(None, &Identity::Own).unwrap();
        let reaper = Reaper::guard(folder.clone()).unwrap();
        fs::create_dir(folder.join("data")).unwrap();
        fs::write(folder.join("data/postmaster.pid"), "not a pid file\n").unwrap();
        drop(reaper);
        assert!(!folder.exists());
    }
}
