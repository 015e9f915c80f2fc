//! Plain SQL over the same stream as replication.
//!
//! `tokio-postgres` gets a [`Stream`] that is already open and already encrypted, so that there is one implementation
//! of TLS and of host order for both kinds of connection.

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, config, tls};
use tokio_util::sync::CancellationToken;

use super::{ChannelBinding, ConnectError, Endpoint, Refusal, Refuses, Reported, Search, Stream};

/// A session for queries; the task that drives it ends with this value.
#[derive(Debug)]
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    ended: CancellationToken,
    host: Endpoint,
    is_encrypted: bool,
}

impl Session {
    /// Connects to the first host that will do, and logs in.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, SqlError> {
        let mut search = Search::among(&endpoint.renewed().await?);
        while let Some(host) = search.next_host() {
            match Self::connect_to(&host).await {
                Ok(session) => return Ok(session),
                Err(error) => search.pass_over(&host, error)?,
            }
        }
        Err(search.failure().into())
    }

    async fn connect_to(host: &Endpoint) -> Result<Self, SqlError> {
        let stream = Stream::open(host).await?;
        let is_encrypted = stream.is_encrypted();
        let config = as_it_is(host, is_encrypted);
        let login = timeout(host.login_timeout(), config.connect_raw(stream, AsItIs)).await;
        let login = login.map_err(|_| SqlError::NoAnswer)?;
        let (client, connection) = login.map_err(|error| {
            if is_unbound(&error) { ConnectError::LOGIN_UNBOUND.into() } else { SqlError::Query(error) }
        })?;
        let mut reported = Reported::default();
        for name in Reported::NAMES {
            reported.note(name, connection.parameter(name).unwrap_or_default());
        }
        host.session_attrs().judge(reported).map_err(ConnectError::from)?;
        let ended = CancellationToken::new();
        let at_end = ended.clone().drop_guard();
        let driver = tokio::spawn(async move {
            let _at_end = at_end;
            // An error here also fails the query that was under way, where it is reported.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "SQL connection ended");
            }
        });
        Ok(Self { client, driver, ended, host: host.clone(), is_encrypted })
    }

    /// The host that the session is with: for connections that must be with the same server.
    pub fn host(&self) -> &Endpoint {
        &self.host
    }

    /// Whether what is said goes over the wire encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Waits until the server has ended the session, or the connection broke.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether the server has ended the session, or the connection broke.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The client to query with.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// What the library must know to take a stream over without negotiating anything.
fn as_it_is(host: &Endpoint, is_encrypted: bool) -> Config {
    let mut config = host.sql_config().clone();
    config.ssl_mode(if is_encrypted { config::SslMode::Require } else { config::SslMode::Disable });
    config.ssl_negotiation(config::SslNegotiation::Direct);
    config.channel_binding(match host.binding() {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    });
    config
}

/// Gives the library a stream that is encrypted already.
struct AsItIs;

impl tls::TlsConnect<Stream> for AsItIs {
    type Stream = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(stream))
    }
}

impl tls::TlsStream for Stream {
    fn channel_binding(&self) -> tls::ChannelBinding {
        self.end_point().map_or_else(tls::ChannelBinding::none, tls::ChannelBinding::tls_server_end_point)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Whether the server says that what is to be created is there: the object, or its row in the catalog's unique index
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>). Somebody else was faster.
pub fn exists_already(sqlstate: Option<&str>) -> bool {
    matches!(sqlstate, Some("42P07" | "42710" | "23505"))
}

/// SQL that failed.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server accepted the connection and did not finish the login in time.
    #[error("Postgres accepts the connection and does not answer")]
    NoAnswer,
    /// The server said no, or the connection broke; the server's message if there is one.
    #[error("{}", describe(.0))]
    Query(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Query(error)
    }
}

impl SqlError {
    /// The SQLSTATE of the server's answer, if it gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Query(error) => error.code().map(tokio_postgres::error::SqlState::code),
            Self::Connect(_) | Self::NoAnswer => None,
        }
    }
}

impl Refuses for SqlError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Connect(error) => error.refusal(),
            Self::NoAnswer => Refusal::Away,
            Self::Query(error) => match error.code() {
                Some(state) => Refusal::of_sqlstate(state.code()),
                // It broke before the login was done.
                None if error.is_closed() || is_of_the_socket(error) => Refusal::Away,
                None => Refusal::Final,
            },
        }
    }
}

fn is_of_the_socket(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
}

/// Whether the library refused a login without channel binding. It has no other sign of that than its words.
fn is_unbound(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    error.as_db_error().is_none() && cause.is_some_and(|cause| cause.contains("did not use channel binding"))
}

/// `tokio_postgres::Error` prints only its kind; people want what the server said.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        return format!("Postgres: {} (SQLSTATE {})", server.message(), server.code().code());
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
