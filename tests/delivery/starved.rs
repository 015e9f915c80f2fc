//! Too little of what the operating system gives: processor time, memory, descriptors.

use tokio::net::TcpStream;

use crate::{
    chance::Chance,
    daemon::{Daemon, free_address},
    load::Load,
    stage::Stage,
    wait,
    world::own_postgres,
};

/// How many files and sockets a program with too few may have. It needs some 15.
const DESCRIPTORS: (usize, &str) = (24, "-n 24");
/// What a program may allocate, in KiB: no more than is promised to be enough.
const MEMORY: &str = "-d 65536";
/// How often a program gets the processor for a moment.
const BURSTS: usize = 15;

/// So many events with payloads of so many bytes, in one transaction.
fn events(count: u64, bytes: u64) -> String {
    format!(
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
         SELECT gen_random_uuid(), 'order', n::text, 'placed', to_jsonb(repeat('x', {bytes}))
         FROM generate_series(1, {count}) n"
    )
}

/// Holds everything against the witness, and ends.
async fn end(stage: &Stage, daemon: Daemon) {
    daemon.until_phase("leading").await;
    stage.assert_all_arrived().await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn without_a_free_descriptor_delivery_goes_on_and_a_lost_broker_is_waited_for() {
    let (limit, ulimit) = DESCRIPTORS;
    let mut stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
    let daemon = stage.settings.clone().limited(ulimit).with("LOG_LEVEL", "debug").lead().await;
    // Whoever asks and does not listen to the answer keeps a socket; together they keep all.
    let mut idlers = Vec::new();
    for _ in 0..limit {
        idlers.push(TcpStream::connect(daemon.admin()).await.unwrap());
    }
    wait::until("there is no descriptor left", async || daemon.descriptors() >= limit).await;
    stage.commit(&events(50, 10)).await;
    wait::until("events flow all the same", async || stage.reader.last_sequence().await == 50).await;
    stage.broker.kill().await.unwrap();
    // What was the broker's is taken by the next idler, which waits for it.
    let lacks = async || daemon.log().lines().any(|line| line.contains("WP0401") && line.contains("os error 24"));
    wait::until("it says that it lacks a descriptor", lacks).await;
    stage.broker.restart().await.unwrap();
    stage.commit(&events(50, 10)).await;
    drop(idlers);
    end(&stage, daemon).await;
}

#[tokio::test]
async fn with_no_more_memory_than_promised_a_broker_that_halts_and_large_payloads_are_lived_through() {
    let stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
    let daemon = stage.settings.clone().limited(MEMORY).with("DELIVERY_PUBLISH_TIMEOUT", "10m").lead().await;
    stage.commit(&events(1, 10)).await;
    wait::until("the first is stored", async || stage.reader.last_sequence().await == 1).await;
    stage.broker.pause().await.unwrap();
    stage.commit(&events(60, 1_000_000)).await;
    stage.commit(&events(20_000, 100)).await;
    wait::until("as much is under way as may be", async || {
        daemon.status().await.unwrap()["events"]["in_flight"].as_u64().unwrap() >= 16
    })
    .await;
    stage.broker.resume().unwrap();
    end(&stage, daemon).await;
}

#[tokio::test]
async fn a_leader_that_runs_in_short_bursts_only_keeps_the_slot_and_loses_nothing() {
    let stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
    let leader = stage.settings.lead().await;
    let standby = stage.settings.clone().with("ADMIN_LISTEN", &free_address().to_string()).start();
    standby.until_phase("standby").await;
    let load = Load::start(&stage.postgres.url(), 2, Chance::seed("bursts"));
    for _ in 0..BURSTS {
        let (written, stored) = (load.transactions(), stage.reader.last_sequence().await);
        leader.freeze();
        wait::until("much is written meanwhile", async || load.transactions() > written + 30).await;
        leader.wake();
        wait::until("some of it is stored", async || stage.reader.last_sequence().await > stored).await;
    }
    load.stop().await;
    standby.until_phase("standby").await;
    assert!(!standby.log().contains("\"message\":\"leading\""), "{}", standby.log());
    assert_eq!(standby.terminate().await, 0);
    end(&stage, leader).await;
}
