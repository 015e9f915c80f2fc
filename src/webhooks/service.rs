//! The role of webhooks: a worker for each endpoint, until told to stop.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::task::JoinSet;
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

/// What it takes to serve.
#[derive(Debug)]
pub struct Service {
    /// Where everything is kept.
    pub store: Store,
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

    /// Serves until told to stop. `stats` are those of [`Service::stats`].
    pub async fn run(&self, stats: &[Arc<EndpointStats>], stop: &CancellationToken) -> Result<(), SetupError> {
        self.store.check().await?;
        let me = Uuid::new_v4().to_string();
        let mut workers = JoinSet::new();
        for (endpoint, stats) in self.served().zip(stats) {
            let worker = Worker {
                endpoint: Arc::clone(endpoint),
                store: self.store.clone(),
                client: Arc::new(self.client(endpoint)),
                stream: self.stream.clone(),
                me: me.clone(),
                lease: self.lease,
                stats: Arc::clone(stats),
            };
            workers.spawn(worker.run(stop.clone()));
        }
        while workers.join_next().await.is_some() {}
        Ok(())
    }

    /// The way to an endpoint.
    pub fn client(&self, endpoint: &Endpoint) -> HttpClient {
        let patience = Patience { connect: CONNECT_PATIENCE, total: endpoint.timeout };
        let (target, guard) = (endpoint.target.clone(), self.guard.clone());
        HttpClient::new(target, guard, Resolver::system(), Arc::clone(&self.tls), patience)
    }
}
