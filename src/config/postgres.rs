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
