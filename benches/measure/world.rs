//! Private servers, set up, and what everybody asks of them.

use std::{cell::Cell, process::Command, time::Duration};

use async_nats::jetstream::{self, stream::Stream};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use walpost::sandbox::servers::{NatsOptions, Places, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres};

use crate::{
    support::daemon::{Daemon, Settings},
    usage::cpu_seconds_of_family,
};

/// The stream that setup makes.
pub(crate) const STREAM: &str = "OUTBOX";
/// How often the stream is asked how far it is: seldom enough that it costs nothing, often enough for times of seconds.
const GLANCE: Duration = Duration::from_millis(5);
/// How often a new stream may have messages of the one before.
const MOST_LEFTOVERS: u32 = 20;
/// How long the broker may take for what it does in a moment with a small stream, such as deleting it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Postgres that syncs to disk, a NATS server as it is by default, and walpost's configuration for them.
pub(crate) struct World {
    pub(crate) postgres: PrivatePostgres,
    pub(crate) nats: PrivateNats,
    pub(crate) binaries: PostgresBinaries,
    pub(crate) settings: Settings,
    pub(crate) sql: Client,
    pub(crate) jetstream: jetstream::Context,
    /// How many slots there have been: walpost never takes a new one for an old one of the same name.
    slots: Cell<u32>,
}

impl World {
    /// Starts both servers and sets them up, on a disk that has nothing left to write: who commits would wait for it.
    pub(crate) async fn begin() -> Self {
        assert!(Command::new("sync").status().unwrap().success());
        let binaries = PostgresBinaries::find(&Places::from_environment()).unwrap();
        let options = PostgresOptions::default().binaries(binaries.clone());
        // The sandbox spares the disk, as tests wish; here a commit costs what it costs. Checkpoints would come in between.
        let options = options.setting("fsync", "on").setting("max_wal_size", "16GB");
        let postgres = PrivatePostgres::start(options).await.unwrap();
        let nats = PrivateNats::start(NatsOptions::default()).await.unwrap();
        let settings = Settings::new(&postgres.url(), &nats.url()).with("LOG_LEVEL", "warn");
        settings.set_up().await;
        let sql = postgres.connect().await.unwrap();
        sql.batch_execute(include_str!("workload.sql")).await.unwrap();
        let mut jetstream = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
        jetstream.set_timeout(PATIENCE);
        Self { postgres, nats, binaries, settings, sql, jetstream, slots: Cell::new(0) }
    }

    /// The stream as it is now.
    pub(crate) async fn stream(&self) -> Stream {
        Box::pin(self.jetstream.get_stream(STREAM)).await.unwrap()
    }

    /// Has the stream empty, as if it had just been made. On a busy disk nats-server 2.15.1 now and then takes the messages of one
    /// that was deleted for those of the new one.
    pub(crate) async fn new_stream(&self) {
        let config = self.stream().await.cached_info().config.clone();
        for _ in 0..MOST_LEFTOVERS {
            self.jetstream.delete_stream(STREAM).await.unwrap();
            let created = Box::pin(self.jetstream.create_stream(config.clone())).await.unwrap();
            if created.cached_info().state.last_sequence == 0 {
                return;
            }
        }
        panic!("each new stream has messages of the old one");
    }

    /// Waits until the stream holds so many, which a walpost that runs delivers.
    pub(crate) async fn until_stored(&self, daemon: &mut Daemon, events: u64) {
        let mut stream = self.stream().await;
        while stream.info().await.unwrap().state.messages < events {
            assert_eq!(daemon.exit_code(), None, "walpost ended too early: {}", daemon.log());
            sleep(GLANCE).await;
        }
    }

    /// CPU seconds that Postgres and the broker have used so far.
    pub(crate) fn cpu_seconds_of_servers(&self) -> [f64; 2] {
        [self.postgres.pid(), self.nats.pid()].map(|process| cpu_seconds_of_family(process.unwrap()))
    }

    /// A name for one more slot.
    pub(crate) fn slot_name(&self) -> String {
        self.slots.set(self.slots.get() + 1);
        format!("copy_{}", self.slots.get())
    }

    /// Where the log ends now.
    pub(crate) async fn log_end(&self) -> String {
        self.sql.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0)
    }

    /// How many bytes of log came since this position.
    pub(crate) async fn log_since(&self, position: &str) -> f64 {
        let sql = "SELECT (pg_current_wal_flush_lsn() - $1::text::pg_lsn)::float8";
        self.sql.query_one(sql, &[&position]).await.unwrap().get(0)
    }
}

/// How long walpost takes from the start of the process until it leads, in seconds; and the process.
pub(crate) async fn start_up(settings: &Settings) -> (f64, Daemon) {
    let begun = Instant::now();
    let mut daemon = settings.start();
    while !daemon.get("/ready").await.is_some_and(|page| page.code == 200 && page.body == "leading\n") {
        assert_eq!(daemon.exit_code(), None, "walpost ended too early: {}", daemon.log());
        sleep(Duration::from_millis(1)).await;
    }
    (begun.elapsed().as_secs_f64(), daemon)
}
