//! Sudden ends, with poison among what is delivered: nothing lost, repeated or reordered, dead letters included.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use tokio_postgres::Client;

use super::dead::{reason, record};
use crate::{
    chance::Chance,
    daemon::Settings,
    stream::Reader,
    supervised::Supervised,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, nats, own_postgres},
};

/// How often the program is killed.
const KILLS: u64 = 10;
/// How many more messages each life must store before it is killed, at the most.
const LIFE: u64 = 40;
/// How long the application rests between transactions: on two processors, something left for the others.
const REST: Duration = Duration::from_millis(3);

/// Values of the aggregate id, as SQL, and of the size of the payload, with what becomes of them.
const KINDS: [(&str, u32, Option<&str>); 6] = [
    ("'7'", 10, None),
    ("'8'", 5000, None),
    ("'9'", 10, None),
    ("E'7\\r\\nNats-Rollup: all'", 10, Some("unsendable-value")),
    ("repeat('k', 20000)", 10, Some("unsendable-value")),
    ("'7'", 1_100_000, Some("message-too-large")),
];

/// Records events of all kinds in transactions of one to four until told to stop, and gives the reason of each by its id.
async fn write(url: String, seed: u64, stop: Arc<AtomicBool>) -> BTreeMap<String, Option<&'static str>> {
    let (client, mut chance) = (connect(&url).await, Chance::new(seed));
    let mut recorded = BTreeMap::new();
    while !stop.load(Relaxed) {
        let mut rows = Vec::new();
        for _ in 0..=chance.below(4) {
            let id = uuid::Uuid::new_v4().to_string();
            // Most are small, so that some are on their way when the end comes.
            let (aggregate_id, bytes, reason) = if chance.percent(60) { KINDS[0] } else { *chance.one_of(&KINDS) };
            rows.push(format!("('{id}', 'order', {aggregate_id}, 'placed', to_jsonb(repeat('x', {bytes})))"));
            recorded.insert(id, reason);
        }
        let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload) VALUES ";
        client.batch_execute(&[sql, &rows.join(", ")].concat()).await.unwrap();
        sleep(REST).await;
    }
    recorded
}

#[tokio::test]
async fn kills_lose_repeat_and_reorder_nothing_with_poison_among_the_events() {
    let seed = Chance::seed("kills with poison");
    let (postgres, broker) = (own_postgres(&[("max_wal_size", "4GB")]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let witness = Witness::begin(&client, "poison_killed").await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(postgres.url(), seed, Arc::clone(&stop)));

    let (mut chance, mut daemon) = (Chance::new(seed), Supervised::start(&settings));
    for _ in 0..KILLS {
        let enough = reader.last_sequence().await + 1 + chance.below(LIFE);
        wait::until("some are stored", async || {
            daemon.look().await;
            reader.last_sequence().await >= enough
        })
        .await;
        daemon.kill().await;
        assert_eq!(published_poison(&client).await, 0);
        daemon.start_again();
    }
    stop.store(true, Relaxed);
    let recorded = writer.await.unwrap();
    wait::until("all are stored", async || {
        daemon.look().await;
        reader.last_sequence().await >= recorded.len() as u64
    })
    .await;
    let (seen, stored) = (witness.all(&client).await, reader.all().await);
    assert_same(&seen, &stored, &log_of(&client, "walpost").await);
    let mut dead = 0;
    for message in &stored {
        assert_eq!(reason(message), recorded[message.event_id()], "message {}", message.sequence);
        if reason(message).is_some() {
            dead += 1;
            assert_eq!(record(message)["event_id"], message.event_id());
        }
    }
    println!("{} events, {dead} of them dead letters", stored.len());
    assert!(dead > 10 && dead < stored.len() / 2, "{dead} of {} are dead letters", stored.len());
    wait::until("the daemon delivers", async || daemon.look().await).await;
    assert_status(&client, &recorded).await;
    assert_eq!(daemon.terminate().await, 0);
}

/// How many events are shown published that no message can carry.
async fn published_poison(client: &Client) -> i64 {
    let sql = r"SELECT count(*) FROM outbox JOIN walpost_event_status s USING (id)
                 WHERE s.status = 'published'
                   AND (aggregate_id LIKE E'%\r%' OR length(aggregate_id) > 16384 OR length(payload::text) > 1048576)";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// What the database says in the end: each event is published or dead, and why.
async fn assert_status(client: &Client, recorded: &BTreeMap<String, Option<&'static str>>) {
    let sql = "SELECT count(*) FROM walpost_event_status WHERE status = 'pending'";
    wait::until("none is pending", async || client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
    let sql = "SELECT s.id::text, d.reason FROM walpost_event_status s LEFT JOIN walpost_dead_letter d ON d.event_id = s.id::text
                WHERE (s.status = 'dead') = (d.state IS NOT DISTINCT FROM 'dead')";
    let rows = client.query(sql, &[]).await.unwrap();
    let told: BTreeMap<String, Option<String>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected: BTreeMap<_, _> =
        recorded.iter().map(|(id, reason)| (id.clone(), reason.map(str::to_owned))).collect();
    assert_eq!((rows.len(), told == expected), (recorded.len(), true), "the status or a reason is wrong");
}

#[tokio::test]
async fn a_dead_letter_that_is_sent_again_to_a_broker_that_came_back_is_counted_and_logged_once() {
    let (postgres, mut broker) = (own_postgres(&[]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let witness = Witness::begin(&client, "poison_again").await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let daemon = settings.lead().await;
    let insert = async |aggregate_id: &str| {
        let sql = format!(
            "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
             VALUES (gen_random_uuid(), 'order', {aggregate_id}, 'placed', '{{}}')"
        );
        client.batch_execute(&sql).await.unwrap();
    };
    insert("'7'").await;
    wait::until("the first is stored", async || reader.last_sequence().await == 1).await;
    broker.pause().await.unwrap();
    for aggregate_id in ["'8'", "E'8\\n'", "'9'"] {
        insert(aggregate_id).await;
    }
    wait::until("all are under way", async || daemon.status().await.unwrap()["events"]["in_flight"] == 3).await;
    wait::until("one is a dead letter", async || daemon.status().await.unwrap()["dead_letters"]["total"] == 1).await;
    broker.kill().await.unwrap();
    broker.restart().await.unwrap();
    wait::until("all are stored", async || reader.last_sequence().await == 4).await;
    let (seen, stored) = (witness.all(&client).await, reader.all().await);
    assert_same(&seen, &stored, &log_of(&client, "walpost").await);
    assert_eq!(stored.iter().map(reason).collect::<Vec<_>>(), [None, None, Some("unsendable-value"), None]);
    let status = daemon.status().await.unwrap();
    assert!(status["retries"].as_u64().unwrap() > 0, "nothing was sent again: {status}");
    assert_eq!(status["dead_letters"]["total"], 1);
    assert_eq!(daemon.log().matches("a dead letter takes the place of an event").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.terminate().await, 0);
}
