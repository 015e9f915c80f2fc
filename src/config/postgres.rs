//! `[postgres]`: the database, its slot and its publication.

use std::{fmt, path::PathBuf};

use super::{
    keys,
    names::{Identifier, SlotName},
    postgres_url::PostgresUrl,
    reader::Reader,
    units::one_of,
};

/// The source of the events.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// Hosts, user, password, database and options, without what TLS needs.
    pub server: tokio_postgres::Config,
    /// The URL as it may be shown: without its password.
    pub shown_url: String,
    /// How the connection is encrypted.
    pub sslmode: SslMode,
    /// Certificates that the server's is verified against; the system's if absent.
    pub sslrootcert: Option<PathBuf>,
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
            reader.adopt(&keys::POSTGRES_SSLMODE, &keys::POSTGRES_URL, url.sslmode.map(|mode| mode.to_string()));
            reader.adopt(&keys::POSTGRES_SSLROOTCERT, &keys::POSTGRES_URL, url.sslrootcert.clone());
        }
        let sslmode = reader.required(&keys::POSTGRES_SSLMODE, SslMode::parse);
        let sslrootcert = reader.path(&keys::POSTGRES_SSLROOTCERT);
        let slot = reader.required(&keys::POSTGRES_SLOT, SlotName::parse);
        let publication = reader.required(&keys::POSTGRES_PUBLICATION, Identifier::parse);

        let url = url?;
        let mut server = url.server;
        if let Some(password) = password? {
            server.password(password.expose());
        }
        Some(Self {
            server,
            shown_url: url.shown,
            sslmode: sslmode?,
            sslrootcert: sslrootcert?,
            slot: slot?,
            publication: publication?,
        })
    }
}

/// How a connection is encrypted, as in libpq (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server can.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, and the certificate is signed by a known authority.
    VerifyCa,
    /// Always, and the certificate is also that of the host.
    VerifyFull,
}

impl SslMode {
    /// Parses a mode.
    pub(super) fn parse(text: &str) -> Result<Self, super::problem::Reason> {
        one_of(text, &Self::WORDS)
    }

    /// The modes, with the words of libpq.
    const WORDS: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, mode)| mode == self).map_or("", |(word, _)| word);
        f.write_str(word)
    }
}
