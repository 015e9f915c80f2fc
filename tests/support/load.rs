//! Writers that go on until told to stop, whatever happens to the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};
use tokio_postgres::Client;

use super::{chance::Chance, world::try_connect};

/// How long a writer waits for a server that is not there before it tries again.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);
/// How long a writer rests between transactions: load, and on two processors something left for the others.
const REST: Duration = Duration::from_millis(3);

/// The writers.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts this many connections that insert into `outbox` and roll some of it back.
    pub(crate) fn start(url: &str, writers: u64, seed: u64) -> Self {
        let (stop, transactions) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let write = |number| {
            let (url, stop, transactions) = (url.to_owned(), Arc::clone(&stop), Arc::clone(&transactions));
            tokio::spawn(Box::pin(async move {
                let mut chance = Chance::new(seed.wrapping_add(number));
                while !stop.load(Relaxed) {
                    if let Ok(client) = try_connect(&url).await {
                        while !stop.load(Relaxed) && transaction(&client, &mut chance).await.is_ok() {
                            transactions.fetch_add(1, Relaxed);
                            sleep(REST).await;
                        }
                    } else {
                        sleep(BETWEEN_ATTEMPTS).await;
                    }
                }
            }))
        };
        Self { tasks: (0..writers).map(write).collect(), stop, transactions }
    }

    /// How many transactions have ended well.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions.load(Relaxed)
    }

    /// Stops when every transaction that has begun has ended.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Mostly one event or a few, sometimes a burst; one in ten never happened.
async fn transaction(client: &Client, chance: &mut Chance) -> Result<(), tokio_postgres::Error> {
    let events = if chance.percent(10) { 20 + chance.below(200) } else { 1 + chance.below(5) };
    let end = if chance.percent(10) { "ROLLBACK" } else { "COMMIT" };
    let insert = format!(
        "BEGIN; INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
         SELECT gen_random_uuid(), 'order', n::text, 'placed', jsonb_build_object('n', n)
         FROM generate_series(1, {events}) n; {end}"
    );
    client.batch_execute(&insert).await
}
