//! The temporary folder of one server.
//!
//! Everything a server writes is below it, so removing it removes the server. It can be entered by all (the user that
//! Postgres runs as must pass through), while the data inside is closed; its path is short, because it holds a socket.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::binaries::PostgresBinaries;
use super::error::ServerError;
use super::identity::Identity;

/// The longest parent folder: a socket's path has at most 103 bytes on macOS (107 on Linux), of which
/// `/walpost-abcdef/s/.s.PGSQL.65535` takes 32.
const LONGEST_PARENT_BYTES: usize = 71;

/// Make a folder that nobody else has, below `parent` or else below the system's temporary folder or `/tmp`.
pub(super) fn create(parent: Option<&Path>, identity: &Identity) -> Result<PathBuf, ServerError> {
    let candidates = match parent {
        Some(parent) => vec![parent.to_owned()],
        None => vec![env::temp_dir(), PathBuf::from("/tmp")],
    };
    let is_usable = |path: &&PathBuf| {
        path.as_os_str().len() <= LONGEST_PARENT_BYTES && path.is_absolute() && identity.can_enter(path)
    };
    let Some(parent) = candidates.iter().find(is_usable) else {
        return Err(ServerError::NoFolder { tried: candidates, user: identity.name().to_owned() });
    };
    let made = tempfile::Builder::new().prefix("walpost-").rand_bytes(6).tempdir_in(parent);
    let folder = made.map_err(ServerError::system("make a folder in", parent))?;
    open_to_all(folder.path())?;
    Ok(folder.keep())
}

/// Make a folder inside, owned by the server's user and closed to others if `closed`.
pub(super) fn create_inside(path: &Path, identity: &Identity, closed: bool) -> Result<(), ServerError> {
    fs::create_dir(path).map_err(ServerError::system("make folder", path))?;
    let mode = if closed { 0o700 } else { 0o755 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(ServerError::system("set rights of", path))?;
    identity.own(path)
}

/// Programs that the server's user can run: the ones found, or a copy of their installation in `copy`.
pub(super) fn reachable(
    found: &PostgresBinaries,
    identity: &Identity,
    copy: &Path,
) -> Result<PostgresBinaries, ServerError> {
    if identity.can_run(&found.program("postgres")) {
        return Ok(found.clone());
    }
    let origin = found.installation();
    copy_open(origin, copy).map_err(ServerError::system("copy", origin))?;
    let inside = found.bin_dir.strip_prefix(origin).unwrap_or(Path::new("bin"));
    Ok(PostgresBinaries { bin_dir: copy.join(inside), ..found.clone() })
}

/// Copy a tree such that everybody can read it. Files that everybody can read already are linked, which costs nothing.
fn copy_open(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let source = entry?.path();
        let Some(target) = source.file_name().map(|name| to.join(name)) else { continue };
        // Follows links: what they point to may be out of reach as well.
        let found = fs::metadata(&source)?;
        if found.is_dir() {
            copy_open(&source, &target)?;
            continue;
        }
        let is_open = found.permissions().mode() & 0o004 != 0 && !source.is_symlink();
        if is_open && fs::hard_link(&source, &target).is_ok() {
            continue;
        }
        fs::copy(&source, &target)?;
        let is_program = found.permissions().mode() & 0o100 != 0;
        let mode = if is_program { 0o755 } else { 0o644 };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Let everybody pass through.
fn open_to_all(path: &Path) -> Result<(), ServerError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(ServerError::system("set rights of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_too_long_for_a_socket_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("x".repeat(80));
        fs::create_dir(&deep).unwrap();
        let refused = create(Some(&deep), &Identity::Own).unwrap_err();
        assert!(matches!(refused, ServerError::NoFolder { .. }), "{refused}");
    }

    #[test]
    fn a_copy_can_be_read_by_all_even_if_the_original_cannot() {
        let root = tempfile::tempdir().unwrap();
        let origin = root.path().join("origin");
        fs::create_dir_all(origin.join("bin")).unwrap();
        for (name, mode) in [("bin/closed", 0o700), ("bin/open", 0o755), ("data", 0o600)] {
            fs::write(origin.join(name), name).unwrap();
            fs::set_permissions(origin.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let copy = root.path().join("copy");
        copy_open(&origin, &copy).unwrap();
        let mode = |name: &str| fs::metadata(copy.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bin/closed"), mode("bin/open"), mode("data")), (0o755, 0o755, 0o644));
        assert_eq!(fs::metadata(origin.join("bin/closed")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
