//! The URL of a Postgres server, as libpq writes it.
//!
//! The options of TLS are taken out, because walpost makes its own TLS connections; everything else is what
//! [`tokio_postgres::Config`] reads. No reason quotes the URL.

use std::error::Error as _;

use super::{
    keys,
    postgres::SslMode,
    problem::Reason,
    suggest::did_you_mean,
    userinfo::{Parts, unescaped},
};

/// A URL, taken apart.
pub(super) struct PostgresUrl {
    /// Everything but TLS.
    pub(super) server: tokio_postgres::Config,
    /// `sslmode`, if it is in the URL.
    pub(super) sslmode: Option<SslMode>,
    /// `sslrootcert`, if it is in the URL.
    pub(super) sslrootcert: Option<String>,
    /// The URL without its password.
    pub(super) shown: String,
}

impl PostgresUrl {
    /// Parses a URL.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let parts = Parts::of(text)?;
        if !["postgres://", "postgresql://"].contains(&parts.scheme) {
            return Err(Reason::new("not the URL of a Postgres server").hint(EXAMPLE));
        }
        let (mut sslmode, mut sslrootcert, mut rest) = (None, None, Vec::new());
        for (name, value) in parts.options() {
            match name {
                "sslmode" => {
                    let known = SslMode::parse(&unescaped(value)?);
                    let hint = keys::POSTGRES_SSLMODE.kind().describe();
                    sslmode = Some(known.map_err(|_| Reason::new("the URL has an unknown sslmode").hint(hint))?);
                }
                "sslrootcert" => sslrootcert = Some(unescaped(value)?),
                _ if OPTIONS.contains(&name) => rest.push(format!("{name}={value}")),
                // The name is not quoted: a `?` that was not escaped could make a piece of a password look like one.
                _ => {
                    let hint = did_you_mean(name, OPTIONS.iter().copied().chain(["sslmode", "sslrootcert"]));
                    return Err(Reason::new("the URL has an option that walpost does not know").maybe_hint(hint));
                }
            }
        }
        let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
        let (head, _) = text.split_once('?').unwrap_or((text, ""));
        let server: tokio_postgres::Config = format!("{head}{query}").parse().map_err(|error| refused(&error))?;
        if server.get_hosts().iter().all(is_empty) && server.get_hostaddrs().is_empty() {
            return Err(Reason::new("the URL names no host").hint(EXAMPLE));
        }
        Ok(Self { server, sslmode, sslrootcert, shown: parts.shown(false) })
    }
}

/// Whether a host has no name.
fn is_empty(host: &tokio_postgres::config::Host) -> bool {
    matches!(host, tokio_postgres::config::Host::Tcp(name) if name.is_empty())
}

/// What the parser says, whose words name options but never quote values.
fn refused(error: &tokio_postgres::Error) -> Reason {
    let source = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    Reason::new(format!("the URL cannot be read: {}", source.replace('`', ""))).hint(EXAMPLE)
}

/// The options of libpq that [`tokio_postgres::Config`] reads, less those of TLS.
const OPTIONS: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "sslnegotiation",
];

/// What a URL looks like.
const EXAMPLE: &str = "write it as postgres://user@host:5432/database";
