//! Rows that were in the outbox before there was a slot.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;
use walpost::sandbox::servers::{NatsOptions, PrivateNats};

use crate::{
    daemon::Settings,
    stream::Reader,
    wait,
    world::{connect, database, own_postgres_of, versions},
};

/// How many rows are there before.
const BEFORE: i32 = 500;
/// How often a writer writes.
const PAUSE: Duration = Duration::from_millis(2);

const TABLE: &str = include_str!("../../sql/outbox.sql");

async fn broker() -> PrivateNats {
    PrivateNats::start(NatsOptions::default()).await.unwrap()
}

/// Commits an event with a number.
async fn write(client: &Client, number: i32) {
    let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
               VALUES (gen_random_uuid(), 'order', 'a', 'Numbered', to_jsonb($1::int4))";
    client.execute(sql, &[&number]).await.unwrap();
}

/// The numbers in the stream, in order, when it has as many as the table.
async fn arrived(client: &Client, reader: &Reader) -> Vec<i32> {
    let rows: i64 = client.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get(0);
    let rows = u64::try_from(rows).unwrap();
    wait::until("every row is in the stream", async || reader.last_sequence().await >= rows).await;
    let number = |body: &[u8]| str::from_utf8(body).unwrap().parse().unwrap();
    reader.all().await.iter().map(|stored| number(&stored.body)).collect()
}

#[tokio::test]
async fn rows_from_before_the_slot_and_from_the_time_of_its_creation_are_sent_once_and_in_order() {
    for version in versions() {
        // A server of its own: the open transaction would hold up the slots of all other tests.
        let server = own_postgres_of(version, &[]).await;
        let (url, broker) = (database(&server, "existing").await, broker().await);
        let settings = Settings::new(&url, &broker.url());
        let (client, writer, open) = (connect(&url).await, connect(&url).await, connect(&url).await);
        client.batch_execute(&TABLE.replace("{table}", "outbox")).await.unwrap();
        for number in 0..BEFORE {
            write(&client, number).await;
        }
        // The slot's creation waits for this one, and others commit meanwhile.
        open.batch_execute("BEGIN").await.unwrap();
        write(&open, -1).await;
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let writing = tokio::spawn(async move {
            let mut number = BEFORE;
            while stopped.try_recv().is_err() {
                write(&writer, number).await;
                number += 1;
                sleep(PAUSE).await;
            }
            number
        });
        let setup = tokio::spawn(async move { settings.run(&["setup", "--existing-rows", "send"]).await });
        let waits = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'walpost'";
        let is_being_made = async || client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 1;
        wait::until("the slot is being made", is_being_made).await;
        let committed = "SELECT max((payload #>> '{}')::int4) FROM outbox";
        let latest = async || client.query_one(committed, &[]).await.unwrap().get::<_, i32>(0);
        let then = latest().await;
        wait::until("others commit while it is made", async || latest().await > then + 50).await;
        open.batch_execute("COMMIT").await.unwrap();
        let answer = setup.await.unwrap();
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        assert!(answer.stdout.contains(" rows that were in table public.outbox\n"), "{}", answer.stdout);
        let daemon = Settings::new(&url, &broker.url()).lead().await;
        stop.send(()).unwrap();
        let end = writing.await.unwrap();

        let mut numbers = arrived(&client, &Reader::connect(&broker.url(), "OUTBOX").await).await;
        // Its created_at is the beginning of its transaction, before which all rows from before were there.
        let place = numbers.iter().position(|number| *number == -1).unwrap();
        assert!(place >= usize::try_from(BEFORE).unwrap(), "{place}");
        numbers.remove(place);
        assert_eq!(numbers, (0..end).collect::<Vec<_>>());
        wait::until("all rows are shown published", async || {
            let sql = "SELECT count(*) FROM walpost_event_status WHERE status IS DISTINCT FROM 'published'";
            client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn rows_that_somebody_wants_to_keep_are_left_alone() {
    let server = own_postgres_of(versions().remove(0), &[]).await;
    let (url, broker) = (database(&server, "kept").await, broker().await);
    let settings = Settings::new(&url, &broker.url());
    let client = connect(&url).await;
    client.batch_execute(&TABLE.replace("{table}", "outbox")).await.unwrap();
    write(&client, 1).await;
    let answer = settings.run(&["run", "--existing-rows", "keep"]).await;
    assert!(answer.stderr.contains("--setup"), "{}", answer.stderr);
    let mut daemon = settings.start_with(&["run", "--setup", "--existing-rows", "keep"]);
    daemon.until_ready().await;
    write(&client, 2).await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    wait::until("the later one arrives", async || reader.last_sequence().await == 1).await;
    assert_eq!(reader.all().await[0].body, b"2");
    assert_eq!(daemon.terminate().await, 0);
}
