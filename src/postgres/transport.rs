//! The byte stream to a Postgres server: TCP or Unix socket, plain or TLS.
//!
//! Input: an [`Endpoint`] with one host. Output: a [`Stream`] on which nothing but an optional TLS negotiation was said
//! yet.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    end_point::end_point,
    endpoint::Endpoint,
    hosts::Target,
    session_attrs::Misfit,
    tls::{self, TlsError},
    tls_settings::{ChannelBinding, SslMode},
};
use crate::secret_source::SecretError;

/// A peer that vanished without a word is noticed after 10 s of silence and three unanswered probes, 5 s apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// See [`KEEPALIVE_IDLE`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE_IDLE`].
const KEEPALIVE_PROBES: u32 = 3;

/// An open connection.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Opens a stream to the host of the endpoint; to the first that accepts, should there be several.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let mode = endpoint.ssl_mode();
        let tls = tls::client_config(endpoint.tls(), mode)?;
        let mut failures = Vec::new();
        let mut is_about_tls = true;
        for target in endpoint.targets() {
            let attempt = open_target(target, mode, tls.as_ref());
            let attempt = timeout(endpoint.connect_timeout(), attempt).await;
            match attempt.map(|stream| stream?.bound_if(endpoint.binding() == ChannelBinding::Require)) {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    is_about_tls &= error.is_about_tls();
                    failures.push(format!("{target}: {error}"));
                }
                Err(_) => {
                    is_about_tls = false;
                    failures.push(format!("{target}: no answer within {:?}", endpoint.connect_timeout()));
                }
            }
        }
        let reasons = failures.join("; ");
        Err(if is_about_tls { ConnectError::NoSecureHost(reasons) } else { ConnectError::NoHost(reasons) })
    }

    /// Whether the stream is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What a login over this stream can be bound to: the server's certificate (`tls-server-end-point`).
    pub(crate) fn end_point(&self) -> Option<Vec<u8>> {
        let Self::Tls(stream) = self else { return None };
        end_point(stream.get_ref().1.peer_certificates()?.first()?)
    }

    /// The same stream, unless a login must be bound and cannot be.
    fn bound_if(self, is_required: bool) -> Result<Self, ConnectError> {
        match (is_required && self.end_point().is_none(), self.is_encrypted()) {
            (false, _) => Ok(self),
            (true, false) => Err(ConnectError::Unbound("the connection is not encrypted")),
            (true, true) => Err(ConnectError::Unbound("there is none for this kind of certificate")),
        }
    }
}

async fn open_target(target: &Target, mode: SslMode, tls: Option<&Arc<ClientConfig>>) -> Result<Stream, ConnectError> {
    match target {
        Target::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Target::Tcp { name, dial, port } => {
            let mut tcp = dial_tcp(dial, *port).await?;
            let Some(config) = tls else { return Ok(Stream::Tcp(tcp)) };
            if !server_offers_tls(&mut tcp).await? {
                return if mode == SslMode::Prefer { Ok(Stream::Tcp(tcp)) } else { Err(ConnectError::NoTls) };
            }
            let server_name = ServerName::try_from(name.clone()).map_err(|_| ConnectError::Name(name.clone()))?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(server_name, tcp).await;
            Ok(Stream::Tls(Box::new(stream.map_err(ConnectError::Handshake)?)))
        }
    }
}

/// Tries each address of the name in turn.
async fn dial_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<SocketAddr> =
        lookup_host((host, port)).await.map_err(|source| ConnectError::Resolve { source })?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE_IDLE)
                    .with_interval(KEEPALIVE_INTERVAL)
                    .with_retries(KEEPALIVE_PROBES);
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

/// Sends an `SSLRequest`; the answer is one byte, and exactly one byte is read, so that nothing that a man in the
/// middle put behind it can be taken for encrypted.
async fn server_offers_tls(tcp: &mut TcpStream) -> Result<bool, ConnectError> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await?;
    match tcp.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(ConnectError::NotPostgres),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Every host failed; the text names each with its reason.
    #[error("cannot connect to Postgres ({0})")]
    NoHost(String),
    /// Of several hosts some answered, and none will do; the text names each with its reason.
    #[error("no host of the URL is a primary that lets us in ({0})")]
    NoneFit(String),
    /// The only host lets us in, and will not do.
    #[error("the server is not what the URL asks for: {0}")]
    Misfit(#[from] Misfit),
    /// Every host can be reached, and failed over encryption; the text names each with its reason.
    #[error("cannot connect to Postgres ({0})")]
    NoSecureHost(String),
    /// The resolver knows no such name.
    #[error("the host name cannot be resolved: {source}")]
    Resolve {
        /// What the resolver said.
        source: io::Error,
    },
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// TLS was asked for and the server has none.
    #[error("the server does not offer TLS, which sslmode asks for")]
    NoTls,
    /// The name in the URL cannot stand in a certificate.
    #[error("{0:?} cannot be verified as a host name")]
    Name(String),
    /// The TLS handshake failed, most often because the certificate was refused.
    #[error("TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The login must be bound to the server's certificate, and is not.
    #[error("channel_binding=require: {0}")]
    Unbound(&'static str),
    /// The file of the password cannot be used.
    #[error("the password cannot be used: {0}")]
    Password(#[from] SecretError),
    /// The file of the URL cannot be used.
    #[error("the URL in {} cannot be used: {}", .0.path, .0.source)]
    Url(SecretError),
    /// Something else answered at that port.
    #[error("what answers there does not speak the Postgres protocol")]
    NotPostgres,
    /// TLS cannot be set up as asked.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ConnectError {
    /// The server lets us in without having proved that the certificate is its own.
    pub(crate) const LOGIN_UNBOUND: Self = Self::Unbound(
        "the server does not bind the login to its certificate (it asks for no password, or for one in another way than by \
         SCRAM-SHA-256-PLUS)",
    );

    /// Whether the connection was there, and encryption was not.
    pub fn is_about_tls(&self) -> bool {
        match self {
            Self::NoTls
            | Self::Name(_)
            | Self::Handshake(_)
            | Self::Tls(_)
            | Self::Unbound(_)
            | Self::NoSecureHost(_) => true,
            Self::NoHost(_)
            | Self::NoneFit(_)
            | Self::Misfit(_)
            | Self::Password(_)
            | Self::Url(_)
            | Self::Resolve { .. }
            | Self::Io(_)
            | Self::NotPostgres => false,
        }
    }
}
