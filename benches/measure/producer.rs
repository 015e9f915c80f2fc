//! Commits numbered events, one a transaction, at a steady rate or as fast as it can.
//!
//! A session that is late catches up and leaves nothing out: the load does not get smaller because the servers are slow.
//! Each row carries the moment of its insert.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_postgres::{Client, NoTls};

use crate::percentiles::now_us;

/// The load of an application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Events a second; as many as possible if not given.
    pub(crate) per_second: Option<u32>,
    /// Over how many sessions. With one, the numbers rise in the order of commits.
    pub(crate) sessions: u32,
    /// Whether a commit waits for the disk.
    pub(crate) synchronous: bool,
}

/// A thread with sessions of its own, so that nothing else waits for it.
pub(crate) struct Producer {
    committed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Commit>>,
}

/// A transaction as the application sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    /// When it was done, by the clock of the row.
    pub(crate) at_us: u64,
    /// How long it took: the insert, and the commit.
    pub(crate) took_us: u64,
}

impl Producer {
    /// One session whose commits do not wait for the disk.
    pub(crate) fn steady(url: &str, per_second: u32) -> Self {
        Self::start(url, Pace { per_second: Some(per_second), sessions: 1, synchronous: false })
    }

    /// Begins to commit.
    pub(crate) fn start(url: &str, pace: Pace) -> Self {
        let (committed, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, end, url) = (Arc::clone(&committed), Arc::clone(&stop), url.to_owned());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let numbers = AtomicU64::new(1);
            runtime.block_on(async {
                let clients = join_all((0..pace.sessions).map(|_| connect(&url, pace.synchronous))).await;
                let begin = Instant::now();
                let session = |(client, place)| commit(client, pace.ticks(begin, place), (&numbers, &count, &end));
                join_all(clients.into_iter().zip(0..).map(session)).await.concat()
            })
        });
        Self { committed, stop, thread }
    }

    /// How many are committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Relaxed)
    }

    /// Ends it; how many were committed.
    pub(crate) async fn stop(self) -> u64 {
        u64::try_from(self.commits().await.len()).unwrap()
    }

    /// Ends it; what was committed, in no order.
    pub(crate) async fn commits(self) -> Vec<Commit> {
        self.stop.store(true, Relaxed);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap()
    }
}

impl Pace {
    /// When a session commits; the sessions take turns.
    fn ticks(self, begin: Instant, place: u32) -> Option<Interval> {
        let turn = Duration::from_secs(1) / self.per_second?;
        let mut ticks = interval_at(begin + turn * place, turn * self.sessions);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Some(ticks)
    }
}

async fn connect(url: &str, synchronous: bool) -> Client {
    let (client, connection) = Box::pin(tokio_postgres::connect(url, NoTls)).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    if !synchronous {
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
    }
    client
}

async fn commit(
    client: Client,
    mut ticks: Option<Interval>,
    (numbers, committed, end): (&AtomicU64, &AtomicU64, &AtomicBool),
) -> Vec<Commit> {
    let mut commits = Vec::new();
    let insert = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                  VALUES (gen_random_uuid(), 'order', ($1::int8 % 1000)::text, 'placed',
                          jsonb_build_object('n', $1::int8, 'us', (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
                                             'note', repeat('x', 200)))";
    let insert = client.prepare(insert).await.unwrap();
    while !end.load(Relaxed) {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let number = i64::try_from(numbers.fetch_add(1, Relaxed)).unwrap();
        let begun = Instant::now();
        client.execute(&insert, &[&number]).await.unwrap();
        committed.fetch_add(1, Relaxed);
        commits.push(Commit { at_us: now_us(), took_us: begun.elapsed().as_micros().try_into().unwrap() });
    }
    commits
}
