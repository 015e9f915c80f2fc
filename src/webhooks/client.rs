//! Sending one request: the only place where a connection to an endpoint is made.
//!
//! A name is resolved here, every address that it gives is judged by the guard, and the connection is made to an address
//! that was admitted: a name that gives another address a moment later gives it to nobody. There are no redirects, no
//! proxies, no cookies, and no HTTP but 1.1. What a receiver can make us hold or wait for is bounded.

mod connect;
mod pool;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header};
use jiff::Timestamp;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout, timeout_at};

pub use self::connect::{Lookup, Resolver, TlsRootsError, admitted, tls_config};
use self::{connect::Connector, pool::Pool};
use super::{address::Guard, retry::retry_after, target::Target, verdict::Outcome};

/// What we call ourselves.
const USER_AGENT: &str = concat!("walpost/", env!("CARGO_PKG_VERSION"));
/// How much of an answer is read; its status is all that counts.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// How long the rest of an answer is waited for behind its status, so that the connection can be used again.
const REST_PATIENCE: Duration = Duration::from_secs(1);

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection, encrypted if it is to be.
    pub connect: Duration,
    /// Until there is an answer, everything included.
    pub total: Duration,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Headers besides those of HTTP itself.
    pub headers: Vec<(String, String)>,
    /// The media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// Sends to one endpoint.
#[derive(Debug)]
pub struct HttpClient {
    target: Target,
    connector: Connector,
    pool: Pool,
    patience: Patience,
}

impl HttpClient {
    /// A client for `target`.
    pub fn new(target: Target, guard: Guard, resolver: Resolver, tls: Arc<ClientConfig>, patience: Patience) -> Self {
        let connector = Connector::new(&target, guard, resolver, tls);
        Self { target, connector, pool: Pool::default(), patience }
    }

    /// Sends one request and waits for the status of its answer.
    pub async fn post(&self, delivery: &Delivery) -> Outcome {
        let deadline = Instant::now() + self.patience.total;
        match timeout_at(deadline, self.try_post(delivery)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(failed)) => failed,
            Err(_) => Outcome::TimedOut,
        }
    }

    async fn try_post(&self, delivery: &Delivery) -> Result<Outcome, Outcome> {
        // The other side may have closed a connection that was kept; that is no failure of its own. What was sent over it
        // may have arrived, and arrives then again, with the same id.
        if let Some(mut kept) = self.pool.take()
            && let Ok(response) = kept.send(self.request(delivery)?).await
        {
            return Ok(self.conclude(kept, response).await);
        }
        let connecting = timeout(self.patience.connect, self.connector.connect());
        let mut fresh = connecting.await.map_err(|_| Outcome::TimedOut)??;
        let response = fresh.send(self.request(delivery)?).await.map_err(|_| Outcome::Broken)?;
        Ok(self.conclude(fresh, response).await)
    }

    /// The status decides. The rest is read if there is little of it, and thrown away.
    async fn conclude(&self, connection: pool::Connection, response: Response<Incoming>) -> Outcome {
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let outcome = Outcome::Answered {
            status: response.status().as_u16(),
            retry_after: wait.and_then(|value| retry_after(value, Timestamp::now())),
        };
        if let Ok(true) = timeout(REST_PATIENCE, is_drained(response.into_body())).await {
            self.pool.keep(connection);
        }
        outcome
    }

    fn request(&self, delivery: &Delivery) -> Result<Request<Full<Bytes>>, Outcome> {
        let mut request = Request::post(self.target.path())
            .header(header::HOST, self.target.authority())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONTENT_TYPE, delivery.content_type);
        for (name, value) in &delivery.headers {
            request = request.header(name, value);
        }
        // Names and values were judged when they were configured or read; one that HTTP cannot carry is not sent.
        request.body(Full::new(delivery.body.clone())).map_err(|_| Outcome::Broken)
    }
}

/// Reads a body to its end; false if it is too long or broken.
async fn is_drained(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MAX_ANSWER_BYTES {
            return false;
        }
    }
    true
}
