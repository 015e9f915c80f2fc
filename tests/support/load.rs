//! Writers that go on until told to stop, whatever happens to the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};

use super::{chance::Chance, stage::EVENT, world::try_connect};

/// How long a writer waits for a server that is not there before it tries again.
pub(crate) const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);
/// How long a writer rests between transactions: load, and on two processors something left for the others.
const REST: Duration = Duration::from_millis(3);

/// The writers.
#[derive(Debug)]
pub(crate) struct Load {
    turn: Turn,
    tasks: Vec<JoinHandle<()>>,
}

/// What writers share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
}

impl Turn {
    /// Whether a writer should end.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// A transaction has ended well.
    pub(crate) fn done(&self) {
        self.transactions.fetch_add(1, Relaxed);
    }
}

impl Load {
    /// Starts this many connections that insert into `outbox` and roll some of it back.
    pub(crate) fn start(url: &str, writers: u64, seed: u64) -> Self {
        Self::of(writers, |number, turn| {
            let (url, mut chance) = (url.to_owned(), Chance::new(seed.wrapping_add(number)));
            async move { write(&url, &turn, || transaction(&mut chance)).await }
        })
    }

    /// Starts this many connections that record one event after the other, each in a transaction of its own.
    pub(crate) fn events(url: &str, writers: u64) -> Self {
        Self::of(writers, |_, turn| {
            let url = url.to_owned();
            async move { write(&url, &turn, || EVENT.to_owned()).await }
        })
    }

    /// Starts this many writers of any kind, each with its number.
    pub(crate) fn of<W: Future<Output = ()> + Send + 'static>(writers: u64, write: impl Fn(u64, Turn) -> W) -> Self {
        let turn = Turn::default();
        let tasks = (0..writers).map(|number| tokio::spawn(Box::pin(write(number, turn.clone())))).collect();
        Self { turn, tasks }
    }

    /// How many transactions have ended well, as far as the writers know.
    pub(crate) fn transactions(&self) -> u64 {
        self.turn.transactions.load(Relaxed)
    }

    /// Stops when every transaction that has begun has ended.
    pub(crate) async fn stop(self) {
        self.turn.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Executes one transaction after the other until told to stop, on one connection after the other.
async fn write(url: &str, turn: &Turn, mut transaction: impl FnMut() -> String) {
    while !turn.is_over() {
        if let Ok(client) = try_connect(url).await {
            while !turn.is_over() && client.batch_execute(&transaction()).await.is_ok() {
                turn.done();
                sleep(REST).await;
            }
        } else {
            sleep(BETWEEN_ATTEMPTS).await;
        }
    }
}

/// Mostly one event or a few, sometimes a burst; one in ten never happened.
fn transaction(chance: &mut Chance) -> String {
    let events = if chance.percent(10) { 20 + chance.below(200) } else { 1 + chance.below(5) };
    let end = if chance.percent(10) { "ROLLBACK" } else { "COMMIT" };
    format!(
        "BEGIN; INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
         SELECT gen_random_uuid(), 'order', n::text, 'placed', jsonb_build_object('n', n)
         FROM generate_series(1, {events}) n; {end}"
    )
}
