//! A primary and its standby, a broker, and the program's settings with both hosts.

use std::time::Duration;

use tokio_postgres::Client;
use walpost::sandbox::servers::{PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres, StopMode};

use crate::{
    daemon::{Daemon, Settings},
    stage::EVENT,
    stream::Reader,
    wait,
    witness::{Seen, Witness},
    world::{connect, nats, own_postgres_of},
};

/// The slot of the program.
const SLOT: &str = "walpost";
/// How long a slot may take to be on the standby: four times the longest that a standby waits before it looks again.
const SYNC_BOUND: Duration = Duration::from_secs(120);
/// From this version on a standby can have the primary's logical slots.
const SYNCS_SLOTS: u32 = 17;

/// Two servers, of which the first is the primary until it is stopped.
pub(crate) struct Pair {
    pub(crate) primary: PrivatePostgres,
    pub(crate) standby: PrivatePostgres,
    pub(crate) broker: PrivateNats,
    pub(crate) reader: Reader,
    pub(crate) settings: Settings,
    /// Sees what the primary commits.
    pub(crate) witness: Witness,
}

impl Pair {
    /// Everything is set up on the primary, and the standby follows.
    pub(crate) async fn begin(binaries: PostgresBinaries) -> Self {
        // A dead reader is noticed soon, and restart points of slots move on soon.
        let primary = own_postgres_of(binaries, &[("wal_sender_timeout", "2s")]).await;
        let broker = nats().await;
        // Before the standby is there: one that finds no slots to copy looks for them more and more rarely.
        Settings::new(&primary.url(), &broker.url()).set_up().await;
        let syncs = [("hot_standby_feedback", "on"), ("sync_replication_slots", "on")];
        let options = syncs.into_iter().take(if has_synced_slots(&primary) { 2 } else { 1 });
        let options = options.fold(PostgresOptions::default(), |all, (name, value)| all.setting(name, value));
        let standby = PrivatePostgres::start_standby(&primary, options).await.unwrap();
        let settings = Settings::new(&url(&[&primary, &standby]), &broker.url());
        let witness = Witness::begin(&connect(&primary.url()).await, "before").await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        // It cannot be the message ids that save us.
        reader.update(|config| config.duplicate_window = Duration::from_millis(100)).await;
        Self { primary, standby, broker, reader, settings, witness }
    }

    /// The same, and this many events are delivered.
    pub(crate) async fn delivering(binaries: PostgresBinaries, count: usize) -> (Self, Daemon) {
        let pair = Self::begin(binaries).await;
        let daemon = pair.settings.lead().await;
        Self::record(&pair.primary, count).await;
        pair.until_stored(count).await;
        (pair, daemon)
    }

    /// A failover in good order, which the daemon follows.
    pub(crate) async fn fail_over(&mut self, daemon: &Daemon) {
        self.until_followed().await;
        self.stop_primary().await;
        self.promote(daemon).await;
        daemon.until_phase("leading").await;
    }

    /// Whether slots go over to the standby by themselves.
    pub(crate) fn syncs_slots(&self) -> bool {
        has_synced_slots(&self.primary)
    }

    /// What the first primary has committed.
    pub(crate) async fn committed_before(&self) -> Vec<Seen> {
        self.witness.all(&connect(&self.primary.url()).await).await
    }

    /// Records this many events, each in a transaction of its own.
    pub(crate) async fn record(server: &PrivatePostgres, count: usize) {
        let client = connect(&server.url()).await;
        for _ in 0..count {
            client.batch_execute(EVENT).await.unwrap();
        }
    }

    /// Waits until the stream has this many messages.
    pub(crate) async fn until_stored(&self, count: usize) {
        let what = format!("{count} events are stored");
        wait::until(&what, async || self.reader.last_sequence().await >= u64::try_from(count).unwrap()).await;
    }

    /// Waits until the standby can do without the primary: it has all the log, and the slot where slots go over.
    pub(crate) async fn until_followed(&self) {
        if self.syncs_slots() {
            let (primary, standby) = (connect(&self.primary.url()).await, connect(&self.standby.url()).await);
            let sql = "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name = $1 AND synced AND NOT temporary
                       AND invalidation_reason IS NULL";
            wait::within(SYNC_BOUND, "the slot is on the standby for good", async || {
                // It is once the slot's own needs have moved past what the standby had when it first saw it.
                primary.batch_execute("SELECT pg_log_standby_snapshot()").await.unwrap();
                standby.query_one(sql, &[&SLOT]).await.unwrap().get(0)
            })
            .await;
        }
        self.until_replayed().await;
    }

    /// Waits until the standby has all the log.
    pub(crate) async fn until_replayed(&self) {
        let (primary, standby) = (connect(&self.primary.url()).await, connect(&self.standby.url()).await);
        let end: String = one(&primary, "SELECT pg_current_wal_insert_lsn()::text").await;
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
        wait::until("the standby has replayed all", async || one(&standby, &sql).await).await;
    }

    /// Makes the standby the primary, and has everything seen that it commits from then on. If no slot came over, one is
    /// made before anybody writes; the daemon must not look in between.
    pub(crate) async fn promote(&self, daemon: &Daemon) -> Witness {
        daemon.freeze();
        self.standby.promote().await.unwrap();
        let client = connect(&self.standby.url()).await;
        if !self.syncs_slots() {
            make_slot(&client).await;
        }
        let witness = Witness::begin(&client, "after").await;
        daemon.wake();
        witness
    }

    /// Stops the first primary in good order: the standby has all of its log then.
    pub(crate) async fn stop_primary(&mut self) {
        self.primary.stop(StopMode::Fast).await.unwrap();
    }

    /// The message ids of the stream, in order.
    pub(crate) async fn stored_ids(&self) -> Vec<String> {
        self.reader.all().await.iter().map(|stored| stored.header("Nats-Msg-Id").to_owned()).collect()
    }
}

/// Makes the program's slot by hand, and says that it is known to begin here.
pub(crate) async fn make_slot(client: &Client) {
    client.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&SLOT]).await.unwrap();
    client.execute("DELETE FROM walpost_watermark WHERE slot = $1", &[&SLOT]).await.unwrap();
}

/// The address with these hosts, in order.
pub(crate) fn url(servers: &[&PrivatePostgres]) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("postgres://postgres@{}/postgres", hosts.join(","))
}

/// The ids of rows, in order.
pub(crate) fn ids(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.id.clone()).collect()
}

/// The only value of a query.
async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, sql: &str) -> T {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn has_synced_slots(server: &PrivatePostgres) -> bool {
    server.major() >= SYNCS_SLOTS
}
