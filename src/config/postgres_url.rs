//! The URL of a Postgres server, as libpq writes it.
//!
//! [`Endpoint`] reads it. Here it is made sure that it can be read in one way only, that an option which nobody knows gets
//! a hint, and that there is a form of it that may be shown. No reason quotes the URL.

use super::{keys, problem::Reason, suggest::did_you_mean, userinfo::Parts};
use crate::postgres::{Endpoint, EndpointError, SessionAttrs};

/// A URL, read.
pub(super) struct PostgresUrl {
    /// What it says.
    pub(super) endpoint: Endpoint,
    /// The URL without its password.
    pub(super) shown: String,
}

impl PostgresUrl {
    /// Parses a URL.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let parts = Parts::of(text)?;
        // The name is not quoted: a `?` that was not escaped could make a piece of a password look like one.
        if let Some((name, _)) = parts.options().find(|(name, _)| !OPTIONS.contains(name)) {
            let hint = did_you_mean(name, OPTIONS.iter().copied());
            return Err(Reason::new("the URL has an option that walpost does not know").maybe_hint(hint));
        }
        let endpoint = Endpoint::parse(text).map_err(|error| refused(&error))?;
        Ok(Self { endpoint, shown: parts.shown(false) })
    }
}

/// What the reader says, whose words name options but never quote values.
fn refused(error: &EndpointError) -> Reason {
    let hint = match error {
        EndpointError::SslMode => keys::POSTGRES_SSLMODE.kind().describe(),
        EndpointError::ChannelBinding => keys::POSTGRES_CHANNEL_BINDING.kind().describe(),
        EndpointError::SessionAttrs | EndpointError::AsksForStandby => {
            format!("one of {}", SessionAttrs::WORDS.map(|(word, _)| word).join(", "))
        }
        _ => EXAMPLE.to_owned(),
    };
    Reason::new(error.to_string()).hint(hint)
}

/// The options of libpq that [`Endpoint`] knows.
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
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "target_session_attrs",
];

/// What a URL looks like.
const EXAMPLE: &str = "write it as postgres://user@host:5432/database";
