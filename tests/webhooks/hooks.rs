//! Receivers that write down what they are sent, and answer as a test wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

/// The secret of all endpoints here.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    /// `webhook-id`.
    pub(crate) id: String,
    /// `walpost-sequence`.
    pub(crate) sequence: u64,
    /// `walpost-aggregate-id`.
    pub(crate) aggregate: String,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Value,
    /// What was answered.
    pub(crate) status: u16,
}

/// A receiver on this machine.
pub(crate) struct Hooks {
    port: u16,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    hooks: Mutex<Vec<Hook>>,
    /// What it answers; 0 means 500 every third time.
    status: AtomicU16,
    delay: Duration,
}

impl Hooks {
    /// One that answers with this status, after this time.
    pub(crate) async fn start(status: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner { hooks: Mutex::default(), status: AtomicU16::new(status), delay });
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, inner, task }
    }

    /// The port that it listens at.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// From now on it answers with this.
    pub(crate) fn answer(&self, status: u16) {
        self.inner.status.store(status, Relaxed);
    }

    /// Everything that it was sent, in order.
    pub(crate) fn all(&self) -> Vec<Hook> {
        self.inner.hooks.lock().unwrap().clone()
    }

    /// What it took, by id.
    pub(crate) fn taken(&self) -> BTreeSet<String> {
        self.all().into_iter().filter(|hook| (200..300).contains(&hook.status)).map(|hook| hook.id).collect()
    }

    /// Of each aggregate, what came for the first time came in order.
    pub(crate) fn assert_first_arrivals_in_order(&self) {
        let mut highest: BTreeMap<String, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for hook in self.all().into_iter().filter(|hook| seen.insert(hook.id.clone())) {
            let before = highest.insert(hook.aggregate.clone(), hook.sequence).unwrap_or(0);
            assert!(before < hook.sequence, "{} came first after {before}", hook.sequence);
        }
    }

    /// Of each aggregate, what was sent never went back behind what had been taken, and nothing was passed over.
    pub(crate) fn assert_order(&self, sequences: &BTreeMap<String, Vec<u64>>) {
        let mut sent: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for hook in self.all() {
            sent.entry(hook.aggregate).or_default().push(hook.sequence);
        }
        for (aggregate, sent) in &mut sent {
            assert!(sent.is_sorted(), "{aggregate}: {sent:?}");
            sent.dedup();
        }
        assert_eq!(&sent, sequences);
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    sleep(inner.delay).await;
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap();
    let is_signed = Webhook::new(SECRET).unwrap().verify(&body, &headers).is_ok();
    let mut hooks = inner.hooks.lock().unwrap();
    let status = match inner.status.load(Relaxed) {
        _ if !is_signed => 401,
        0 if hooks.len() % 3 == 0 => 500,
        0 => 200,
        status => status,
    };
    hooks.push(Hook {
        id: text("webhook-id"),
        sequence: text("walpost-sequence").parse().unwrap(),
        aggregate: text("walpost-aggregate-id"),
        body: serde_json::from_slice(&body).unwrap(),
        headers,
        status,
    });
    StatusCode::from_u16(status).unwrap()
}
