//! Faults that the process lives through: it waits with the log open, says what it waits for, and goes on by itself.

use tokio_postgres::Client;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use crate::{
    chance::Chance,
    daemon::{Daemon, Settings},
    load::Load,
    stream::Reader,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, nats, own_postgres_of, versions},
};

/// One event.
const EVENT: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                     VALUES (gen_random_uuid(), 'order', '1', 'placed', '{}')";
/// What the process may have resident, in KiB.
const MEMORY_KIB: u64 = 64 * 1024;

struct World {
    postgres: PrivatePostgres,
    broker: PrivateNats,
    client: Client,
    witness: Witness,
    reader: Reader,
    daemon: Daemon,
}

impl World {
    /// Everything runs, on a Postgres of this number in the list of versions.
    async fn begin(version: usize) -> Option<Self> {
        let binaries = versions().into_iter().nth(version)?;
        // Patience with a silent reader is short, so a walsender that nobody answers would be gone soon.
        let postgres = own_postgres_of(binaries, &[("wal_sender_timeout", "1500ms")]).await;
        let broker = nats().await;
        let settings = Settings::new(&postgres.url(), &broker.url());
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let witness = Witness::begin(&client, "survives").await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        let daemon = settings.lead().await;
        Some(Self { postgres, broker, client, witness, reader, daemon })
    }

    /// The walsender's process.
    async fn walsender(&self) -> Option<i32> {
        let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'walpost'";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until everything is stored, and holds it against the witness.
    async fn assert_all_arrived(&self) {
        let client = connect(&self.postgres.url()).await;
        let seen = self.witness.all(&client).await;
        wait::until("all events are stored", async || self.reader.last_sequence().await >= seen.len() as u64).await;
        assert_same(&seen, &self.reader.all().await, &log_of(&client, "walpost").await);
    }
}

#[tokio::test]
async fn a_broker_that_is_away_costs_neither_the_walsender_nor_memory_nor_order() {
    let mut world = World::begin(0).await.unwrap();
    let load = Load::start(&world.postgres.url(), 4, Chance::seed("away"));
    wait::until("events flow", async || world.reader.last_sequence().await > 50).await;
    let walsender = world.walsender().await;
    assert!(walsender.is_some());
    world.broker.kill().await.unwrap();
    world.daemon.until_blocked("WP0401").await;
    // Twice the server's patience, and far more than the window holds.
    let before = load.transactions();
    wait::until("much is written meanwhile", async || load.transactions() > before + 1500).await;
    assert_eq!(world.walsender().await, walsender, "the walsender was dropped: {}", world.daemon.log());
    world.broker.restart().await.unwrap();
    world.daemon.until_phase("leading").await;
    load.stop().await;
    world.assert_all_arrived().await;
    assert_eq!(world.walsender().await, walsender, "the walsender was dropped: {}", world.daemon.log());
    let peak = world.daemon.peak_memory_kib();
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    let status = world.daemon.status().await.unwrap();
    assert_eq!((&status["rows"]["skipped"], &status["trouble"]), (&0.into(), &serde_json::Value::Null));
    let log = world.daemon.log();
    assert!(log.contains("\"code\":\"WP0401\"") && log.contains("delivering again"), "{log}");
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn an_idle_outbox_holds_back_no_log_although_the_broker_is_away() {
    let mut world = World::begin(0).await.unwrap();
    world.broker.kill().await.unwrap();
    world.daemon.until_blocked("WP0401").await;
    world.client.batch_execute("CREATE TABLE other AS SELECT generate_series(1, 1000) n").await.unwrap();
    let sql = "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
    let end: String = world.client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
    wait::until("the idle position is confirmed", async || world.client.query_one(sql, &[&end]).await.unwrap().get(0))
        .await;
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn postgres_can_be_shut_down_although_the_broker_is_away() {
    for version in 0..versions().len() {
        let Some(mut world) = World::begin(version).await else { break };
        world.client.batch_execute(EVENT).await.unwrap();
        wait::until("the event is stored", async || world.reader.last_sequence().await == 1).await;
        world.broker.kill().await.unwrap();
        for _ in 0..5 {
            world.client.batch_execute(EVENT).await.unwrap();
        }
        world.daemon.until_blocked("WP0401").await;
        // A fast shutdown waits for walsenders; it must not wait for the broker.
        world.postgres.restart().await.unwrap();
        world.broker.restart().await.unwrap();
        world.daemon.until_phase("leading").await;
        world.assert_all_arrived().await;
        assert_eq!(world.daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_stop_while_the_broker_is_away_ends_in_good_order() {
    let mut world = World::begin(0).await.unwrap();
    world.broker.kill().await.unwrap();
    world.client.batch_execute(EVENT).await.unwrap();
    world.daemon.until_blocked("WP0401").await;
    let World { daemon, client, .. } = world;
    assert_eq!(daemon.terminate().await, 0);
    let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'walpost'";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, Option<i32>>(0), None, "the slot is free");
}

#[tokio::test]
async fn a_stop_while_both_servers_are_away_does_not_say_that_all_is_stored() {
    let mut world = World::begin(0).await.unwrap();
    world.broker.kill().await.unwrap();
    world.client.batch_execute(EVENT).await.unwrap();
    wait::until("the event is under way", async || {
        world.daemon.status().await.is_some_and(|status| status["events"]["in_flight"] == 1)
    })
    .await;
    world.postgres.kill().await.unwrap();
    wait::until("walpost waits for Postgres", async || {
        world.daemon.get("/ready").await.is_some_and(|ready| ready.body.starts_with("starting"))
    })
    .await;
    let World { mut daemon, .. } = world;
    daemon.interrupt();
    assert_eq!(daemon.ended().await, 0);
    let log = daemon.log();
    assert!(log.contains("stopped before NATS answered"), "{log}");
    assert!(!log.contains("everything that was under way is stored"), "{log}");
}

#[tokio::test]
async fn a_message_of_somebody_else_is_passed_over_and_counted() {
    let world = World::begin(0).await.unwrap();
    let intruder = async_nats::connect(world.broker.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(intruder);
    for round in 1..=3u64 {
        world.client.batch_execute(EVENT).await.unwrap();
        wait::until("the event is stored", async || world.reader.last_sequence().await == 2 * round - 1).await;
        jetstream.publish("outbox.intruder", "".into()).await.unwrap().await.unwrap();
    }
    world.client.batch_execute(EVENT).await.unwrap();
    wait::until("the last event is stored", async || world.reader.last_sequence().await == 7).await;
    let ours: Vec<_> = world.reader.all().await.into_iter().filter(|stored| stored.sequence % 2 == 1).collect();
    let ids: Vec<&str> = ours.iter().map(|stored| stored.header("Nats-Msg-Id")).collect();
    let seen = world.witness.all(&world.client).await;
    assert_eq!(ids, seen.iter().map(|seen| seen.id.as_str()).collect::<Vec<_>>());
    assert_eq!(world.daemon.status().await.unwrap()["foreign_messages"], 3);
    assert_eq!(world.daemon.terminate().await, 0);
}
