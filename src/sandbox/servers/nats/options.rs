//! What to start a private NATS server with, as options and as the server's configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ConnectOptions;
use serde_json::{Map, Value, json};

use crate::sandbox::servers::binaries::NatsBinary;

/// How long a server may take to start or stop: a thousand times what it needs on an idle machine with a small store.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a private NATS server is to be; the default is right for most.
#[derive(Clone)]
pub struct NatsOptions {
    /// The program, or the one found in the usual places.
    pub(super) binary: Option<NatsBinary>,
    /// Where to make the folder, or the system's place.
    pub(super) temporary_folder: Option<PathBuf>,
    /// How long starting and stopping may take, each.
    pub(super) patience: Duration,
    /// Whether there are monitoring pages.
    pub(super) monitoring: bool,
    /// The files for TLS, if it is on.
    pub(super) tls: Option<NatsTls>,
    /// The largest message in bytes, or the server's default of 1 MiB.
    max_payload_bytes: Option<u64>,
    /// The one user and password, or anybody.
    login: Option<(String, String)>,
    /// When the store is flushed to disk, or the server's default.
    sync_interval: Option<SyncInterval>,
    /// Anything else, by its name in the configuration file.
    extra: BTreeMap<String, Value>,
    /// The text of a file that the configuration includes.
    pub(super) included: Option<String>,
}

/// When JetStream has the operating system write its files to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncInterval {
    /// Before each acknowledgement.
    Always,
    /// From time to time; the server's default is every two minutes.
    Every(Duration),
}

/// The files of a server that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsTls {
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authority that clients' certificates must come from; without it clients need none.
    pub client_authority: Option<PathBuf>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ports {
    /// For clients; 0 until the first start.
    pub(super) client: u16,
    /// For the monitoring pages.
    pub(super) monitoring: Option<u16>,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            binary: None,
            temporary_folder: None,
            patience: PATIENCE,
            monitoring: false,
            tls: None,
            max_payload_bytes: None,
            login: None,
            sync_interval: None,
            extra: BTreeMap::new(),
            included: None,
        }
    }
}

impl NatsOptions {
    /// Use this program, instead of the first that [`Places::from_environment`](super::super::Places) leads to.
    #[must_use]
    pub fn binary(mut self, binary: NatsBinary) -> Self {
        self.binary = Some(binary);
        self
    }

    /// Make the server's folder below this one, instead of the system's temporary folder.
    #[must_use]
    pub fn temporary_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.temporary_folder = Some(folder.into());
        self
    }

    /// How long starting and stopping may take, each.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Serve the monitoring pages (`/healthz`, `/jsz`) on a port of their own.
    #[must_use]
    pub fn monitoring(mut self) -> Self {
        self.monitoring = true;
        self
    }

    /// Speak TLS.
    #[must_use]
    pub fn tls(mut self, tls: NatsTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The largest message that the server takes, in bytes.
    #[must_use]
    pub fn max_payload(mut self, bytes: u64) -> Self {
        self.max_payload_bytes = Some(bytes);
        self
    }

    /// Let in only who gives this name and password.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// How a client enters a server with these options.
    #[must_use]
    pub fn to_connect(&self) -> ConnectOptions {
        match self.login.clone() {
            Some((user, password)) => ConnectOptions::with_user_and_password(user, password),
            None => ConnectOptions::new(),
        }
    }

    /// When the store is flushed to disk.
    #[must_use]
    pub fn sync_interval(mut self, interval: SyncInterval) -> Self {
        self.sync_interval = Some(interval);
        self
    }

    /// Anything else, by its name in the configuration file; an object is merged into one that is there.
    #[must_use]
    pub fn extra(mut self, name: impl Into<String>, value: Value) -> Self {
        self.extra.insert(name.into(), value);
        self
    }

    /// Settings as people write them: the text of a file that the configuration includes.
    #[must_use]
    pub fn include(mut self, text: impl Into<String>) -> Self {
        self.included = Some(text.into());
        self
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the password nor `extra`, which may hold others.
        let mut shown = formatter.debug_struct("NatsOptions");
        shown.field("binary", &self.binary).field("monitoring", &self.monitoring).field("tls", &self.tls);
        shown.field("max_payload_bytes", &self.max_payload_bytes).field("sync_interval", &self.sync_interval);
        shown.finish_non_exhaustive()
    }
}

/// The configuration file: the server's format takes JSON.
/// <https://docs.nats.io/running-a-nats-service/configuration>
pub(super) fn configuration(options: &NatsOptions, ports: Ports, name: &str, store: &Path) -> Value {
    let mut jetstream = json!({ "store_dir": store.to_string_lossy() });
    match options.sync_interval {
        Some(SyncInterval::Always) => merge(&mut jetstream, "sync_interval", json!("always")),
        Some(SyncInterval::Every(interval)) => {
            merge(&mut jetstream, "sync_interval", json!(format!("{}ms", interval.as_millis())));
        }
        None => {}
    }
    let mut all = json!({
        "server_name": name,
        "listen": format!("127.0.0.1:{}", ports.client),
        "jetstream": jetstream,
    });
    if let Some(port) = ports.monitoring {
        merge(&mut all, "http", json!(format!("127.0.0.1:{port}")));
    }
    if let Some(bytes) = options.max_payload_bytes {
        merge(&mut all, "max_payload", json!(bytes));
    }
    if let Some((user, password)) = &options.login {
        merge(&mut all, "authorization", json!({ "user": user, "password": password }));
    }
    if let Some(tls) = &options.tls {
        let mut files = json!({ "cert_file": tls.certificate, "key_file": tls.key });
        if let Some(authority) = &tls.client_authority {
            merge(&mut files, "ca_file", json!(authority));
            merge(&mut files, "verify", json!(true));
        }
        merge(&mut all, "tls", files);
    }
    for (name, value) in &options.extra {
        merge(&mut all, name, value.clone());
    }
    all
}

/// Set a member; if both the old and the new value are objects, set the members of the new one.
fn merge(object: &mut Value, name: &str, value: Value) {
    let Value::Object(members) = object else { return };
    let old = members.entry(name).or_insert_with(|| Value::Object(Map::new()));
    match (old, value) {
        (Value::Object(old), Value::Object(new)) => old.extend(new),
        (old, value) => *old = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_the_servers_settings() {
        let options = NatsOptions::default()
            .max_payload(2048)
            .login("ann", "it's \"secret\"")
            .sync_interval(SyncInterval::Every(Duration::from_secs(1)))
            .extra("jetstream", json!({ "max_file_store": 1000 }))
            .extra("max_connections", json!(3));
        let ports = Ports { client: 16_001, monitoring: Some(16_002) };
        let expected = json!({
            "server_name": "name",
            "listen": "127.0.0.1:16001",
            "http": "127.0.0.1:16002",
            "max_payload": 2048,
            "max_connections": 3,
            "authorization": { "user": "ann", "password": "it's \"secret\"" },
            "jetstream": { "store_dir": "/s", "sync_interval": "1000ms", "max_file_store": 1000 },
        });
        assert_eq!(configuration(&options, ports, "name", Path::new("/s")), expected);
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", NatsOptions::default().login("ann", "hush")).contains("hush"));
    }
}
