//! The role of webhooks: a worker for each endpoint, until told to stop.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    address::Guard,
    client::{HttpClient, Patience, Resolver},
    endpoint::Endpoint,
    stats::EndpointStats,
    store::{SetupError, Store},
    worker::Worker,
};

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// How often one looks whether there is a connection.
const CONNECTION_GLANCE: Duration = Duration::from_millis(500);
/// For how many leases a client may try to come back by itself: its login may have been renewed meanwhile, and it knows only
/// the one that it had. Others have its endpoints by then.
const LEASES_WITHOUT_CONNECTION: u32 = 3;

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It was told to stop.
    Stopped,
    /// There was no connection for long: another one is to be made.
    CutOff,
}

/// What it takes to serve.
#[derive(Debug)]
pub struct Service {
    /// The name of the outbox stream.
    pub stream: String,
    /// Who is served.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What may be connected to.
    pub guard: Guard,
    /// How connections are encrypted.
    pub tls: Arc<ClientConfig>,
    /// How long an owner that says nothing keeps an endpoint.
    pub lease: Duration,
}

impl Service {
    /// The counters of the endpoints that are served.
    pub fn stats(&self) -> Vec<Arc<EndpointStats>> {
        self.served().map(|endpoint| Arc::new(EndpointStats::new(endpoint.name.clone()))).collect()
    }

    fn served(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter().filter(|endpoint| endpoint.is_enabled)
    }

    /// Serves until told to stop, or until there was no connection for long. `stats` are those of [`Service::stats`].
    pub async fn run(
        &self,
        store: &Store,
        stats: &[Arc<EndpointStats>],
        stop: &CancellationToken,
    ) -> Result<Served, SetupError> {
        store.check().await?;
        let (me, stop) = (Uuid::new_v4().to_string(), stop.child_token());
        let mut workers = JoinSet::new();
        for (endpoint, stats) in self.served().zip(stats) {
            let worker = Worker {
                endpoint: Arc::clone(endpoint),
                store: store.clone(),
                client: Arc::new(self.client(endpoint)),
                stream: self.stream.clone(),
                me: me.clone(),
                lease: self.lease,
                stats: Arc::clone(stats),
            };
            workers.spawn(worker.run(stop.clone()));
        }
        let mut cut_off_since = None;
        loop {
            tokio::select! {
                ended = workers.join_next() => if ended.is_none() { return Ok(Served::Stopped) },
                () = sleep(CONNECTION_GLANCE) => {}
            }
            if store.is_connected() {
                cut_off_since = None;
            } else if cut_off_since.get_or_insert_with(Instant::now).elapsed() >= self.lease * LEASES_WITHOUT_CONNECTION
            {
                stop.cancel();
                while workers.join_next().await.is_some() {}
                return Ok(Served::CutOff);
            }
        }
    }

    /// The way to an endpoint.
    pub fn client(&self, endpoint: &Endpoint) -> HttpClient {
        let patience = Patience { connect: CONNECT_PATIENCE, total: endpoint.timeout };
        let (target, guard) = (endpoint.target.clone(), self.guard.clone());
        HttpClient::new(target, guard, Resolver::system(), Arc::clone(&self.tls), patience)
    }
}
