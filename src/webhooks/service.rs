//! The role of webhooks: a worker for each endpoint, until told to stop.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    address::Guard,
    board::Board,
    client::{HttpClient, Patience, Resolver},
    crew::Crew,
    endpoint::Endpoint,
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

/// Who is to be served. An endpoint that did not change is the same `Arc` as before.
#[derive(Clone, Debug)]
pub enum Roster {
    /// Nobody knows yet.
    Unknown,
    /// These.
    Known(Vec<Arc<Endpoint>>),
}

/// What it takes to serve.
#[derive(Debug)]
pub struct Service {
    /// The name of the outbox stream.
    pub stream: String,
    /// What may be connected to.
    pub guard: Guard,
    /// How connections are encrypted.
    pub tls: Arc<ClientConfig>,
    /// How long an owner that says nothing keeps an endpoint.
    pub lease: Duration,
    /// What others look at.
    pub board: Arc<Board>,
}

impl Service {
    /// Serves until told to stop, or until there was no connection for long. `roster` tells whom, at any time.
    pub async fn run(
        &self,
        store: &Store,
        mut roster: watch::Receiver<Roster>,
        stop: &CancellationToken,
    ) -> Result<Served, SetupError> {
        store.check().await?;
        let me = Uuid::new_v4().to_string();
        let mut crew = Crew::new(stop.child_token());
        let mut cut_off_since = None;
        let mut wanted = self.wanted(&roster.borrow_and_update());
        loop {
            crew.arrange(&wanted, |endpoint| self.worker(endpoint, store, &me));
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    crew.dismiss().await;
                    return Ok(Served::Stopped);
                }
                () = changed(&mut roster) => wanted = self.wanted(&roster.borrow_and_update()),
                () = crew.one_ended() => {}
                () = sleep(CONNECTION_GLANCE) => {}
            }
            if store.is_connected() {
                cut_off_since = None;
            } else if cut_off_since.get_or_insert_with(Instant::now).elapsed() >= self.lease * LEASES_WITHOUT_CONNECTION
            {
                crew.dismiss().await;
                return Ok(Served::CutOff);
            }
        }
    }

    /// Who is served, of those that there are; the board knows them from then on.
    fn wanted(&self, roster: &Roster) -> Vec<Arc<Endpoint>> {
        let Roster::Known(endpoints) = roster else { return Vec::new() };
        let served: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.is_enabled).map(Arc::clone).collect();
        for endpoint in &served {
            self.board.of(&endpoint.name);
        }
        self.board.keep_only(&served.iter().map(|endpoint| endpoint.name.clone()).collect());
        served
    }

    fn worker(&self, endpoint: &Arc<Endpoint>, store: &Store, me: &str) -> Worker {
        Worker {
            endpoint: Arc::clone(endpoint),
            store: store.clone(),
            client: Arc::new(self.client(endpoint)),
            stream: self.stream.clone(),
            me: me.to_owned(),
            lease: self.lease,
            stats: self.board.of(&endpoint.name),
        }
    }

    /// The way to an endpoint.
    pub fn client(&self, endpoint: &Endpoint) -> HttpClient {
        let patience = Patience { connect: CONNECT_PATIENCE, total: endpoint.timeout };
        let (target, guard) = (endpoint.target.clone(), self.guard.clone());
        HttpClient::new(target, guard, Resolver::system(), Arc::clone(&self.tls), patience)
    }
}

/// Waits for another roster; forever if nobody is left to give one.
async fn changed(roster: &mut watch::Receiver<Roster>) {
    if roster.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
