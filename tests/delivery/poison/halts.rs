//! `delivery.on_poison = "halt"`, and what must be there for dead letters.

use async_nats::jetstream::stream::Config;

use super::dead::{reason, record};
use crate::{
    daemon::Settings,
    stream::Reader,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, database, nats, newest},
};

/// Three events, of which the second can be carried by no message.
const EVENTS: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload) VALUES
    ('00000000-0000-7000-8000-000000000001', 'order', '1', 'placed', '\"hush\"'),
    ('00000000-0000-7000-8000-000000000002', 'order', E'2\\nhush', 'placed', '\"hush\"'),
    ('00000000-0000-7000-8000-000000000003', 'order', '3', 'placed', '\"hush\"')";

#[tokio::test]
async fn with_halt_the_line_stops_at_the_event_and_goes_on_once_dead_letters_are_allowed() {
    let (name, broker) = ("poison_halt", nats().await);
    let url = database(newest().await, name).await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
    settings.set_up().await;
    let client = connect(&url).await;
    let witness = Witness::begin(&client, name).await;
    client.batch_execute(EVENTS).await.unwrap();
    let seen = witness.all(&client).await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;

    let halting = settings.clone().with("DELIVERY_ON_POISON", "halt").with("LOG_FORMAT", "pretty");
    for _ in 0..3 {
        let answer = halting.run(&["run"]).await;
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        let told = format!(
            "caused by: the event \"00000000-0000-7000-8000-000000000002\" at {}:1 cannot be published (unsendable-value): its \
             value for the header Walpost-Aggregate-Id cannot be sent: a control character in the value; its row has ",
            seen[1].commit_lsn
        );
        assert!(answer.stderr.contains(&told), "no {told:?}: {}", answer.stderr);
        let hint = "\nhint: to go on without it, set delivery.on_poison = \"dead-letter\"";
        assert!(answer.stderr.contains(hint) && !answer.stderr.contains("hush"), "{}", answer.stderr);
        assert!(reader.last_sequence().await <= 1, "what comes after it was published");
    }
    let sql = "SELECT confirmed_flush_lsn < $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $2";
    let end = seen[0].end_lsn.to_string();
    assert!(client.query_one(sql, &[&end, &name]).await.unwrap().get::<_, bool>(0), "it was confirmed");

    let daemon = settings.lead().await;
    wait::until("all are stored", async || reader.last_sequence().await == 3).await;
    let stored = reader.all().await;
    assert_same(&seen, &stored, &log_of(&client, name).await);
    assert_eq!(stored.iter().map(reason).collect::<Vec<_>>(), [None, Some("unsendable-value"), None]);
    assert_eq!(record(&stored[1])["aggregate_id"], "2\nhush");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_with_the_way_to_let_it_through() {
    let (name, broker) = ("poison_large", nats().await);
    let url = database(newest().await, name).await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name).with("DELIVERY_ON_POISON", "halt");
    settings.set_up().await;
    let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
               SELECT gen_random_uuid(), 'order', '1', 'placed', to_jsonb(repeat('x', 1100000))";
    connect(&url).await.batch_execute(sql).await.unwrap();
    let answer = settings.clone().with("LOG_FORMAT", "pretty").run(&["run"]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("bytes and the NATS server takes 1048576 (its max_payload)"), "{}", answer.stderr);
    let hint = "\nhint: to let it through, raise max_payload of the NATS server (and max_msg_size of the stream, if it \
                has one); to go on without it, set delivery.on_poison = \"dead-letter\"";
    assert!(answer.stderr.contains(hint), "{}", answer.stderr);
}

#[tokio::test]
async fn a_stream_that_takes_no_dead_letters_is_told_before_anything_is_delivered() {
    let (name, broker) = ("poison_preflight", nats().await);
    let url = database(newest().await, name).await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    reader.create(Config { subjects: vec!["outbox.>".to_owned()], ..Config::default() }).await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
    // What can be created is created, and the rest is told.
    let answer = settings.run(&["setup"]).await;
    println!("{}{}", answer.stdout, answer.stderr);
    let answer = settings.clone().with("LOG_FORMAT", "pretty").run(&["run"]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    for line in [
        "  WP0502 stream \"OUTBOX\" does not take subject \"outbox_dlq.>\"\n",
        "    hint: add \"outbox_dlq.>\" to the subjects of the stream, for example with `nats stream edit OUTBOX`\n",
    ] {
        assert!(answer.stderr.contains(line), "{}", answer.stderr);
    }
    reader.update(|config| config.subjects.push("outbox_dlq.>".to_owned())).await;
    settings.set_up().await;
    assert_eq!(settings.lead().await.terminate().await, 0);
}
