//! Connections that are kept between requests.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};
use tokio::{task::AbortHandle, time::Instant};

use crate::webhooks::verdict::Outcome;

/// How old a kept connection may be. Then the name is resolved again: it may have moved.
const LONGEST_LIFE: Duration = Duration::from_secs(60);
/// How much of the head of an answer is held.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How many connections are kept.
const MOST_KEPT: usize = 256;

/// An open connection. It ends when this is dropped.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
    since: Instant,
}

impl Connection {
    /// Begins to speak HTTP over `io`.
    pub(super) async fn over(io: impl Read + Write + Unpin + Send + 'static) -> Result<Self, Outcome> {
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(io).await;
        let (sender, connection) = handshake.map_err(|_| Outcome::Broken)?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer hears of the trouble.
            drop(connection.await);
        });
        Ok(Self { sender, driver: driver.abort_handle(), since: Instant::now() })
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    fn is_good(&self) -> bool {
        !self.sender.is_closed() && self.since.elapsed() < LONGEST_LIFE
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Idle connections to one target.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Connection>>);

impl Pool {
    /// One that may be used.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(Connection::is_good);
        kept.pop()
    }

    /// Keeps one whose answer was read to its end.
    pub(super) fn keep(&self, connection: Connection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_KEPT && connection.is_good() {
            kept.push(connection);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}
