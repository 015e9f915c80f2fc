//! Commits numbered events at a steady rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_postgres::NoTls;

/// How often it wakes.
const TICK: Duration = Duration::from_millis(5);

/// A task with a session of its own.
pub(crate) struct Producer {
    committed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Producer {
    /// Begins to commit this many events a second, one a transaction.
    pub(crate) async fn start(url: &str, per_second: u32) -> Self {
        let (client, connection) = Box::pin(tokio_postgres::connect(url, NoTls)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
        let insert = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                      VALUES (gen_random_uuid(), 'order', ($1::int8 % 1000)::text, 'placed',
                              jsonb_build_object('n', $1::int8, 'note', repeat('x', 200)))";
        let insert = client.prepare(insert).await.unwrap();
        let (committed, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, end) = (Arc::clone(&committed), Arc::clone(&stop));
        let per_tick = per_second / u32::try_from(Duration::from_secs(1).as_millis() / TICK.as_millis()).unwrap();
        let task = tokio::spawn(async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut number = 0i64;
            while !end.load(Relaxed) {
                ticks.tick().await;
                for _ in 0..per_tick.max(1) {
                    number += 1;
                    client.execute(&insert, &[&number]).await.unwrap();
                    count.fetch_add(1, Relaxed);
                }
            }
        });
        Self { committed, stop, task }
    }

    /// How many are committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Relaxed)
    }

    /// Ends it; how many were committed.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.task.await.unwrap();
        self.committed.load(Relaxed)
    }
}
