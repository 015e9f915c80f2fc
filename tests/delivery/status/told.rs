//! Whoever waits for an event is woken, and an idle outbox writes nothing.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::{sync::mpsc, time::timeout};
use tokio_postgres::{AsyncMessage, NoTls};
use uuid::Uuid;

use super::{status, until_status};
use crate::{
    daemon::Settings,
    wait,
    world::{connect, database, nats, newest, own_postgres},
};

/// Long past what a notification takes; reached only when none comes.
const BOUND: Duration = Duration::from_secs(60);

const INSERT: &str =
    "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type) VALUES ($1::text::uuid, 'a', 'b', 'c')";

#[tokio::test]
async fn whoever_listens_is_woken_when_an_event_is_published() {
    let (postgres, broker) = (newest().await, nats().await);
    let url = database(postgres, "status_listen").await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", "status_listen");
    settings.set_up().await;
    let daemon = settings.lead().await;
    let (client, mut connection) = Box::pin(tokio_postgres::connect(&url, NoTls)).await.unwrap();
    let (heard, mut notifications) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(told) = message {
                heard.send((told.channel().to_owned(), told.payload().to_owned())).await.unwrap();
            }
        }
    });
    let id = Uuid::now_v7().to_string();
    client.batch_execute("LISTEN walpost_delivered").await.unwrap();
    client.execute(INSERT, &[&id]).await.unwrap();
    // The first one may be that of the start. Nobody looks before one has come.
    loop {
        let told = timeout(BOUND, notifications.recv()).await.expect("a notification in time").unwrap();
        assert_eq!(told, ("walpost_delivered".to_owned(), "status_listen".to_owned()));
        if status(&client, &id).await.as_deref() == Some("published") {
            break;
        }
    }
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn an_idle_outbox_costs_no_write_and_holds_back_no_log() {
    let (postgres, broker) = (own_postgres(&[]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let daemon = settings.lead().await;
    let id = Uuid::now_v7().to_string();
    client.execute(INSERT, &[&id]).await.unwrap();
    until_status(&client, &id, "published").await;
    let version = async || -> String {
        let sql = "SELECT xmin || ' ' || ctid || ' ' || delivered_at FROM walpost_watermark";
        client.query_one(sql, &[]).await.unwrap().get(0)
    };
    // The row settles once the log of its own last change is confirmed.
    let is_confirmed =
        "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
    let confirmed = async || {
        client.batch_execute("CREATE TABLE IF NOT EXISTS other (n int); INSERT INTO other VALUES (1)").await.unwrap();
        let end: String = client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
        wait::until("other work is confirmed", async || client.query_one(is_confirmed, &[&end]).await.unwrap().get(0))
            .await;
    };
    confirmed().await;
    let before = version().await;
    for _ in 0..5 {
        confirmed().await;
    }
    assert_eq!(version().await, before, "the watermark was written although nothing was delivered");
    assert_eq!(daemon.terminate().await, 0);
}
