//! Messages at the limits of the server and the stream, and limits that change while events flow.

use std::ops::RangeInclusive;

use serde_json::Value;
use tokio_postgres::Client;
use walpost::sandbox::servers::{NatsOptions, PrivateNats};

use super::dead::{reason, record, size};
use crate::{
    daemon::Settings,
    stream::{Reader, Stored},
    supervised::Supervised,
    wait,
    world::{connect, database, newest},
};

/// A limit well below any default.
const LIMIT: u64 = 20_000;
/// Well below that.
const SMALL: u64 = 100;
/// What a server takes of headers, whatever it is told.
const MAX_HEADERS: u64 = 65_535;

/// A database, a broker, and who watches them.
struct World {
    client: Client,
    broker: PrivateNats,
    reader: Reader,
    settings: Settings,
}

impl World {
    async fn begin(name: &str, options: NatsOptions) -> Self {
        Self::with_subject(name, options, "outbox.{aggregate_type}.{event_type}").await
    }

    async fn with_subject(name: &str, options: NatsOptions, subject: &str) -> Self {
        let url = database(newest().await, name).await;
        let broker = PrivateNats::start(options).await.unwrap();
        let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name).with("NATS_SUBJECT", subject);
        settings.set_up().await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        Self { client: connect(&url).await, broker, reader, settings }
    }

    /// Records an event for each of these sizes of payloads, all in one transaction.
    async fn record(&self, sizes: impl IntoIterator<Item = u64>) {
        let row = |bytes| format!("(gen_random_uuid(), 'order', '7', 'placed', to_jsonb(repeat('x', {})))", bytes - 2);
        let rows: Vec<String> = sizes.into_iter().map(row).collect();
        let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload) VALUES ";
        self.client.batch_execute(&[sql, &rows.join(", ")].concat()).await.unwrap();
    }

    /// Waits until so many messages are stored, and gives them.
    async fn stored(&self, count: u64) -> Vec<Stored> {
        wait::until("all are stored", async || self.reader.last_sequence().await >= count).await;
        self.reader.all().await
    }

    /// Delivers events of sizes around `limit`; what is larger, and only that, must become a dead letter.
    async fn deliver_around(&self, limit: u64, named: &str) {
        let daemon = self.settings.lead().await;
        self.record([SMALL]).await;
        let first = self.stored(1).await.remove(0);
        let headers = size(&first) - SMALL;
        // Few enough for sequences and indexes of one digit, so that only the payloads differ.
        self.record((limit - headers - 3)..=(limit - headers + 3)).await;
        let messages = self.stored(8).await;
        assert_eq!(messages.len(), 8);
        let (mut largest, mut smallest) = (0, u64::MAX);
        for message in &messages {
            match reason(message) {
                None => largest = largest.max(size(message)),
                Some(reason) => {
                    let record = record(message);
                    let found = record["sizes"]["found"].as_u64().unwrap();
                    smallest = smallest.min(found);
                    assert_eq!((reason, record["sizes"]["limit"].as_u64()), ("message-too-large", Some(limit)));
                    let told = format!("the message has {found} bytes and the {named}");
                    assert_eq!(record["detail"], Value::from(told));
                }
            }
        }
        assert_eq!((largest, smallest), (limit, limit + 1));
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_message_as_large_as_the_server_takes_is_stored_and_one_byte_more_is_a_dead_letter() {
    let world = World::begin("poison_server", NatsOptions::default().max_payload(LIMIT)).await;
    world.deliver_around(LIMIT, &format!("NATS server takes {LIMIT} (its max_payload)")).await;
}

#[tokio::test]
async fn a_message_as_large_as_the_stream_takes_is_stored_and_one_byte_more_is_a_dead_letter() {
    let world = World::begin("poison_stream", NatsOptions::default()).await;
    world.reader.update(|config| config.max_message_size = i32::try_from(LIMIT).unwrap()).await;
    world.deliver_around(LIMIT, &format!("stream takes {LIMIT} (its max_msg_size)")).await;
}

#[tokio::test]
async fn headers_as_large_as_any_server_takes_are_stored_and_one_byte_more_is_a_dead_letter() {
    let world = World::with_subject("poison_headers", NatsOptions::default(), "outbox.all").await;
    let daemon = world.settings.lead().await;
    // Three values as long as a value may be, and one header besides, which makes the difference.
    let insert = async |sizes: RangeInclusive<u64>| {
        let (from, to) = sizes.into_inner();
        let sql = format!(
            "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, headers)
             SELECT gen_random_uuid(), repeat('t', 16384), repeat('i', 16384), repeat('e', 16384),
                    jsonb_build_object('a', repeat('a', n)) FROM generate_series({from}, {to}) n"
        );
        world.client.batch_execute(&sql).await.unwrap();
    };
    insert(SMALL..=SMALL).await;
    let others = size(&world.stored(1).await.remove(0)) - SMALL;
    insert(MAX_HEADERS - others - 3..=MAX_HEADERS - others + 3).await;
    let messages = world.stored(8).await;
    for (message, bytes) in messages[1..].iter().zip(MAX_HEADERS - 3..) {
        if bytes <= MAX_HEADERS {
            assert_eq!((reason(message), size(message)), (None, bytes));
        } else {
            assert_eq!(reason(message), Some("headers-too-large"));
            assert_eq!(record(message)["sizes"]["found"], bytes);
        }
    }
    assert_eq!(daemon.terminate().await, 0);
}

/// Delivers a small, a larger and a small event; then the limit goes down, and the same three come again.
async fn lowered(mut world: World, lower: impl AsyncFnOnce(&mut World)) {
    let mut daemon = Supervised::start(&world.settings);
    let sizes = [SMALL, LIMIT + 5000, SMALL];
    world.record(sizes).await;
    assert!(world.stored(3).await.iter().all(|message| reason(message).is_none()));
    lower(&mut world).await;
    world.record(sizes).await;
    wait::until("all are stored", async || {
        daemon.look().await;
        world.reader.last_sequence().await >= 6
    })
    .await;
    let messages = world.reader.all().await;
    let reasons: Vec<_> = messages.iter().map(reason).collect();
    assert_eq!(reasons, [None, None, None, None, Some("message-too-large"), None]);
    assert_eq!(record(&messages[4])["sizes"]["limit"], LIMIT);
    wait::until("the daemon delivers", async || daemon.look().await).await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_max_payload_that_is_lowered_while_events_flow_is_heeded() {
    let world = World::begin("poison_lowered", NatsOptions::default()).await;
    lowered(world, async |world| world.broker.reload(|options| options.max_payload(LIMIT)).await.unwrap()).await;
}

#[tokio::test]
async fn a_max_msg_size_that_is_lowered_while_events_flow_is_heeded() {
    let world = World::begin("poison_refused", NatsOptions::default()).await;
    let lower = async |world: &mut World| {
        world.reader.update(|config| config.max_message_size = LIMIT.try_into().unwrap()).await;
    };
    lowered(world, lower).await;
}

#[tokio::test]
async fn a_broker_that_takes_not_even_a_dead_letter_stops_the_line_and_is_told_how_much_it_must_take() {
    let mut world = World::begin("poison_tiny", NatsOptions::default()).await;
    world.record([SMALL, SMALL]).await;
    world.broker.reload(|options| options.max_payload(300)).await.unwrap();
    let answer = world.settings.clone().with("LOG_FORMAT", "pretty").run(&["run"]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("and neither can its dead letter: the message has"), "{}", answer.stderr);
    assert!(answer.stderr.contains("\nhint: raise max_payload of the NATS server"), "{}", answer.stderr);
    assert_eq!(world.reader.last_sequence().await, 0);

    world.broker.reload(|options| options.max_payload(8192)).await.unwrap();
    let daemon = world.settings.lead().await;
    assert!(world.stored(2).await.iter().all(|message| reason(message).is_none()));
    assert_eq!(daemon.terminate().await, 0);
}
