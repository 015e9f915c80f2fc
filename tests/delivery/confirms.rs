//! What is confirmed to Postgres: everything that is stored, soon, and never more.

use tokio_postgres::Client;
use walpost::{lsn::Lsn, sandbox::servers::PrivateNats};

use crate::{
    daemon::Settings,
    load::Load,
    stage::EVENT,
    stream::Reader,
    wait,
    witness::{Seen, Witness, assert_same, log_of},
    world::{connect, database, nats, newest, own_postgres, own_postgres_of, shared_postgres, versions},
};

/// Room for log that a slot may hold back, as long as the outbox is idle: two segments.
const TWO_SEGMENTS: u64 = 2 * 16 * 1024 * 1024;

/// A column of the slot.
async fn slot(client: &Client, slot: &str, column: &str) -> Lsn {
    let sql = format!("SELECT {column}::text FROM pg_replication_slots WHERE slot_name = $1");
    client.query_one(&sql, &[&slot]).await.unwrap().get::<_, String>(0).parse().unwrap()
}

async fn confirmed(client: &Client, name: &str) -> Lsn {
    slot(client, name, "confirmed_flush_lsn").await
}

async fn server_end(client: &Client) -> Lsn {
    client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get::<_, String>(0).parse().unwrap()
}

#[tokio::test]
async fn the_confirmed_position_follows_to_the_end_of_the_last_transaction() {
    for server in shared_postgres().await {
        let (name, broker) = ("confirms_follows", nats().await);
        let url = database(server, name).await;
        let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
        settings.set_up().await;
        let client = connect(&url).await;
        let witness = Witness::begin(&client, name).await;
        let daemon = settings.lead().await;
        for _ in 0..5 {
            client.batch_execute(EVENT).await.unwrap();
            let end = witness.all(&client).await.last().unwrap().end_lsn;
            wait::until("the transaction is confirmed", async || confirmed(&client, name).await >= end).await;
        }
        // And a stop in good order leaves nothing to be sent again.
        client.batch_execute(EVENT).await.unwrap();
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        wait::until("the last event is stored", async || reader.last_sequence().await == 6).await;
        assert_eq!(daemon.terminate().await, 0);
        let end = witness.all(&client).await.last().unwrap().end_lsn;
        assert!(confirmed(&client, name).await >= end);
    }
}

#[tokio::test]
async fn an_idle_outbox_holds_back_no_log_while_other_tables_are_busy() {
    for binaries in versions() {
        let postgres = own_postgres_of(binaries, &[]).await;
        let (broker, name) = (nats().await, "walpost");
        let settings = Settings::new(&postgres.url(), &broker.url());
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let flood = "CREATE TABLE IF NOT EXISTS busy (text text);
                 INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 90000)";
        client.batch_execute(EVENT).await.unwrap();
        let daemon = settings.lead().await;
        let before = confirmed(&client, name).await;
        client.batch_execute(flood).await.unwrap();
        let end = server_end(&client).await;
        assert!(end.bytes_since(before) > 2 * TWO_SEGMENTS, "the flood is too small");
        wait::until("the flood is confirmed", async || confirmed(&client, name).await >= end).await;
        wait::until("no more than two segments are kept", async || {
            // A slot gives log up when the server notes which transactions run, as each checkpoint does.
            client.batch_execute("CHECKPOINT").await.unwrap();
            let kept = slot(&client, name, "restart_lsn").await;
            server_end(&client).await.bytes_since(kept) <= TWO_SEGMENTS
        })
        .await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

/// What the slot had confirmed, and what the stream held a moment later.
struct Sample {
    confirmed: Lsn,
    stored: u64,
}

/// How many events a position confirms.
fn events_up_to(seen: &[Seen], confirmed: Lsn) -> u64 {
    seen.iter().filter(|seen| seen.end_lsn <= confirmed).count() as u64
}

#[tokio::test]
async fn nothing_is_confirmed_that_the_stream_does_not_hold() {
    let postgres = own_postgres(&[]).await;
    let broker = nats().await;
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let witness = Witness::begin(&client, "confirms").await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let daemon = settings.lead().await;
    let load = Load::start(&postgres.url(), 3, 1);
    let mut samples = Vec::new();
    while load.transactions() < 600 {
        // In this order: what is confirmed now must be in the stream already.
        let confirmed = confirmed(&client, "walpost").await;
        let stored = reader.last_sequence().await;
        samples.push(Sample { confirmed, stored });
    }
    load.stop().await;
    let seen = witness.all(&client).await;
    wait::until("all events are stored", async || reader.last_sequence().await == seen.len() as u64).await;
    assert_same(&seen, &reader.all().await, &log_of(&client, "walpost").await);
    for Sample { confirmed, stored } in &samples {
        let events = events_up_to(&seen, *confirmed);
        assert!(events <= *stored, "{confirmed} confirms {events} events, and {stored} were stored");
    }
    let positions: std::collections::BTreeSet<_> = samples.iter().map(|sample| sample.confirmed).collect();
    println!("{} samples of {} positions over {} events", samples.len(), positions.len(), seen.len());
    assert!(positions.len() > 3, "the position hardly moved");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stream_that_is_full_keeps_the_rest_unconfirmed_until_there_is_room() {
    let name = "confirms_full";
    let url = database(newest().await, name).await;
    let broker: PrivateNats = nats().await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
    settings.set_up().await;
    let client = connect(&url).await;
    let witness = Witness::begin(&client, name).await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    reader.update(|config| config.max_messages = 10).await;
    // The stream fills up inside the fourth transaction.
    for _ in 0..7 {
        let three = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                     SELECT gen_random_uuid(), 'order', n::text, 'placed', '{}' FROM generate_series(1, 3) n";
        client.batch_execute(three).await.unwrap();
    }
    let daemon = settings.start();
    daemon.until_blocked("WP0503").await;
    wait::until("it is told", async || daemon.log().contains("maximum messages exceeded")).await;
    let status = daemon.status().await.unwrap();
    assert_eq!(status["trouble"]["code"], "WP0503");
    assert!(status["trouble"]["action"].as_str().unwrap().starts_with("make room"), "{status}");
    assert_eq!(reader.count().await, 10);
    let seen = witness.all(&client).await;
    let events = events_up_to(&seen, confirmed(&client, name).await);
    assert!(events <= 9, "{events} events are confirmed, and the tenth is in a transaction that is stored in part");

    reader.update(|config| config.max_messages = -1).await;
    wait::until("the rest is stored", async || reader.last_sequence().await == 21).await;
    assert_same(&seen, &reader.all().await, &log_of(&client, name).await);
    assert_eq!(daemon.terminate().await, 0);
}
