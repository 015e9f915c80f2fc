//! Plain SQL over the same stream as replication.
//!
//! `tokio-postgres` gets a [`Stream`] that is already open and already encrypted, so that there is one implementation
//! of TLS and of host order for both kinds of connection.

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, NoTls, config::SslMode as NoNegotiation};
use tokio_util::sync::CancellationToken;

use super::{ConnectError, Endpoint, Stream};

/// A session for queries; the task that drives it ends with this value.
#[derive(Debug)]
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    ended: CancellationToken,
}

impl Session {
    /// Connects and logs in.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, SqlError> {
        let stream = Stream::open(endpoint).await?;
        let mut config = endpoint.sql_config().clone();
        config.ssl_mode(NoNegotiation::Disable);
        let login = timeout(endpoint.login_timeout(), config.connect_raw(stream, NoTls)).await;
        let (client, connection) = login.map_err(|_| SqlError::NoAnswer)??;
        let ended = CancellationToken::new();
        let at_end = ended.clone().drop_guard();
        let driver = tokio::spawn(async move {
            let _at_end = at_end;
            // An error here also fails the query that was under way, where it is reported.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "SQL connection ended");
            }
        });
        Ok(Self { client, driver, ended })
    }

    /// Waits until the server has ended the session, or the connection broke.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The client to query with.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
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
