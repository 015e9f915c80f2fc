//! One endpoint, as one instance has it: waits until nobody else delivers, delivers, and lets go.
//!
//! Whoever writes the record delivers (`docs/adr/0017-webhooks-by-one-ledger-an-endpoint.md`). An instance that sees the same
//! record for a whole lease, by its own clock, writes itself in; whoever is refused, or could not write for two thirds of a
//! lease, lets go of everything.

mod attempt;
mod desk;
mod pace;
mod wishes;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::desk::{Desk, Ended};
use super::{
    client::HttpClient,
    endpoint::{Endpoint, Start},
    stats::EndpointStats,
    store::{Record, SaveError, Store, StoreError, Written},
};

/// How often one looks whether the owner is alive: several times in a lease, and not more often than that is worth.
const GLANCES_IN_A_LEASE: u32 = 10;
/// The shortest time between two glances.
const SHORTEST_GLANCE: Duration = Duration::from_millis(100);
/// The longest time between two glances.
const LONGEST_GLANCE: Duration = Duration::from_secs(2);
/// How long to wait after JetStream did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// What it takes to serve one endpoint.
#[derive(Debug)]
pub(super) struct Worker {
    /// Who is served.
    pub(super) endpoint: Arc<Endpoint>,
    /// Where everything is kept.
    pub(super) store: Store,
    /// The way out.
    pub(super) client: Arc<HttpClient>,
    /// The name of the outbox stream.
    pub(super) stream: String,
    /// Who we are.
    pub(super) me: String,
    /// How long an owner that says nothing keeps the endpoint.
    pub(super) lease: Duration,
    /// What others look at.
    pub(super) stats: Arc<EndpointStats>,
}

impl Worker {
    /// Serves until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let worker = Arc::new(self);
        let endpoint = &worker.endpoint.name;
        while !stop.is_cancelled() {
            let turn = worker.one_turn(&stop).await;
            worker.stats.let_go();
            match turn {
                Ok(()) => {}
                Err(SaveError::Overtaken) => {
                    tracing::warn!(%endpoint, "another instance delivers to this endpoint now");
                }
                Err(SaveError::Store(error)) => {
                    worker.stats.trouble();
                    tracing::warn!(%endpoint, %error, action = "nothing if it passes: everything is in JetStream, and goes on", "webhooks wait for JetStream");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = sleep(PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Waits for its turn, and delivers as long as that lasts.
    async fn one_turn(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), SaveError> {
        let Some(held) = self.until_ours(stop).await? else { return Ok(()) };
        let endpoint = &self.endpoint.name;
        tracing::info!(%endpoint, read = held.value.ledger.read, open = held.value.ledger.open.len(), "delivering");
        self.stats.hold();
        let desk = Desk::open(Arc::clone(self), held).await?;
        match desk.deliver(stop).await? {
            Ended::LetGo => tracing::info!(%endpoint, "let go in order"),
            Ended::Late => tracing::warn!(%endpoint, "the endpoint was let go: JetStream took no news of it in time"),
        }
        Ok(())
    }

    /// Waits until nobody delivers, and writes itself in; none if it was told to stop before.
    async fn until_ours(&self, stop: &CancellationToken) -> Result<Option<Written<Record>>, SaveError> {
        let glance = (self.lease / GLANCES_IN_A_LEASE).clamp(SHORTEST_GLANCE, LONGEST_GLANCE);
        let mut last: Option<(u64, Instant)> = None;
        loop {
            let before = Instant::now();
            let seen = self.store.record(&self.endpoint.name).await?;
            if let Some(record) = seen.as_ref().map(|seen| &seen.value)
                && !record.is_known()
            {
                let why = "it was written by a later version of walpost";
                return Err(StoreError::new("read what is kept of an endpoint", why).into());
            }
            let revision = seen.as_ref().map_or(0, |seen| seen.revision);
            let is_held =
                seen.as_ref().is_some_and(|seen| seen.value.owner.as_ref().is_some_and(|owner| *owner != self.me));
            // The clock begins before the question: the owner may have written just behind the answer.
            let since = last.filter(|(known, _)| *known == revision).map_or(before, |(_, since)| since);
            if !is_held || since.elapsed() >= self.lease {
                let record = self.written_in(seen.map(|seen| seen.value)).await?;
                match self.store.save(&self.endpoint.name, revision, &record).await {
                    Ok(revision) => return Ok(Some(Written { revision, value: record })),
                    // Somebody else was faster.
                    Err(SaveError::Overtaken) => {}
                    Err(error) => return Err(error),
                }
            }
            last = Some((revision, since));
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = sleep(glance) => {}
            }
        }
    }

    /// The record with us as its owner; a new one if there was none.
    async fn written_in(&self, there: Option<Record>) -> Result<Record, StoreError> {
        let outbox = self.store.outbox().await?;
        let mut record = match (there, self.endpoint.start) {
            (Some(record), _) => record,
            (None, Start::All) => Record::begin(0, None, outbox.created_ns),
            (None, Start::New) => {
                let (last, stored_ns) = (outbox.last_sequence, outbox.last_stored_ns);
                Record::begin(last, stored_ns, outbox.created_ns)
            }
        };
        if !self.store.is_of_stream(&record, &outbox).await? {
            let why = "the outbox stream was made anew, and its sequences mean something else now; to begin anew with it, \
                       purge the subject of the endpoint's state in the stream of webhooks (docs/guides/webhooks.md)";
            return Err(StoreError::new("go on", why));
        }
        if record.ledger.read > outbox.last_sequence {
            let (endpoint, read, last) = (&self.endpoint.name, record.ledger.read, outbox.last_sequence);
            tracing::warn!(%endpoint, read, last, "the outbox stream lost its end; what takes its place is sent");
            record.ledger.read = last;
            record.clear = record.clear.min(last);
            record.read_stored_ns = outbox.last_stored_ns;
            record.ledger.open.retain(|open| open.0 <= last);
        }
        record.stream_created_ns = outbox.created_ns;
        record.owner = Some(self.me.clone());
        record.beat += 1;
        Ok(record)
    }
}
