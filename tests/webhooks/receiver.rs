//! Receivers of requests, good and bad, on this machine.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::certificates::Certificate;

/// How a receiver answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// These bytes, and then it waits for the next request.
    Says(&'static str),
    /// These bytes, and then it closes the connection.
    SaysAndCloses(&'static str),
    /// A head, and then bytes of a body without end.
    NeverStops,
    /// Header lines without end.
    NeverComesToTheBody,
    /// A head that promises a body, and then nothing.
    Dawdles,
    /// Nothing.
    Hangs,
    /// It breaks the connection instead of answering.
    Resets,
    /// It closes the connection before the second request that comes over it.
    ClosesAfterOne,
}

/// A good answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Request line and headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// The address that it came to.
    pub(crate) local: SocketAddr,
}

impl Received {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A receiver on a port of its own, on every address of the machine.
pub(crate) struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One that speaks plain HTTP.
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::listen(manner, None).await
    }

    /// One that shows this certificate.
    pub(crate) async fn start_tls(manner: Manner, certificate: &Certificate) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.pem.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::listen(manner, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (received, connections) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<usize>>::default());
        let (all, count) = (Arc::clone(&received), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { return };
                *count.lock().unwrap() += 1;
                let (tls, all) = (tls.clone(), Arc::clone(&all));
                tokio::spawn(async move {
                    let local = socket.local_addr().unwrap();
                    match tls {
                        None => serve(socket, local, manner, &all).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                serve(socket, local, manner, &all).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, received, connections, task }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it was sent so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it takes to break a connection.
pub(crate) trait Breakable {
    /// Ends it without a farewell.
    fn break_off(self);
}

impl Breakable for TcpStream {
    fn break_off(self) {
        self.set_zero_linger().unwrap();
    }
}

impl Breakable for tokio_rustls::server::TlsStream<TcpStream> {
    fn break_off(self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}

async fn serve<S>(mut socket: S, local: SocketAddr, manner: Manner, all: &Mutex<Vec<Received>>)
where
    S: AsyncRead + AsyncWrite + Breakable + Unpin,
{
    while let Some((head, body)) = read_request(&mut socket).await {
        all.lock().unwrap().push(Received { head, body, local });
        let said = match manner {
            Manner::Says(answer) => socket.write_all(answer.as_bytes()).await,
            Manner::SaysAndCloses(answer) => {
                drop(socket.write_all(answer.as_bytes()).await);
                return drop(socket.shutdown().await);
            }
            Manner::NeverStops => {
                drop(socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await);
                while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
                return;
            }
            Manner::NeverComesToTheBody => {
                drop(socket.write_all(b"HTTP/1.1 200 OK\r\n").await);
                while socket.write_all(b"x-more: and more\r\n").await.is_ok() {}
                return;
            }
            Manner::Dawdles => {
                drop(socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await);
                return std::future::pending().await;
            }
            Manner::Hangs => return std::future::pending().await,
            Manner::Resets => return socket.break_off(),
            Manner::ClosesAfterOne => {
                drop(socket.write_all(OK.as_bytes()).await);
                let mut one = [0];
                // The next request has begun to arrive when the connection breaks.
                drop(socket.read(&mut one).await);
                return socket.break_off();
            }
        };
        if said.is_err() {
            return;
        }
    }
}

/// The next request, if there is one.
async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let length: usize = length.unwrap_or(0);
    while bytes.len() < end + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, bytes[end..end + length].to_vec()))
}
