//! Logs in: start-up message and authentication.
//!
//! Message encoding, md5 and SCRAM are `postgres-protocol`'s; this file holds the order of the conversation
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>).

use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::{
        backend::{AuthenticationSaslBody, Message},
        frontend,
    },
};

use super::connection::{Conversation, ReplicationError};
use crate::postgres::{ChannelBinding, ConnectError, Endpoint, Reported};

/// How the role proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Not by anything that the server asked for: it trusts the address, the system's user or a certificate.
    Unasked,
    /// By a password that went over the wire as it is.
    Cleartext,
    /// By an md5 sum.
    Md5,
    /// By SCRAM-SHA-256.
    Scram,
    /// By SCRAM-SHA-256-PLUS: the server has proved that the certificate that we see is its own.
    ScramPlus,
}

/// A login that succeeded.
pub(super) struct LoggedIn {
    /// What the server reported of the session.
    pub(super) session: Reported,
    /// How the role proved who it is.
    pub(super) authentication: Authentication,
    /// The process that serves the connection, as whoever answered the login calls it.
    pub(super) process_id: Option<i32>,
}

/// What the server told by the way.
#[derive(Default)]
struct Told {
    /// The process that serves the connection.
    process_id: Option<i32>,
    /// The database has no encoding.
    has_no_encoding: bool,
    /// What the session can be used for.
    session: Reported,
}

/// Says who we are and proves it; returns when the server is ready for a command, with what it told.
pub(super) async fn log_in(conversation: &mut Conversation, endpoint: &Endpoint) -> Result<LoggedIn, ReplicationError> {
    let mut parameters = vec![
        ("user", endpoint.user()),
        ("database", endpoint.database()),
        ("replication", "database"),
        // Values may come as text, and then in the form that these set.
        ("client_encoding", "UTF8"),
        ("datestyle", "ISO"),
        ("application_name", endpoint.application_name()),
    ];
    if let Some(options) = endpoint.options() {
        parameters.push(("options", options));
    }
    conversation.send(|out| frontend::startup_message(parameters, out)).await?;
    let authentication = authenticate(conversation, endpoint).await?;
    let told = until_ready(conversation).await?;
    if told.has_no_encoding {
        // Such a database holds any bytes. Asked for UTF-8, the server would check them while it decodes and break off at
        // the first that are not, on every start again; like this it sends them, and only their row is at fault.
        conversation.send(|out| frontend::query("SET client_encoding = 'SQL_ASCII'", out)).await?;
        until_ready(conversation).await?;
    }
    Ok(LoggedIn { session: told.session, authentication, process_id: told.process_id })
}

/// Waits until the server is ready for a command.
async fn until_ready(conversation: &mut Conversation) -> Result<Told, ReplicationError> {
    let mut told = Told::default();
    loop {
        match conversation.receive().await? {
            Message::ReadyForQuery(_) => return Ok(told),
            Message::BackendKeyData(key) => told.process_id = Some(key.process_id()),
            Message::ParameterStatus(status) => {
                let (name, value) = (status.name()?, status.value()?);
                if name == "server_encoding" {
                    told.has_no_encoding = value == "SQL_ASCII";
                }
                told.session.note(name, value);
            }
            _ => {}
        }
    }
}

async fn authenticate(
    conversation: &mut Conversation,
    endpoint: &Endpoint,
) -> Result<Authentication, ReplicationError> {
    let mut proof = Authentication::Unasked;
    let unless_required = || match endpoint.binding() {
        ChannelBinding::Require => Err(ConnectError::LOGIN_UNBOUND),
        ChannelBinding::Disable | ChannelBinding::Prefer => Ok(()),
    };
    loop {
        match conversation.receive().await? {
            Message::AuthenticationOk => {
                if proof != Authentication::ScramPlus {
                    unless_required()?;
                }
                return Ok(proof);
            }
            Message::AuthenticationCleartextPassword => {
                unless_required()?;
                proof = Authentication::Cleartext;
                let password = password(endpoint)?;
                conversation.send(|out| frontend::password_message(password, out)).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                unless_required()?;
                proof = Authentication::Md5;
                let hash = md5_hash(endpoint.user().as_bytes(), password(endpoint)?, body.salt());
                conversation.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
            }
            Message::AuthenticationSasl(body) => {
                let end_point = match endpoint.binding() {
                    ChannelBinding::Disable => None,
                    ChannelBinding::Prefer | ChannelBinding::Require => conversation.end_point(),
                };
                let (mechanism, binding) = choose(&body, end_point)?;
                if mechanism == SCRAM_SHA_256_PLUS {
                    proof = Authentication::ScramPlus;
                } else {
                    unless_required()?;
                    proof = Authentication::Scram;
                }
                scram(conversation, ScramSha256::new(password(endpoint)?, binding), mechanism).await?;
            }
            Message::AuthenticationGss | Message::AuthenticationSspi | Message::AuthenticationKerberosV5 => {
                return Err(ReplicationError::AuthenticationMethod("GSSAPI, SSPI or Kerberos"));
            }
            Message::AuthenticationScmCredential => {
                return Err(ReplicationError::AuthenticationMethod("SCM credentials"));
            }
            _ => return Err(ReplicationError::Unexpected("while logging in")),
        }
    }
}

/// The best mechanism that the server offers, and what the login is bound to. Whoever could have bound it and was not
/// offered to says so: a server that did offer it then knows that somebody stands between (RFC 5802, section 6).
fn choose(
    offer: &AuthenticationSaslBody,
    end_point: Option<Vec<u8>>,
) -> Result<(&'static str, sasl::ChannelBinding), ReplicationError> {
    let (mut has_plain, mut has_plus) = (false, false);
    let mut offered = offer.mechanisms();
    while let Some(mechanism) = offered.next()? {
        has_plain |= mechanism == SCRAM_SHA_256;
        has_plus |= mechanism == SCRAM_SHA_256_PLUS;
    }
    match end_point {
        Some(end_point) if has_plus => Ok((SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(end_point))),
        Some(_) if has_plain => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unrequested())),
        None if has_plain => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
        _ => Err(ReplicationError::AuthenticationMethod("a SASL mechanism other than SCRAM-SHA-256")),
    }
}

async fn scram(
    conversation: &mut Conversation,
    mut scram: ScramSha256,
    mechanism: &str,
) -> Result<(), ReplicationError> {
    conversation.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out)).await?;
    let Message::AuthenticationSaslContinue(body) = conversation.receive().await? else {
        return Err(ReplicationError::Unexpected("in the middle of SCRAM"));
    };
    scram.update(body.data())?;
    conversation.send(|out| frontend::sasl_response(scram.message(), out)).await?;
    let Message::AuthenticationSaslFinal(body) = conversation.receive().await? else {
        return Err(ReplicationError::Unexpected("at the end of SCRAM"));
    };
    // The server proves that it knows the password too; without this a stranger could take our log position.
    scram.finish(body.data())?;
    Ok(())
}

fn password(endpoint: &Endpoint) -> Result<&[u8], ReplicationError> {
    endpoint.password().ok_or(ReplicationError::NoPassword)
}
