//! Reads order events from JetStream, and writes an invoice for each, once.
//!
//! An error ends the program. Whoever starts it again gets the same event again, because it was not acknowledged.

use std::{env, error::Error};

use async_nats::jetstream::{self, Message, consumer::PullConsumer, consumer::pull::Config};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Client, NoTls};

type Failure = Box<dyn Error + Send + Sync>;

/// Handles one event after the other, until SIGTERM or Ctrl-C.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (mut database, connection) = tokio_postgres::connect(&env::var("DATABASE_URL")?, NoTls).await?;
    tokio::spawn(connection);
    let client = async_nats::connect(env::var("NATS_URL")?).await?;
    let stream = jetstream::new(client).get_stream("OUTBOX").await?;
    let config = Config {
        durable_name: Some("billing".to_owned()),
        filter_subject: "outbox.order.OrderPlaced".to_owned(),
        // With one message in flight, events are handled in commit order, however many of these programs run.
        max_ack_pending: 1,
        ..Config::default()
    };
    let orders: PullConsumer = stream.create_consumer(config).await?;
    let mut messages = orders.stream().max_messages_per_batch(1).messages().await?;
    loop {
        let message = tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            next = messages.next() => next.ok_or("the messages have ended")??,
        };
        handle(&mut database, &message).await?;
        message.double_ack().await?;
    }
}

/// Writes the invoice and the note that the event was handled, both or neither.
async fn handle(database: &mut Client, message: &Message) -> Result<(), Failure> {
    let headers = message.headers.as_ref().ok_or("the message has no headers")?;
    let header = |name: &str| headers.get(name).map(|value| value.as_str()).ok_or(format!("there is no {name}"));
    let transaction = database.transaction().await?;
    let noted = "INSERT INTO inbox (consumer, event_id) VALUES ('billing', $1) ON CONFLICT DO NOTHING";
    if transaction.execute(noted, &[&header("Nats-Msg-Id")?]).await? == 0 {
        return Ok(()); // it was handled before, and only the acknowledgement was lost
    }
    let order: serde_json::Value = serde_json::from_slice(&message.payload)?;
    let total_cents = order.get("total_cents").and_then(serde_json::Value::as_i64).ok_or("there is no total")?;
    let invoice = "INSERT INTO invoice (order_id, total_cents) VALUES ($1, $2)";
    transaction.execute(invoice, &[&header("Walpost-Aggregate-Id")?, &total_cents]).await?;
    transaction.commit().await?;
    Ok(())
}
