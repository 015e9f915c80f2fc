//! `[postgres]`: the database, its slot and its publication.

use std::path::Path;

use super::{
    keys,
    names::{Identifier, SlotName},
    postgres_url::PostgresUrl,
    reader::Reader,
    units::one_of,
};
use crate::postgres::{ChannelBinding, Endpoint, SslMode, TlsSettings};

/// Where events come from.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The server, the database, and who connects how.
    pub endpoint: Endpoint,
    /// The URL as it may be shown.
    pub shown_url: String,
    /// The replication slot.
    pub slot: SlotName,
    /// The publication.
    pub publication: Identifier,
}

impl Postgres {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let url_file = reader.url_file(&keys::POSTGRES_URL, Self::read);
        let url = reader.required(&keys::POSTGRES_URL, PostgresUrl::parse);
        let password = reader.secret(&keys::POSTGRES_PASSWORD);
        if let Some(url) = &url {
            adopt_tls(reader, url.endpoint.tls());
        }
        let tls = read_tls(reader);
        let slot = reader.required(&keys::POSTGRES_SLOT, SlotName::parse);
        let publication = reader.required(&keys::POSTGRES_PUBLICATION, Identifier::parse);

        let PostgresUrl { mut endpoint, shown } = url?;
        if let Some(password) = password? {
            endpoint.set_password(password.expose());
            endpoint.read_password_from(password.source());
        }
        endpoint.set_tls(tls?);
        if let Some(file) = url_file {
            endpoint.read_url_from(file.map(|postgres: Self| postgres.endpoint));
        }
        Some(Self { endpoint, shown_url: shown, slot: slot?, publication: publication? })
    }
}

/// Gives what stands in the URL to the keys of the same names.
fn adopt_tls(reader: &mut Reader, tls: &TlsSettings) {
    let shown = |path: &Option<std::path::PathBuf>| path.as_deref().map(Path::display).map(|path| path.to_string());
    for (key, text) in [
        (&keys::POSTGRES_SSLMODE, tls.mode.map(|mode| mode.to_string())),
        (&keys::POSTGRES_SSLROOTCERT, shown(&tls.root_cert)),
        (&keys::POSTGRES_SSLCERT, shown(&tls.cert)),
        (&keys::POSTGRES_SSLKEY, shown(&tls.key)),
        (&keys::POSTGRES_CHANNEL_BINDING, tls.binding.map(|binding| binding.to_string())),
    ] {
        reader.adopt(key, &keys::POSTGRES_URL, text);
    }
}

/// Reads the keys of TLS, and refuses what libpq refuses: a connection that proves less than it was asked to.
fn read_tls(reader: &mut Reader) -> Option<TlsSettings> {
    let mode = reader.optional(&keys::POSTGRES_SSLMODE, |text| one_of(text, &SslMode::WORDS));
    let root_cert = reader.path(&keys::POSTGRES_SSLROOTCERT);
    let cert = reader.path(&keys::POSTGRES_SSLCERT);
    let key = reader.path(&keys::POSTGRES_SSLKEY);
    let binding = reader.required(&keys::POSTGRES_CHANNEL_BINDING, |text| one_of(text, &ChannelBinding::WORDS));
    match (reader.has(&keys::POSTGRES_SSLCERT), reader.has(&keys::POSTGRES_SSLKEY)) {
        (true, false) => reader.needs(&keys::POSTGRES_SSLKEY, &keys::POSTGRES_SSLCERT),
        (false, true) => reader.needs(&keys::POSTGRES_SSLCERT, &keys::POSTGRES_SSLKEY),
        _ => {}
    }
    let tls = TlsSettings { mode: mode?, root_cert: root_cert?, cert: cert?, key: key?, binding: Some(binding?) };
    if tls.trusts_system() && tls.mode.is_some_and(|mode| mode != SslMode::VerifyFull) {
        let hint = "with the system's authorities anybody's certificate would do: use `verify-full`";
        reader.clash(&keys::POSTGRES_SSLMODE, &keys::POSTGRES_SSLROOTCERT, hint);
    }
    if tls.binding() == ChannelBinding::Require && tls.mode == Some(SslMode::Disable) {
        let hint = "a login is bound to the certificate of an encrypted connection";
        reader.clash(&keys::POSTGRES_CHANNEL_BINDING, &keys::POSTGRES_SSLMODE, hint);
    }
    Some(tls)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::super::{Config, Sources};
    use super::*;

    /// A file with a URL, and the endpoint of a configuration that names it and holds these variables.
    fn in_a_file(url: &str, variables: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf, Endpoint) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dsn");
        fs::write(&file, format!("{url}\n")).unwrap();
        let named = ("WALPOST_POSTGRES_URL_FILE", file.to_str().unwrap());
        let environment = [&[named], variables].concat();
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let loaded = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
        (folder, file, loaded.config.postgres.endpoint)
    }

    fn password(endpoint: &Endpoint) -> &[u8] {
        endpoint.password().unwrap_or_default()
    }

    #[tokio::test]
    async fn a_url_in_a_file_is_read_again_with_all_that_it_says() {
        let (_folder, file, endpoint) = in_a_file("postgres://old:one@a/shop", &[]);
        let same = endpoint.renewed().await.unwrap();
        assert_eq!((same.to_string().as_str(), password(&same)), ("old@a:5432/shop", &b"one"[..]));
        fs::write(&file, "postgres://new:two@b:5433,c/shop?sslmode=require\n").unwrap();
        let renewed = endpoint.renewed().await.unwrap();
        assert_eq!((renewed.to_string().as_str(), password(&renewed)), ("new@b:5433,c:5432/shop", &b"two"[..]));
        assert_eq!(renewed.ssl_mode(), SslMode::Require);
        // And again, from what was renewed.
        fs::write(&file, "postgres://new:three@b/shop").unwrap();
        let again = renewed.renewed().await.unwrap();
        assert_eq!((again.to_string().as_str(), password(&again)), ("new@b:5432/shop", &b"three"[..]));
        assert_eq!(again.ssl_mode(), SslMode::VerifyFull);
    }

    #[tokio::test]
    async fn whoever_is_with_one_host_stays_with_it() {
        let (_folder, file, endpoint) = in_a_file("postgres://old:one@a,b/shop", &[]);
        let hosts = endpoint.renewed().await.unwrap().hosts();
        fs::write(&file, "postgres://new:two@c/shop").unwrap();
        let renewed = hosts[1].renewed().await.unwrap();
        assert_eq!((renewed.to_string().as_str(), password(&renewed)), ("new@b:5432/shop", &b"two"[..]));
        assert_eq!(renewed.session_attrs(), endpoint.session_attrs());
    }

    #[tokio::test]
    async fn the_keys_win_over_a_url_that_is_read_again() {
        let keys = [("WALPOST_POSTGRES_PASSWORD", "of-key"), ("WALPOST_POSTGRES_SSLMODE", "verify-ca")];
        let (_folder, file, endpoint) = in_a_file("postgres://old:one@a/shop?sslmode=require", &keys);
        fs::write(&file, "postgres://new:two@a/shop?sslmode=disable&channel_binding=require").unwrap();
        let renewed = endpoint.renewed().await.unwrap();
        assert_eq!((renewed.user(), password(&renewed)), ("new", &b"of-key"[..]));
        assert_eq!((renewed.ssl_mode(), renewed.binding()), (SslMode::VerifyCa, ChannelBinding::Require));
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_told_without_a_secret_and_passes() {
        let (_folder, file, endpoint) = in_a_file("postgres://old:one@a/shop", &[]);
        for (text, told) in [
            ("", "it is empty"),
            ("postgres://old:canary@", "names no host"),
            ("postgres://old:can@ary@a/shop", "in one way only"),
            ("postgres://old:canary@a/shop?sslmode=allow", "unknown sslmode"),
            ("postgres://old:canary@a/shop?sslrootcert=system&sslmode=require", "cannot go together"),
            ("postgres://old:canary@a/other", "names database \"other\", and walpost was started for \"shop\""),
            // Without a database it is that of the role.
            ("postgres://lent:canary@a", "names database \"lent\""),
        ] {
            fs::write(&file, text).unwrap();
            let error = endpoint.renewed().await.unwrap_err().to_string();
            assert!(error.starts_with("the URL in ") && error.contains(told), "{text}: {error}");
            assert!(!error.contains("canary") && !error.contains("ary@"), "{error}");
        }
        fs::remove_file(&file).unwrap();
        assert!(endpoint.renewed().await.unwrap_err().to_string().contains("cannot be used"));
        fs::write(&file, "postgres://old:two@a/shop").unwrap();
        assert_eq!(password(&endpoint.renewed().await.unwrap()), b"two");
    }
}
