//! A worker for each endpoint that is served; endpoints come, change and go meanwhile.
//!
//! An endpoint has one worker at a time. One whose endpoint changed lets go in order, and the next begins when it has ended:
//! both write in the same name, so that the record would not tell them apart.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{Endpoint, EndpointName},
    worker::Worker,
};

/// The workers of one process.
#[derive(Debug)]
pub(super) struct Crew {
    tasks: JoinSet<()>,
    hands: HashMap<Id, Hand>,
    stop: CancellationToken,
}

/// One worker.
#[derive(Debug)]
struct Hand {
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
}

impl Crew {
    /// Nobody yet; `stop` ends everybody.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), hands: HashMap::new(), stop }
    }

    /// Has these served, as they are, and no others; those that somebody works for in another form, or not any more, when
    /// that one has ended. To be called again then.
    pub(super) fn arrange(&mut self, wanted: &[Arc<Endpoint>], worker_for: impl Fn(&Arc<Endpoint>) -> Worker) {
        let is_wanted = |hand: &Hand| wanted.iter().any(|endpoint| Arc::ptr_eq(endpoint, &hand.endpoint));
        for hand in self.hands.values().filter(|hand| !is_wanted(hand)) {
            hand.stop.cancel();
        }
        let busy: BTreeSet<EndpointName> = self.hands.values().map(|hand| hand.endpoint.name.clone()).collect();
        for endpoint in wanted.iter().filter(|endpoint| !busy.contains(&endpoint.name)) {
            let hand = Hand { endpoint: Arc::clone(endpoint), stop: self.stop.child_token() };
            let task = self.tasks.spawn(worker_for(endpoint).run(hand.stop.clone()));
            self.hands.insert(task.id(), hand);
        }
    }

    /// Waits until somebody has ended; forever if nobody works.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => drop(self.hands.remove(&id)),
            Some(Err(error)) => drop(self.hands.remove(&error.id())),
            None => std::future::pending().await,
        }
    }

    /// Ends everybody, in order.
    pub(super) async fn dismiss(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
