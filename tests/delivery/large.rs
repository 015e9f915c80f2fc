//! Large transactions and long backlogs: the memory of walpost does not grow with them.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::{
    daemon::{Daemon, Settings},
    stream::{Reader, Stored},
    wait,
    world::{connect, nats, own_postgres},
};

/// What walpost may have resident at the most.
const MEMORY_KIB: u64 = 64 * 1024;
/// How many events the large transaction has, unless the variable says otherwise.
const LARGE: (&str, u64) = ("WALPOST_TEST_LARGE_EVENTS", 1_000_000);
/// How many events the backlog has, unless the variable says otherwise.
const BACKLOG: (&str, u64) = ("WALPOST_TEST_BACKLOG_EVENTS", 200_000);
/// The size of a payload that the broker just takes: its own limit is 1 MiB, headers included.
const PAYLOAD_BYTES: usize = 1_000_000;
/// How much may be under way, by default.
const WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// How long all of them may take: several times what a debug build on a busy machine needs.
const DELIVERY_BOUND: Duration = Duration::from_secs(600);
/// Every so many messages one is looked at, besides the first and the last.
const STEP: usize = 997;

/// Numbered events with payloads of some 150 bytes.
const EVENTS: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
    SELECT gen_random_uuid(), 'order', n::text, 'placed',
           jsonb_build_object('n', n, 'text', repeat('payload ', 15)) FROM generate_series($from, $to) n";

fn count((variable, count): (&str, u64)) -> u64 {
    std::env::var(variable).map_or(count, |text| text.parse().unwrap())
}

/// Waits until the stream has all, and gives the daemon's memory.
async fn deliver(daemon: &mut Daemon, reader: &Reader, events: u64) -> u64 {
    let begun = Instant::now();
    wait::within(DELIVERY_BOUND, "all events are stored", async || {
        assert_eq!(daemon.exit_code(), None, "{}", daemon.log());
        reader.last_sequence().await >= events
    })
    .await;
    let (memory, seconds) = (daemon.peak_memory_kib(), begun.elapsed().as_secs_f64());
    println!("{events} events in {seconds:.1} s, peak of resident memory {memory} KiB");
    memory
}

/// Looks at messages here and there: the chain makes the count tell the rest.
async fn sampled(reader: &Reader, events: u64) -> Vec<Stored> {
    assert_eq!((reader.count().await, reader.last_sequence().await), (events, events));
    let stored = reader.some((1..=events).step_by(STEP).chain([events])).await;
    for message in &stored {
        assert_eq!(message.header("Walpost-Aggregate-Id"), message.sequence.to_string());
        assert_eq!(message.header("Nats-Expected-Last-Sequence"), (message.sequence - 1).to_string());
    }
    stored
}

/// Commit LSN and index of a message.
fn place(message: &Stored) -> (&str, u64) {
    let mut parts = message.header("Walpost-Position").rsplit(':');
    let index = parts.next().unwrap().parse().unwrap();
    (parts.next().unwrap(), index)
}

/// Records events from `from` to `to` in one transaction.
async fn record(client: &Client, from: u64, to: u64) {
    let sql = EVENTS.replace("$from", &from.to_string()).replace("$to", &to.to_string());
    client.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_transaction_of_a_million_rows_passes_in_little_memory() {
    let events = count(LARGE);
    let (postgres, broker) = (own_postgres(&[("max_wal_size", "4GB")]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let mut daemon = settings.lead().await;
    let client = connect(&postgres.url()).await;
    record(&client, 1, events).await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let memory = deliver(&mut daemon, &reader, events).await;

    let stored = sampled(&reader, events).await;
    let (commit_lsn, _) = place(stored.first().unwrap());
    for message in &stored {
        assert_eq!(place(message), (commit_lsn, message.sequence - 1));
    }
    assert!(memory <= MEMORY_KIB, "{memory} KiB");
    assert_eq!(daemon.terminate().await, 0);
    // What is stored is confirmed: the transaction is not sent again.
    let sql = "SELECT confirmed_flush_lsn > $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
    assert!(client.query_one(sql, &[&commit_lsn]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn of_ten_thousand_nested_savepoints_what_was_kept_arrives_in_its_order() {
    const SAVEPOINTS: u64 = 10_000;
    let (postgres, broker) = (own_postgres(&[]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let mut daemon = settings.lead().await;
    let client = connect(&postgres.url()).await;
    // Each inside the one before; every second is rolled back, and counts for nothing.
    let mut sql = String::from("BEGIN;");
    for (n, kept) in (1..=SAVEPOINTS).zip((1..).flat_map(|n| [n, n])) {
        let row = format!("(gen_random_uuid(), 'order', '{kept}', 'placed', '{n}')");
        sql += "SAVEPOINT s; INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload) VALUES ";
        sql += &row;
        sql += if n % 2 == 0 { "; ROLLBACK TO s;" } else { ";" };
    }
    client.batch_execute(&(sql + "COMMIT")).await.unwrap();
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let memory = deliver(&mut daemon, &reader, SAVEPOINTS / 2).await;
    let bodies: Vec<Vec<u8>> = reader.all().await.into_iter().map(|stored| stored.body).collect();
    assert_eq!(bodies, (1..SAVEPOINTS).step_by(2).map(|n| n.to_string().into_bytes()).collect::<Vec<_>>());
    sampled(&reader, SAVEPOINTS / 2).await;
    assert!(memory <= MEMORY_KIB, "{memory} KiB");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_long_backlog_of_small_transactions_passes_in_little_memory() {
    let events = count(BACKLOG);
    let (postgres, broker) = (own_postgres(&[("max_wal_size", "4GB")]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    // One commit for each event, without a journey to the server for each.
    client.batch_execute("SET synchronous_commit = off").await.unwrap();
    let sql = format!(
        "DO $do$ BEGIN FOR i IN 1..{events} LOOP {}; COMMIT; END LOOP; END $do$",
        EVENTS.replace("$from", "i").replace("$to", "i")
    );
    client.batch_execute(&sql).await.unwrap();
    let mut daemon = settings.lead().await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let memory = deliver(&mut daemon, &reader, events).await;

    let stored = sampled(&reader, events).await;
    let commits: std::collections::BTreeSet<&str> = stored.iter().map(|message| place(message).0).collect();
    assert_eq!(commits.len(), stored.len(), "events share a transaction");
    assert!(stored.iter().all(|message| place(message).1 == 0));
    let status = daemon.status().await.unwrap();
    assert!(status["transactions"].as_u64().unwrap() >= events, "{status}");
    assert!(memory <= MEMORY_KIB, "{memory} KiB");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn payloads_near_the_brokers_limit_pass_in_little_memory_although_the_broker_halts() {
    let events = 400;
    let (postgres, broker) = (own_postgres(&[]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url()).with("DELIVERY_PUBLISH_TIMEOUT", "10m");
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let mut daemon = settings.lead().await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    record(&client, 1, 1).await;
    wait::until("the first is stored", async || reader.last_sequence().await == 1).await;
    broker.pause().await.unwrap();
    let sql = format!(
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
         SELECT gen_random_uuid(), 'order', n::text, 'placed', jsonb_build_object('text', repeat('payload ', {}))
         FROM generate_series(2, {events}) n",
        PAYLOAD_BYTES / 8
    );
    client.batch_execute(&sql).await.unwrap();
    wait::until("as much is under way as may be", async || {
        let status = daemon.status().await.unwrap();
        status["events"]["in_flight"].as_u64().unwrap() >= WINDOW_BYTES / PAYLOAD_BYTES as u64
    })
    .await;
    broker.resume().unwrap();
    let memory = deliver(&mut daemon, &reader, events).await;
    let last = sampled(&reader, events).await.pop().unwrap();
    assert_eq!(last.body.len(), PAYLOAD_BYTES + r#"{"text": ""}"#.len());
    assert!(memory <= MEMORY_KIB, "{memory} KiB");
    assert_eq!(daemon.terminate().await, 0);
}
