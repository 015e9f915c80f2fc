//! The servers of a NATS cluster, and the credentials inside their URL.
//!
//! The credentials are taken out of the addresses, because the client does not use them there, and because the address
//! type shows them. No reason quotes the URL.

use async_nats::ServerAddr;

use super::{nats::Login, problem::Reason, secret::Secret, userinfo::Parts};

/// One or more servers.
#[derive(Debug)]
pub(super) struct NatsUrl {
    /// The servers, without credentials.
    pub(super) servers: Vec<ServerAddr>,
    /// The credentials that were inside the URL.
    pub(super) login: Login,
    /// The URL without its credentials.
    pub(super) shown: String,
}

impl NatsUrl {
    /// Parses URLs separated by commas.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let (mut servers, mut shown, mut login) = (Vec::new(), Vec::new(), Login::Anonymous);
        for url in text.split(',') {
            let parts = Parts::of(url.trim())?;
            servers.push(server(&parts)?);
            shown.push(parts.shown(true));
            let found = login_in(&parts)?;
            if found != Login::Anonymous {
                if login != Login::Anonymous && login != found {
                    return Err(Reason::new("the URL has different credentials for different servers"));
                }
                login = found;
            }
        }
        Ok(Self { servers, login, shown: shown.join(",") })
    }
}

/// The address in `parts`.
fn server(parts: &Parts<'_>) -> Result<ServerAddr, Reason> {
    let is_bare = matches!(parts.path, "" | "/") && parts.query.is_empty();
    if !["", "nats://", "tls://"].contains(&parts.scheme) || parts.hosts.is_empty() || !is_bare {
        return Err(Reason::new("not the URL of a NATS server").hint(EXAMPLE));
    }
    let scheme = if parts.scheme.is_empty() { "nats://" } else { parts.scheme };
    let address: Result<ServerAddr, _> = format!("{scheme}{}", parts.hosts).parse();
    match address {
        Ok(address) if !address.host().is_empty() => Ok(address),
        _ => Err(Reason::new("the URL has a host or a port that cannot be read").hint(EXAMPLE)),
    }
}

/// The credentials in `parts`: a user and a password, or a token alone.
fn login_in(parts: &Parts<'_>) -> Result<Login, Reason> {
    Ok(match (parts.user()?, parts.password()?) {
        (None, _) => Login::Anonymous,
        (Some(user), Some(password)) if !user.is_empty() => Login::User { user, password: Secret::new(password) },
        (Some(token), None) if !token.is_empty() => Login::Token(Secret::new(token)),
        _ => return Err(Reason::new("the URL has a user part without a user")),
    })
}

/// What a URL looks like.
const EXAMPLE: &str = "write it as nats://host:4222, or several separated by commas";
