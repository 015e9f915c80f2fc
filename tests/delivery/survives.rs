//! Faults that the process lives through: it waits with the log open, says what it waits for, and goes on by itself.

use crate::{
    chance::Chance,
    daemon::Daemon,
    load::Load,
    stage::{EVENT, Stage},
    wait,
    world::{own_postgres_of, versions},
};

/// What the process may have resident, in KiB.
const MEMORY_KIB: u64 = 64 * 1024;

/// Everything runs, on a Postgres of this number in the list of versions.
async fn begin(version: usize) -> Option<(Stage, Daemon)> {
    let binaries = versions().into_iter().nth(version)?;
    // Patience with a silent reader is short, so a walsender that nobody answers would be gone soon.
    let postgres = own_postgres_of(binaries, &[("wal_sender_timeout", "1500ms")]).await;
    let stage = Stage::set(postgres, |settings| settings).await;
    let daemon = stage.settings.lead().await;
    Some((stage, daemon))
}

/// The walsender's process.
async fn walsender_of(stage: &Stage) -> Option<i32> {
    let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'walpost'";
    stage.client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_broker_that_is_away_costs_neither_the_walsender_nor_memory_nor_order() {
    let (mut stage, daemon) = begin(0).await.unwrap();
    let load = Load::start(&stage.postgres.url(), 4, Chance::seed("away"));
    wait::until("events flow", async || stage.reader.last_sequence().await > 50).await;
    let walsender = walsender_of(&stage).await;
    assert!(walsender.is_some());
    stage.broker.kill().await.unwrap();
    daemon.until_blocked("WP0401").await;
    // Twice the server's patience, and far more than the window holds.
    let before = load.transactions();
    wait::until("much is written meanwhile", async || load.transactions() > before + 1500).await;
    assert_eq!(walsender_of(&stage).await, walsender, "the walsender was dropped: {}", daemon.log());
    stage.broker.restart().await.unwrap();
    daemon.until_phase("leading").await;
    load.stop().await;
    stage.assert_all_arrived().await;
    assert_eq!(walsender_of(&stage).await, walsender, "the walsender was dropped: {}", daemon.log());
    let peak = daemon.peak_memory_kib();
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    let status = daemon.status().await.unwrap();
    assert_eq!((&status["rows"]["skipped"], &status["trouble"]), (&0.into(), &serde_json::Value::Null));
    let log = daemon.log();
    assert!(log.contains("\"code\":\"WP0401\"") && log.contains("delivering again"), "{log}");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn an_idle_outbox_holds_back_no_log_although_the_broker_is_away() {
    let (mut stage, daemon) = begin(0).await.unwrap();
    stage.broker.kill().await.unwrap();
    daemon.until_blocked("WP0401").await;
    stage.client.batch_execute("CREATE TABLE other AS SELECT generate_series(1, 1000) n").await.unwrap();
    stage.until_all_log_is_confirmed().await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn postgres_can_be_shut_down_although_the_broker_is_away() {
    for version in 0..versions().len() {
        let Some((mut stage, daemon)) = begin(version).await else { break };
        stage.commit(EVENT).await;
        stage.until_stored(1).await;
        stage.broker.kill().await.unwrap();
        for _ in 0..5 {
            stage.commit(EVENT).await;
        }
        daemon.until_blocked("WP0401").await;
        // A fast shutdown waits for walsenders; it must not wait for the broker.
        stage.postgres.restart().await.unwrap();
        stage.broker.restart().await.unwrap();
        daemon.until_phase("leading").await;
        stage.assert_all_arrived().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_stop_while_the_broker_is_away_ends_in_good_order() {
    let (mut stage, daemon) = begin(0).await.unwrap();
    stage.broker.kill().await.unwrap();
    stage.commit(EVENT).await;
    daemon.until_blocked("WP0401").await;
    assert_eq!(daemon.terminate().await, 0);
    let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'walpost'";
    assert_eq!(stage.client.query_one(sql, &[]).await.unwrap().get::<_, Option<i32>>(0), None, "the slot is free");
}

#[tokio::test]
async fn a_stop_while_both_servers_are_away_does_not_say_that_all_is_stored() {
    let (mut stage, mut daemon) = begin(0).await.unwrap();
    stage.broker.kill().await.unwrap();
    stage.commit(EVENT).await;
    wait::until("the event is under way", async || {
        daemon.status().await.is_some_and(|status| status["events"]["in_flight"] == 1)
    })
    .await;
    stage.postgres.kill().await.unwrap();
    wait::until("walpost waits for Postgres", async || {
        daemon.get("/ready").await.is_some_and(|ready| ready.body.starts_with("starting"))
    })
    .await;
    daemon.interrupt();
    assert_eq!(daemon.ended().await, 0);
    let log = daemon.log();
    assert!(log.contains("stopped before NATS answered"), "{log}");
    assert!(!log.contains("everything that was under way is stored"), "{log}");
}

#[tokio::test]
async fn a_message_of_somebody_else_is_passed_over_and_counted() {
    let (stage, daemon) = begin(0).await.unwrap();
    let intruder = async_nats::connect(stage.broker.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(intruder);
    for round in 1..=3u64 {
        stage.commit(EVENT).await;
        wait::until("the event is stored", async || stage.reader.last_sequence().await == 2 * round - 1).await;
        jetstream.publish("outbox.intruder", "".into()).await.unwrap().await.unwrap();
    }
    stage.commit(EVENT).await;
    stage.until_stored(7).await;
    let ours: Vec<_> = stage.reader.all().await.into_iter().filter(|stored| stored.sequence % 2 == 1).collect();
    let ids: Vec<&str> = ours.iter().map(|stored| stored.header("Nats-Msg-Id")).collect();
    let seen = stage.witness.all(&stage.client).await;
    assert_eq!(ids, seen.iter().map(|seen| seen.id.as_str()).collect::<Vec<_>>());
    assert_eq!(daemon.status().await.unwrap()["foreign_messages"], 3);
    assert_eq!(daemon.terminate().await, 0);
}
