//! From a name to a connection to an address that the guard admits.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use tokio::{net::TcpStream, task::AbortHandle};
use tokio_rustls::TlsConnector;

use super::pool::Connection;
use crate::{
    trusted_roots::{RootsError, trusted_roots},
    webhooks::{address::Guard, target::Target, verdict::Outcome},
};

/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 8;

/// What asks for the addresses of a name and a port.
pub type Lookup = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Who tells the addresses of names.
#[derive(Clone)]
pub struct Resolver {
    lookup: Arc<Lookup>,
    asked: Arc<Mutex<HashMap<(String, u16), Question>>>,
}

/// A question that is under way.
struct Question {
    task: AbortHandle,
    answer: Answer,
}

type Answer = Shared<BoxFuture<'static, Option<Vec<SocketAddr>>>>;

impl Resolver {
    /// The operating system.
    pub fn system() -> Self {
        Self::by(|host, port| {
            async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) }.boxed()
        })
    }

    /// Somebody else.
    pub fn by(
        lookup: impl Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self { lookup: Arc::new(lookup), asked: Arc::default() }
    }

    /// The answer to the question that is under way, or to a new one. A question goes on when nobody waits any more, because
    /// the operating system cannot be stopped: each takes a thread until it is answered, of a number that all endpoints share.
    /// So a name is asked for once at a time, or one whose servers are silent would take the threads of all others.
    fn ask(&self, host: String, port: u16) -> Answer {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, question| !question.task.is_finished());
        let new = |(host, port): &(String, u16)| {
            let looking = tokio::spawn((self.lookup)(host.clone(), *port));
            let task = looking.abort_handle();
            Question { task, answer: async move { looking.await.ok()?.ok() }.boxed().shared() }
        };
        asked.entry((host, port)).or_insert_with_key(new).answer.clone()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// Makes connections to one target.
#[derive(Debug)]
pub(super) struct Connector {
    target: Target,
    guard: Guard,
    resolver: Resolver,
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    pub(super) fn new(target: &Target, guard: Guard, resolver: Resolver, tls: Arc<ClientConfig>) -> Self {
        Self { target: target.clone(), guard, resolver, tls: target.is_encrypted().then_some(tls) }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, Outcome> {
        let addresses = admitted(&self.target, &self.guard, &self.resolver).await?;
        let mut socket = None;
        for address in addresses {
            if let Ok(connected) = TcpStream::connect(address).await {
                socket = Some(connected);
                break;
            }
        }
        let socket = socket.ok_or(Outcome::Unreachable)?;
        // Small requests: waiting for more to send costs time and gains nothing.
        socket.set_nodelay(true).map_err(|_| Outcome::Unreachable)?;
        match &self.tls {
            None => Connection::over(TokioIo::new(socket)).await,
            Some(tls) => {
                let name = ServerName::try_from(self.target.name()).map_err(|_| Outcome::TlsFailed)?;
                let encrypted = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await;
                Connection::over(TokioIo::new(encrypted.map_err(|_| Outcome::TlsFailed)?)).await
            }
        }
    }
}

/// The addresses of a target that may be connected to.
pub async fn admitted(target: &Target, guard: &Guard, resolver: &Resolver) -> Result<Vec<SocketAddr>, Outcome> {
    let all = match target.literal() {
        Some(address) => vec![SocketAddr::new(address, target.port())],
        None => resolver.ask(target.name(), target.port()).await.ok_or(Outcome::Unresolved)?,
    };
    if all.is_empty() {
        return Err(Outcome::Unresolved);
    }
    let canonical = all.into_iter().map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    let is_admitted = |address: &SocketAddr| guard.admits(address.ip()) && guard.admits_port(address.port());
    let admitted: Vec<_> = canonical.filter(is_admitted).take(MOST_ADDRESSES).collect();
    if admitted.is_empty() { Err(Outcome::AddressRefused) } else { Ok(admitted) }
}

/// How connections are encrypted and what certificates are verified against: a PEM file, or the system's authorities. There
/// is no way to verify nothing.
pub fn tls_config(roots: Option<&Path>) -> Result<Arc<ClientConfig>, TlsRootsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(TlsRootsError::Provider)?;
    let mut config = builder.with_root_certificates(trusted_roots(roots)?).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// No certificates to verify receivers by.
#[derive(Debug, thiserror::Error)]
pub enum TlsRootsError {
    /// Nobody to trust.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The cryptography refuses.
    #[error("TLS cannot be set up: {0}")]
    Provider(rustls::Error),
}
