//! Delivery status in SQL: what the database says of an event is so in the stream, never too early and not late.

mod events;
mod faults;
mod letters;
mod tables;
mod told;

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::{stream::Reader, wait};

/// The ids of events that are shown so.
async fn shown(client: &Client, status: &str) -> BTreeSet<String> {
    let sql = "SELECT id::text FROM walpost_event_status WHERE status = $1";
    let rows = client.query(sql, &[&status]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What is said of one event.
async fn status(client: &Client, id: &str) -> Option<String> {
    client.query_one("SELECT walpost_status($1)", &[&id]).await.unwrap().get(0)
}

/// Waits until this is said of one event.
async fn until_status(client: &Client, id: &str, expected: &str) {
    let what = format!("event {id} is {expected}");
    wait::until(&what, async || status(client, id).await.as_deref() == Some(expected)).await;
}

/// Waits until every row of the outbox is published.
async fn until_all_published(client: &Client) {
    let sql = "SELECT count(*) FROM walpost_event_status WHERE status IS DISTINCT FROM 'published'";
    wait::until("every event is published", async || {
        let left: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        left == 0
    })
    .await;
}

/// The ids of everything that the stream holds.
async fn stored(reader: &Reader) -> BTreeSet<String> {
    reader.all().await.iter().map(|message| message.header("Nats-Msg-Id").to_owned()).collect()
}

/// Holds what is shown published against the stream, which is read afterwards.
async fn assert_honest(client: &Client, reader: &Reader) {
    let published = shown(client, "published").await;
    let stored = stored(reader).await;
    let too_early: Vec<_> = published.difference(&stored).collect();
    assert!(too_early.is_empty(), "shown published and not stored: {too_early:?}");
}
