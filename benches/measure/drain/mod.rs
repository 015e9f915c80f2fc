//! A backlog, and those who drain it: each gets a copy of the same slot, and so the same log.

mod jetstream;
mod pg_recvlogical;
pub(crate) mod probe;
mod walpost;
mod window;

use std::time::Duration;

use tokio::time::sleep;

pub(crate) use self::{jetstream::id, walpost::Status};
use crate::{support::daemon::Settings, world::World};

/// What a backlog consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) events: u32,
    pub(crate) per_transaction: u32,
    /// How many aggregates they belong to, by turns.
    pub(crate) keys: u32,
    /// The size of a payload; that of the workload if not given.
    pub(crate) payload_bytes: Option<u32>,
}

/// The shape of the workload, apart from the number of events.
pub(crate) const WORKLOAD: Shape = Shape { events: 0, per_transaction: 100, keys: 10_000, payload_bytes: None };

/// Log with a slot at its beginning.
pub(crate) struct Backlog<'a> {
    pub(crate) world: &'a World,
    /// With what walpost drains it, apart from the slot.
    settings: Settings,
    events: u32,
    /// Where the log ends.
    end: String,
    /// How large the log is.
    pub(crate) log_bytes: f64,
}

impl<'a> Backlog<'a> {
    /// Makes it, in place of the one before.
    pub(crate) async fn make(world: &'a World, shape: Shape) -> Self {
        let sql = &world.sql;
        // Nothing comes in between by itself: what it costs would be somebody's figure by chance.
        let fresh = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; \
                     ALTER TABLE outbox SET (autovacuum_enabled = off); TRUNCATE outbox; CHECKPOINT;";
        sql.batch_execute(fresh).await.unwrap();
        sql.batch_execute("SELECT pg_create_logical_replication_slot('base', 'pgoutput')").await.unwrap();
        // By itself: a procedure that commits must not stand in a transaction, and several statements together are one.
        sql.batch_execute("SET synchronous_commit = off").await.unwrap();
        let before = world.log_end().await;
        let Shape { events, per_transaction, keys, payload_bytes } = shape;
        let bytes = payload_bytes.map_or("NULL".to_owned(), |bytes| bytes.to_string());
        let call = format!("CALL walpost_bench_load({events}, {per_transaction}, {keys}, {bytes})");
        sql.batch_execute(&call).await.unwrap();
        // What is to be drained is on disk, and nobody writes it while it is drained.
        sql.batch_execute("SELECT pg_switch_wal(); CHECKPOINT").await.unwrap();
        let (end, log_bytes) = (world.log_end().await, world.log_since(&before).await);
        Self { world, settings: world.settings.clone(), events, end, log_bytes }
    }

    /// Has walpost drain it with this setting.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings = self.settings.with(name, value);
        self
    }

    /// One more slot at the beginning of the log; its name.
    pub(crate) async fn copy_slot(&self) -> String {
        let name = self.world.slot_name();
        self.world.sql.execute("SELECT pg_copy_logical_replication_slot('base', $1)", &[&name]).await.unwrap();
        name
    }

    /// Drops it when nobody uses it any more.
    pub(crate) async fn drop_slot(&self, slot: &str) {
        let sql = &self.world.sql;
        let in_use = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active";
        while sql.query_one(in_use, &[&slot]).await.unwrap().get::<_, i64>(0) > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        sql.execute("SELECT pg_drop_replication_slot($1)", &[&slot]).await.unwrap();
    }
}
