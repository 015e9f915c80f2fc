//! The user that Postgres runs as: oneself, or an ordinary user when oneself is root.
//!
//! Postgres refuses to run as root, with good reason. As root the sandbox runs it as `postgres` if that user exists,
//! else as `nobody`; that user must then be able to reach the programs and its data, which this file can tell.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{User, geteuid};

use super::error::ServerError;

/// The users to choose from as root, the best first.
const ORDINARY_USERS: [&str; 2] = ["postgres", "nobody"];

/// Permission bit: others may pass through a folder, or run a file.
const EXECUTE: u32 = 0o1;

/// Permission bits: others may read and run a file.
const READ_AND_EXECUTE: u32 = 0o5;

/// Whom a server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The user of this process.
    Own,
    /// Another user; only root can.
    Other {
        /// The user's name, for messages.
        name: String,
        /// The user's number.
        uid: u32,
        /// The user's main group.
        gid: u32,
    },
}

impl Identity {
    /// Whom to run Postgres as.
    pub(super) fn for_postgres() -> Result<Self, ServerError> {
        if !geteuid().is_root() {
            return Ok(Self::Own);
        }
        let user = ORDINARY_USERS.iter().find_map(|name| User::from_name(name).ok().flatten());
        let User { name, uid, gid, .. } = user.ok_or(ServerError::NoOrdinaryUser)?;
        Ok(Self::Other { name, uid: uid.as_raw(), gid: gid.as_raw() })
    }

    /// The name for messages.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Own => "oneself",
            Self::Other { name, .. } => name,
        }
    }

    /// Have a command run as this user, without the groups of this process.
    pub(super) fn assume(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Give a file or folder to this user.
    pub(super) fn own(&self, path: &Path) -> Result<(), ServerError> {
        let Self::Other { uid, gid, .. } = self else { return Ok(()) };
        chown(path, Some(*uid), Some(*gid)).map_err(ServerError::system("give away", path))
    }

    /// Whether this user can pass through a folder and all above it.
    pub(super) fn can_enter(&self, folder: &Path) -> bool {
        let Ok(folder) = folder.canonicalize() else { return false };
        folder.ancestors().all(|step| self.is_allowed(step, EXECUTE))
    }

    /// Whether this user can read and run a program.
    pub(super) fn can_run(&self, program: &Path) -> bool {
        let Ok(program) = program.canonicalize() else { return false };
        program.parent().is_some_and(|folder| self.can_enter(folder)) && self.is_allowed(&program, READ_AND_EXECUTE)
    }

    /// Whether the permission bits grant `wanted` (as bits of the others' triple).
    fn is_allowed(&self, path: &Path, wanted: u32) -> bool {
        let Self::Other { uid, gid, .. } = self else { return true };
        let Ok(found) = fs::metadata(path) else { return false };
        let mode = found.permissions().mode();
        let triple = match (found.uid() == *uid, found.gid() == *gid) {
            (true, _) => mode >> 6,
            (false, true) => mode >> 3,
            (false, false) => mode,
        };
        triple & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user that owns nothing here.
    fn stranger() -> Identity {
        Identity::Other { name: "stranger".into(), uid: 4_000_001, gid: 4_000_001 }
    }

    #[test]
    fn one_closed_folder_above_is_enough_to_lock_a_stranger_out() {
        let root = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(root.path(), 0o755);
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let program = inner.join("program");
        fs::write(&program, "").unwrap();
        set(&program, 0o755);
        assert!(stranger().can_run(&program));
        set(&program, 0o711);
        assert!(!stranger().can_run(&program), "a program that cannot be read");
        set(&program, 0o755);
        set(&root.path().join("a"), 0o700);
        assert!(!stranger().can_run(&program), "a folder that cannot be entered");
        assert!(Identity::Own.can_run(&program));
    }
}
