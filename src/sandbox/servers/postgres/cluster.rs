//! The database cluster of a private Postgres: made by `initdb`, configured by one file, started by its user.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio_postgres::Config;

use super::SERVER;
use super::options::{PostgresAuth, PostgresOptions};
use crate::sandbox::servers::binaries::{Places, PostgresBinaries};
use crate::sandbox::servers::error::ServerError;
use crate::sandbox::servers::folder;
use crate::sandbox::servers::identity::Identity;
use crate::sandbox::servers::log::ServerLog;
use crate::sandbox::servers::process::{Environment, Farewell, Launch, Process, describe};
use crate::sandbox::servers::readiness::misbehaved;
use crate::sandbox::servers::reaper::Reaper;

/// The user that `initdb` makes.
pub(super) const SUPERUSER: &str = "postgres";

/// The settings file, in the data directory and included at the end of `postgresql.conf`.
const SETTINGS_FILE: &str = "walpost.conf";

/// Settings that differ from the server's own, each of which the caller may overrule.
const STANDARD_SETTINGS: [(&str, &str); 7] = [
    ("wal_level", "logical"),
    ("max_wal_senders", "20"),
    ("max_replication_slots", "20"),
    // The data is worth nothing. A killed server loses nothing by it, only a failing machine would.
    ("fsync", "off"),
    // In files of the data directory instead of /dev/shm: so they go with the folder after a kill.
    ("dynamic_shared_memory_type", "mmap"),
    ("logging_collector", "off"),
    ("log_line_prefix", "%m [%p] %q%u@%d %a "),
];

/// Data, settings and address of one server.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The programs, in a place that the user can reach.
    pub(super) binaries: PostgresBinaries,
    /// The data directory.
    pub(super) data: PathBuf,
    /// Where the server writes what it has to say.
    pub(super) log: ServerLog,
    /// The loopback port, and the number in the socket's name; 0 until the first start.
    pub(super) port: u16,
    /// The settings of the caller.
    pub(super) settings: BTreeMap<String, String>,
    /// Who may connect.
    pub(super) auth: PostgresAuth,
    /// The folder of the socket.
    sockets: PathBuf,
    /// Whom the server runs as.
    identity: Identity,
}

impl Cluster {
    /// Make a new cluster in the reaper's folder.
    pub(super) async fn create(
        reaper: &Reaper,
        identity: Identity,
        options: PostgresOptions,
    ) -> Result<Self, ServerError> {
        let patience = options.patience;
        let cluster = Self::prepare(reaper, identity, options)?;
        cluster.initialise(reaper, patience).await?;
        Ok(cluster)
    }

    /// Make the folders of a cluster in the reaper's folder; the data directory is empty.
    pub(super) fn prepare(reaper: &Reaper, identity: Identity, options: PostgresOptions) -> Result<Self, ServerError> {
        let found = match options.binaries {
            Some(binaries) => binaries,
            None => PostgresBinaries::find(&Places::from_environment())?,
        };
        let root = reaper.folder();
        let cluster = Self {
            binaries: folder::reachable(&found, &identity, &root.join("programs"))?,
            data: root.join("data"),
            log: ServerLog::at(root.join("postgres.log")),
            port: 0,
            settings: options.settings,
            auth: options.auth,
            sockets: root.join("s"),
            identity,
        };
        folder::create_inside(&cluster.data, &cluster.identity, true)?;
        folder::create_inside(&cluster.sockets, &cluster.identity, false)?;
        cluster.write_file(cluster.log.path(), b"")?;
        Ok(cluster)
    }

    /// The folder of the socket.
    pub(super) fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// Start the postmaster.
    pub(super) fn launch(&self, reaper: &Reaper) -> Result<Process, ServerError> {
        self.write_settings()?;
        self.run(reaper, "postgres", vec!["-D".into(), self.data.clone().into()], Farewell::Quit)
    }

    /// Write the settings file for the next start or reload.
    pub(super) fn write_settings(&self) -> Result<(), ServerError> {
        let mut settings: BTreeMap<&str, String> =
            STANDARD_SETTINGS.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        settings.insert("listen_addresses", "127.0.0.1".to_owned());
        settings.insert("port", self.port.to_string());
        settings.insert("unix_socket_directories", self.sockets.to_string_lossy().into_owned());
        settings.extend(self.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let lines = settings.iter().map(|(name, value)| format!("{name} = {}\n", quoted(value)));
        self.write_file(&self.data.join(SETTINGS_FILE), lines.collect::<String>().as_bytes())
    }

    /// Write a file that only the server's user can read.
    pub(super) fn write_file(&self, path: &Path, contents: &[u8]) -> Result<(), ServerError> {
        fs::write(path, contents).map_err(ServerError::system("write", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(ServerError::system("set rights of", path))?;
        self.identity.own(path)
    }

    /// Connecting as the superuser over loopback.
    pub(super) fn over_loopback(&self) -> Config {
        let mut config = self.superuser();
        config.host("127.0.0.1");
        config
    }

    /// Connecting as the superuser through the socket: surely to this server and to no other.
    pub(super) fn over_socket(&self) -> Config {
        let mut config = self.superuser();
        config.host_path(&self.sockets);
        config
    }

    /// An address as clients take it.
    pub(super) fn url(&self, host: &str, user: &str, password: Option<&str>, database: &str) -> String {
        let password = password.map(|password| format!(":{}", percent_encoded(password))).unwrap_or_default();
        let (user, host, database) = (percent_encoded(user), percent_encoded(host), percent_encoded(database));
        format!("postgres://{user}{password}@{host}:{}/{database}", self.port)
    }

    /// Connecting as the superuser, to no host yet.
    fn superuser(&self) -> Config {
        let mut config = Config::new();
        config.user(SUPERUSER).dbname("postgres").port(self.port).application_name("walpost sandbox");
        if let Some(password) = self.auth.password_of(SUPERUSER) {
            config.password(password);
        }
        config
    }

    /// Run `initdb`.
    async fn initialise(&self, reaper: &Reaper, patience: Duration) -> Result<(), ServerError> {
        let mut arguments: Vec<OsString> = vec!["-D".into(), self.data.clone().into(), "-U".into(), SUPERUSER.into()];
        arguments.extend(["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"].map(OsString::from));
        arguments.push(format!("--auth={}", self.auth.method()).into());
        let password_file = reaper.folder().join("password");
        if let Some(password) = self.auth.password_of(SUPERUSER) {
            self.write_file(&password_file, password.as_bytes())?;
            arguments.push("--pwfile".into());
            arguments.push(password_file.clone().into());
        }
        let initdb = self.run(reaper, "initdb", arguments, Farewell::Kill)?;
        self.succeeded("initdb", initdb.ended(patience).await, patience)?;
        if password_file.exists() {
            fs::remove_file(&password_file).map_err(ServerError::system("remove", &password_file))?;
        }
        let main = self.data.join("postgresql.conf");
        let mut text = fs::read_to_string(&main).map_err(ServerError::system("read", &main))?;
        text.push_str(&format!("\ninclude = '{SETTINGS_FILE}'\n"));
        self.write_file(&main, text.as_bytes())
    }

    /// An error unless a program has ended well.
    pub(super) fn succeeded(
        &self,
        program: &str,
        ended: Option<ExitStatus>,
        patience: Duration,
    ) -> Result<(), ServerError> {
        let failed = |reason: String| misbehaved(SERVER, format!("{program} failed: {reason}"), &self.log);
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(failed(describe(status))),
            None => Err(failed(format!("not done within {patience:?}"))),
        }
    }

    /// Start one of the programs.
    pub(super) fn run(
        &self,
        reaper: &Reaper,
        program: &str,
        arguments: Vec<OsString>,
        farewell: Farewell,
    ) -> Result<Process, ServerError> {
        let program = self.binaries.program(program);
        let (log, identity, environment) = (self.log.path(), &self.identity, Environment::Inherited);
        Process::launch(reaper, Launch { program, arguments, log, identity, farewell, environment })
    }
}

/// A value as `postgresql.conf` wants it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// Text for one part of an address: everything but letters, digits and `-._~` by number.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_quoted() {
        assert_eq!(quoted("5s"), "'5s'");
        assert_eq!(quoted(r"it's a \"), r"'it''s a \\'");
    }

    #[test]
    fn an_address_survives_any_password() {
        let encoded = percent_encoded("p@ss:w/rd é");
        assert_eq!(encoded, "p%40ss%3Aw%2Frd%20%C3%A9");
        let config: Config = format!("postgres://u:{encoded}@localhost/x").parse().unwrap();
        assert_eq!(config.get_password(), Some("p@ss:w/rd é".as_bytes()));
    }
}
