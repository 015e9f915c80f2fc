//! `[postgres]`: the database, its slot and its publication.

use std::path::PathBuf;

use super::{
    keys,
    names::{Identifier, SlotName},
    postgres_url::PostgresUrl,
    reader::Reader,
    units::one_of,
};
use crate::postgres::{Endpoint, SslMode};

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
            let tls = url.endpoint.tls();
            let root_cert = tls.root_cert.as_ref().map(|path| path.display().to_string());
            reader.adopt(&keys::POSTGRES_SSLMODE, &keys::POSTGRES_URL, tls.mode.map(|mode| mode.to_string()));
            reader.adopt(&keys::POSTGRES_SSLROOTCERT, &keys::POSTGRES_URL, root_cert);
        }
        let sslmode = reader.required(&keys::POSTGRES_SSLMODE, |text| one_of(text, &SslMode::WORDS));
        let sslrootcert: Option<Option<PathBuf>> = reader.path(&keys::POSTGRES_SSLROOTCERT);
        let slot = reader.required(&keys::POSTGRES_SLOT, SlotName::parse);
        let publication = reader.required(&keys::POSTGRES_PUBLICATION, Identifier::parse);

        let PostgresUrl { mut endpoint, shown } = url?;
        if let Some(password) = password? {
            endpoint.set_password(password.expose());
        }
        endpoint.set_tls(Some(sslmode?), sslrootcert?);
        Some(Self { endpoint, shown_url: shown, slot: slot?, publication: publication? })
    }
}
