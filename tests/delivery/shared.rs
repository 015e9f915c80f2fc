//! A stream that is not walpost's alone: less is promised, and that is kept.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::{
    self,
    consumer::pull,
    stream::{Config, RetentionPolicy},
};
use futures_util::StreamExt;
use walpost::sandbox::servers::PrivateNats;

use crate::{
    daemon::Settings,
    stream::Reader,
    wait,
    witness::Witness,
    world::{connect, database, nats, newest},
};

/// Ten events of each of fifty aggregates, each with its number.
const EVENTS: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                      SELECT gen_random_uuid(), 'order', (n % 50)::text, 'placed', to_jsonb(n) FROM generate_series($1::int, $2::int) n";

/// Settings for a new database and a stream of this configuration.
async fn begin(name: &str, broker: &PrivateNats, config: Config) -> (Settings, tokio_postgres::Client, Reader) {
    let url = database(newest().await, name).await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    reader.create(config).await;
    settings.set_up().await;
    (settings, connect(&url).await, reader)
}

#[tokio::test]
async fn a_work_queue_gets_every_event_in_the_order_of_its_aggregate_across_broker_restarts() {
    let (name, mut broker) = ("shared_queue", nats().await);
    let subjects = vec!["outbox.>".into(), "outbox_dlq.>".into()];
    let config = Config { subjects, retention: RetentionPolicy::WorkQueue, ..Config::default() };
    let (settings, client, _reader) = begin(name, &broker, config).await;
    let witness = Witness::begin(&client, name).await;
    let daemon = settings.lead().await;
    assert_eq!(daemon.status().await.unwrap()["mode"], "shared");
    assert!(daemon.log().contains("the stream is shared: after a fault some events may be stored twice"));

    let mut consumed: Vec<(String, i64)> = Vec::new();
    for round in 0..3 {
        client.execute(EVENTS, &[&(round * 500), &(round * 500 + 499)]).await.unwrap();
        if round == 1 {
            broker.kill().await.unwrap();
            daemon.until_blocked("WP0401").await;
            broker.restart().await.unwrap();
        }
        let all: BTreeSet<String> = witness.all(&client).await.into_iter().map(|seen| seen.id).collect();
        let queue = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
        let options = pull::Config { durable_name: Some("worker".into()), ..pull::Config::default() };
        let stream = queue.get_stream("OUTBOX").await.unwrap();
        let consumer = Box::pin(stream.get_or_create_consumer("worker", options)).await.unwrap();
        let mut messages = Box::pin(consumer.messages()).await.unwrap();
        while consumed.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len() < all.len() {
            let message = messages.next().await.unwrap().unwrap();
            let id = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().to_string();
            consumed.push((id, str::from_utf8(&message.payload).unwrap().parse().unwrap()));
            message.double_ack().await.unwrap();
        }
    }
    let all: BTreeSet<String> = witness.all(&client).await.into_iter().map(|seen| seen.id).collect();
    assert_eq!(consumed.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>(), all, "lost or invented");
    let duplicates = consumed.len() - all.len();
    println!("{} events, {duplicates} twice", all.len());
    assert!(duplicates <= 500, "more than were under way when the broker went");
    // First deliveries of an aggregate come in its order.
    let (mut last, mut known) = (BTreeMap::new(), BTreeSet::new());
    for (id, number) in &consumed {
        if known.insert(id) {
            let before = last.insert(number % 50, *number);
            assert!(before < Some(*number), "{number} of aggregate {} came after {before:?}", number % 50);
        }
    }
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stream_that_others_write_to_all_the_time_gets_every_event_once() {
    let (name, broker) = ("shared_foreign", nats().await);
    let subjects = ["outbox.>", "outbox_dlq.>", "metrics.>"].map(str::to_owned).to_vec();
    let (settings, client, reader) = begin(name, &broker, Config { subjects, ..Config::default() }).await;
    let daemon = settings.lead().await;
    assert_eq!(daemon.status().await.unwrap()["mode"], "shared");
    let other = async_nats::connect(broker.url()).await.unwrap();
    let noise = tokio::spawn(async move {
        loop {
            other.publish("metrics.cpu", "1".into()).await.unwrap();
            other.flush().await.unwrap();
        }
    });
    client.execute(EVENTS, &[&0, &999]).await.unwrap();
    let confirmed =
        "SELECT confirmed_flush_lsn >= pg_current_wal_flush_lsn() FROM pg_replication_slots WHERE slot_name = $1";
    wait::until("all is confirmed", async || client.query_one(confirmed, &[&name]).await.unwrap().get(0)).await;
    noise.abort();
    let ours: Vec<_> = reader.all().await.into_iter().filter(|stored| stored.subject.starts_with("outbox.")).collect();
    let ids: BTreeSet<&str> = ours.iter().map(|stored| stored.header("Nats-Msg-Id")).collect();
    assert_eq!((ours.len(), ids.len()), (1000, 1000));
    assert_eq!(daemon.terminate().await, 0);
}
