//! Every kind of poison in one transaction, between events that are only strange.

use serde_json::json;

use super::dead::{reason, record, size};
use crate::{
    daemon::{Daemon, Settings},
    stream::{Reader, Stored},
    wait,
    world::{connect, database, nats, newest},
};

/// A table that forbids nothing.
const TABLE: &str = "CREATE TABLE outbox (id text, aggregate_type text, aggregate_id text, event_type text, payload bytea, headers text)";

/// A good row as SQL, by column.
const GOOD: [&str; 6] = ["'id-' || gen_random_uuid()", "'order'", "'7'", "'placed'", "'hush-payload'", "'{}'"];

/// Two headers that just fit, and with two long values do no more.
const LARGE_HEADERS: &str =
    "'{\"hush-a\": \"' || repeat('x', 16370) || '\", \"hush-b\": \"' || repeat('x', 16370) || '\"}'";

/// One column of a row replaced, and what becomes of the row: a reason, or none for an event.
const ROWS: [(usize, &str, Option<&str>); 26] = [
    (0, "'plain'", None),
    (0, "NULL", Some("null-value")),
    (1, "NULL", Some("null-value")),
    (2, "NULL", Some("null-value")),
    (3, "NULL", Some("null-value")),
    (4, "NULL", None),
    (5, "NULL", None),
    (0, "''", Some("empty-id")),
    (2, "''", None),
    (0, "E'a\\r\\nNats-Rollup: all'", Some("unsendable-value")),
    (0, "E'a\\nb'", Some("unsendable-value")),
    (2, "E'\\r\\n\\r\\nPUB outbox.x 1\\r\\nx'", Some("unsendable-value")),
    (1, "E'a\\tb'", Some("unsendable-value")),
    (3, "E'\\u001b[31m'", Some("unsendable-value")),
    (2, "E'\\u0085'", Some("unsendable-value")),
    (2, "' 7'", Some("unsendable-value")),
    (2, "E'7\\u3000'", Some("unsendable-value")),
    (2, "'x Nats-Expected-Last-Sequence: 0'", Some("unsendable-value")),
    (2, "repeat('x', 16384)", None),
    (2, "repeat('x', 16385)", Some("unsendable-value")),
    (3, "repeat('x', 2000)", Some("subject-too-long")),
    (1, "repeat('.', 400)", Some("subject-too-long")),
    (3, "'*.> $JS.API 100% 🎉'", None),
    (5, "E'not json \\u0001'", None),
    (4, "convert_to(repeat('hush-payload', 100000), 'UTF8')", Some("message-too-large")),
    (4, "'\\x00ff0d0a'", None),
];

fn row(column: usize, sql: &str) -> String {
    let mut columns = GOOD;
    columns[column] = sql;
    format!("({})", columns.join(", "))
}

/// Each message stands at its own place in the transaction, under an id of its own; records show nothing of a payload.
fn assert_in_place(stored: &[Stored]) {
    let mut ids = std::collections::BTreeSet::new();
    for (index, message) in stored.iter().enumerate() {
        assert!(message.header("Walpost-Position").ends_with(&format!(":{index}")), "{index}");
        assert!(ids.insert(message.header("Nats-Msg-Id")), "an id is used twice");
        if reason(message).is_some() {
            let record = record(message);
            assert!(!record.to_string().contains("hush"), "{record}");
            let has_id = record["event_id"].as_str() == Some(message.event_id());
            let has_own =
                message.header("Nats-Msg-Id") == format!("dead-letter:{}", message.header("Walpost-Position"));
            assert!(has_id || has_own, "{message:?}");
        }
    }
}

/// The dead letters among so many messages are counted by reason and logged, each once.
async fn assert_accounted_for(daemon: &Daemon, stored: usize) {
    let counted = json!({
        "total": 19,
        "by_reason": {
            "null-value": 4, "empty-id": 1, "unsendable-value": 10, "subject-too-long": 2, "message-too-large": 1,
            "headers-too-large": 1,
        },
    });
    wait::until("all are answered", async || daemon.status().await.unwrap()["events"]["in_flight"] == 0).await;
    let status = daemon.status().await.unwrap();
    assert_eq!((&status["dead_letters"], &status["events"]["stored"]), (&counted, &stored.into()));
    let metrics = daemon.get("/metrics").await.unwrap().body;
    for line in ["unsendable-value\"} 10\n", "invalid-utf8\"} 0\n"] {
        assert!(metrics.contains(&format!("walpost_dead_letters_total{{reason=\"{line}")), "{metrics}");
    }
    let log = daemon.log();
    let warnings: Vec<&str> =
        log.lines().filter(|line| line.contains("a dead letter takes the place of an event")).collect();
    assert_eq!(warnings.len(), 19, "{log}");
    assert!(warnings.iter().all(|line| line.len() < 600 && line.contains("\"level\":\"WARN\"")), "{log}");
    assert!(!log.contains("hush") && !metrics.contains("hush"), "{log}");
}

#[tokio::test]
async fn each_takes_its_place_in_order_is_counted_and_logged_once_and_shows_no_payload() {
    let (name, broker) = ("poison_kinds", nats().await);
    let url = database(newest().await, name).await;
    let client = connect(&url).await;
    client.batch_execute(TABLE).await.unwrap();
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
    settings.set_up().await;
    let mut rows: Vec<String> = ROWS.iter().map(|(column, sql, _)| row(*column, sql)).collect();
    // And one that is too much only as a whole.
    let [_, aggregate_type, _, event_type, payload, _] = GOOD;
    let long = "repeat('y', 16384)";
    rows.push(format!("({long}, {aggregate_type}, {long}, {event_type}, {payload}, {LARGE_HEADERS})"));
    let expected: Vec<_> = ROWS.iter().map(|row| row.2).chain([Some("headers-too-large")]).collect();
    let daemon = settings.lead().await;
    client.batch_execute(&format!("INSERT INTO outbox VALUES {}", rows.join(", "))).await.unwrap();
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    wait::until("all are stored", async || reader.last_sequence().await >= expected.len() as u64).await;

    let stored = reader.all().await;
    assert_eq!(stored.iter().map(reason).collect::<Vec<_>>(), expected);
    assert_in_place(&stored);
    assert_eq!(stored[2].subject, "outbox_dlq.%unknown");
    assert_eq!(stored[12].subject, "outbox_dlq.a%09b");
    let largest = stored.iter().filter(|message| reason(message).is_some()).map(size).max().unwrap();
    println!("the largest dead letter has {largest} bytes");

    assert_accounted_for(&daemon, expected.len()).await;
    assert_eq!(daemon.terminate().await, 0);

    // The next start continues behind them.
    client.batch_execute(&format!("INSERT INTO outbox VALUES {}", row(0, "'last'"))).await.unwrap();
    let daemon = settings.lead().await;
    wait::until("the last is stored", async || reader.last_sequence().await > expected.len() as u64).await;
    let stored = reader.all().await;
    assert_eq!((stored.len(), stored.last().unwrap().header("Nats-Msg-Id")), (expected.len() + 1, "last"));
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_a_dead_letter_and_a_payload_of_any_bytes_is_not() {
    let (name, broker) = ("poison_ascii", nats().await);
    let server = newest().await;
    server.execute_sql(&format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0")).await.unwrap();
    let url = server.url_for("postgres", name);
    let client = connect(&url).await;
    client.batch_execute(&TABLE.replace("payload bytea", "payload text")).await.unwrap();
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
    settings.set_up().await;
    let mut daemon = settings.lead().await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let rows = [
        row(0, "'first'"),
        row(0, "E'\\xFF'"),
        row(1, "E'a\\xC0\\x80'"),
        row(2, "E'\\xED\\xA0\\x80'"),
        row(3, "E'\\xC5'"),
        row(4, "E'\\xFF\\xFE'"),
        row(5, "E'{\"a\": \"\\xFF\", \"b\": \"c\"}'"),
        row(0, "E'\\xC5\\xBC'"),
    ];
    client.batch_execute(&format!("INSERT INTO outbox VALUES {}", rows.join(", "))).await.unwrap();
    wait::until("all are stored", async || {
        assert_eq!(daemon.exit_code(), None, "{}", daemon.log());
        reader.last_sequence().await >= rows.len() as u64
    })
    .await;
    let stored = reader.all().await;
    let bad = Some("invalid-utf8");
    assert_eq!(stored.iter().map(reason).collect::<Vec<_>>(), [None, bad, bad, bad, bad, None, None, None]);
    let subjects: Vec<&str> = stored[1..5].iter().map(|message| message.subject.as_str()).collect();
    assert_eq!(subjects, ["outbox_dlq.order", "outbox_dlq.%unknown", "outbox_dlq.order", "outbox_dlq.order"]);
    assert_eq!(record(&stored[1])["event_id"], serde_json::Value::Null);
    assert_eq!(stored[5].body, b"\xFF\xFE");
    assert_eq!(stored[7].header("Nats-Msg-Id"), "ż");
    assert_eq!(daemon.terminate().await, 0);
}
