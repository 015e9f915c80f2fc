//! Tables of other forms, several slots, and what is there from before.

use uuid::Uuid;

use super::{status, until_status};
use crate::{
    daemon::Settings,
    stream::Reader,
    wait,
    world::{connect, database, nats, newest},
};

#[tokio::test]
async fn a_table_without_xid_is_delivered_and_has_no_status_until_it_gets_the_column() {
    let (postgres, broker) = (newest().await, nats().await);
    let url = database(postgres, "status_without_xid").await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", "status_without_xid");
    let client = connect(&url).await;
    client
        .batch_execute(
            "CREATE TABLE outbox (id bigint PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text, payload text)",
        )
        .await
        .unwrap();
    settings.set_up().await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let daemon = settings.lead().await;
    let insert = async |id: i64| {
        client.execute("INSERT INTO outbox VALUES ($1, 'a', 'b', 'c', 'd')", &[&id]).await.unwrap();
    };
    insert(1).await;
    wait::until("it is stored", async || reader.last_sequence().await == 1).await;
    assert_eq!(status(&client, "1").await, None);
    assert!(daemon.log().contains("no delivery status is kept"), "{}", daemon.log());
    assert_eq!(daemon.terminate().await, 0);

    client
        .batch_execute(
            "ALTER TABLE outbox ADD COLUMN xid xid8; ALTER TABLE outbox ALTER xid SET DEFAULT pg_current_xact_id()",
        )
        .await
        .unwrap();
    assert!(settings.set_up().await.contains("upgraded  delivery status of public.outbox"));
    let daemon = settings.lead().await;
    insert(2).await;
    until_status(&client, "2", "published").await;
    assert_eq!(status(&client, "1").await, None, "nobody knows");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn an_event_is_published_once_every_slot_of_its_table_has_delivered_it() {
    let (postgres, broker) = (newest().await, nats().await);
    let url = database(postgres, "status_of_two").await;
    let one = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", "status_one");
    let two = Settings::new(&url, &broker.url())
        .with("POSTGRES_SLOT", "status_two")
        .with("NATS_STREAM", "SECOND")
        .with("NATS_SUBJECT", "second.{event_type}");
    one.set_up().await;
    two.set_up().await;
    let client = connect(&url).await;
    let (first, second) = (one.lead().await, two.lead().await);
    let insert = async || {
        let id = Uuid::now_v7().to_string();
        let sql =
            "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type) VALUES ($1::text::uuid, 'a', 'b', 'c')";
        client.execute(sql, &[&id]).await.unwrap();
        id
    };
    until_status(&client, &insert().await, "published").await;
    assert_eq!(second.terminate().await, 0);
    let id = insert().await;
    let sql = "SELECT pending FROM walpost_lag WHERE slot = $1";
    let pending = async |slot: &str| -> Option<i64> { client.query_one(sql, &[&slot]).await.unwrap().get(0) };
    wait::until("the first has delivered it", async || pending("status_one").await == Some(0)).await;
    assert_eq!(pending("status_two").await, Some(1));
    assert_eq!(status(&client, &id).await.as_deref(), Some("pending"));
    let second = two.lead().await;
    until_status(&client, &id, "published").await;
    assert_eq!((first.terminate().await, second.terminate().await), (0, 0));
}

#[tokio::test]
async fn a_watermark_of_another_server_says_nothing() {
    let (postgres, broker) = (newest().await, nats().await);
    let url = database(postgres, "status_of_a_copy").await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", "status_of_a_copy");
    settings.set_up().await;
    let client = connect(&url).await;
    let id = Uuid::now_v7().to_string();
    let insert =
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type) VALUES ($1::text::uuid, 'a', 'b', 'c')";
    client.execute(insert, &[&id]).await.unwrap();
    // As a dump would bring it.
    let copy = "INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, stream, stream_created, delivered)
                VALUES ('status_of_a_copy', '7', 1, 'FF/0', 'FF/0', 'OUTBOX', 1, '999999999:999999999:')";
    client.batch_execute(copy).await.unwrap();
    assert_eq!(status(&client, &id).await.as_deref(), Some("pending"));
    let sql = "SELECT count(*) FROM walpost_lag";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    let daemon = settings.lead().await;
    until_status(&client, &id, "published").await;
    assert_eq!(daemon.terminate().await, 0);
}
