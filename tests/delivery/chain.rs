//! What breaks the chain of messages from outside: somebody else's messages, and a broker that forgets.

use std::path::Path;

use async_nats::{HeaderMap, jetstream};
use tokio::process::Command;
use tokio_postgres::Client;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use crate::{
    daemon::{Daemon, Settings},
    stream::Reader,
    wait,
    witness::Witness,
    world::{connect, nats, own_postgres},
};

/// This many events in one transaction.
const EVENTS: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                      SELECT gen_random_uuid(), 'order', n::text, 'placed', '{}' FROM generate_series(1, $1::int) n";
const HOLD_BACK: &str = "3s";
const HOLD_BACK_SECONDS: f64 = 3.0;

struct World {
    _postgres: PrivatePostgres,
    broker: PrivateNats,
    client: Client,
    witness: Witness,
    reader: Reader,
    settings: Settings,
    daemon: Daemon,
}

impl World {
    async fn begin(change: impl FnOnce(Settings) -> Settings) -> Self {
        let (postgres, broker) = (own_postgres(&[]).await, nats().await);
        let settings = change(Settings::new(&postgres.url(), &broker.url()));
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let witness = Witness::begin(&client, "chain").await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        let daemon = settings.lead().await;
        Self { _postgres: postgres, broker, client, witness, reader, settings, daemon }
    }

    async fn commit(&self, events: i32) {
        self.client.execute(EVENTS, &[&events]).await.unwrap();
    }

    /// Whether the slot is past everything that was committed.
    async fn is_confirmed(&self) -> bool {
        let last = self.witness.all(&self.client).await.last().unwrap().end_lsn.to_string();
        let sql =
            "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
        self.client.query_one(sql, &[&last]).await.unwrap().get(0)
    }

    /// Waits until walpost has stored so many messages, and holds them against the witness.
    async fn assert_delivered(&self) {
        let committed: Vec<String> = self.witness.all(&self.client).await.into_iter().map(|seen| seen.id).collect();
        let delivered = async || {
            let stored = self.reader.all().await.into_iter().filter(|m| m.headers.contains_key("Walpost-Position"));
            stored.map(|message| message.header("Nats-Msg-Id").to_owned()).collect::<Vec<String>>()
        };
        wait::until("as many are stored", async || delivered().await.len() >= committed.len()).await;
        assert_eq!(delivered().await, committed, "{}", self.daemon.log());
    }
}

#[tokio::test]
async fn messages_of_somebody_else_cost_no_event_and_no_order() {
    let world = World::begin(|settings| settings).await;
    let intruder = jetstream::new(async_nats::connect(world.broker.url()).await.unwrap());
    world.commit(1).await;
    wait::until("the first event is stored", async || world.reader.last_sequence().await == 1).await;
    for _ in 0..10 {
        // The next burst does not know of it: its first message is refused, and those behind it must be too.
        Box::pin(intruder.publish("outbox.order.intruder", "".into())).await.unwrap().await.unwrap();
        world.commit(40).await;
        world.assert_delivered().await;
    }
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn what_a_broker_forgot_is_sent_again_although_it_was_away_for_longer_than_the_hold_back() {
    let mut world = World::begin(|settings| settings.with("DELIVERY_HOLD_BACK", HOLD_BACK)).await;
    world.commit(3).await;
    world.assert_delivered().await;
    // What is on the broker's disk when it loses power.
    world.broker.stop().await.unwrap();
    let (store, saved) = (world.broker.store_dir(), world.broker.folder().join("saved"));
    copy(&store, &saved).await;
    world.broker.restart().await.unwrap();
    world.daemon.until_phase("leading").await;
    world.commit(5).await;
    world.assert_delivered().await;
    world.broker.kill().await.unwrap();
    assert!(!world.is_confirmed().await, "the machine is too slow for this hold-back");
    wait::until("it is away for longer than the hold-back", async || {
        let status = world.daemon.status().await;
        status.is_some_and(|status| status["trouble"]["seconds"].as_f64().unwrap_or(0.0) > HOLD_BACK_SECONDS + 1.0)
    })
    .await;
    assert!(!world.is_confirmed().await, "nobody knows whether the broker still has it");
    tokio::fs::remove_dir_all(&store).await.unwrap();
    copy(&saved, &store).await;
    world.broker.restart().await.unwrap();
    world.assert_delivered().await;
    wait::until("an idle outbox is confirmed after all", async || world.is_confirmed().await).await;
    assert_eq!(world.daemon.terminate().await, 0);
}

/// What somebody else's message does between two of ours that are under way, where messages do not name the one before
/// (several replicas): the first is refused, and the second takes its place.
#[tokio::test]
async fn an_event_that_somebody_elses_message_displaced_goes_to_the_end_and_the_stream_stays_a_checkpoint() {
    // Nothing is confirmed, so the log has everything.
    let world = World::begin(|settings| settings.with("DELIVERY_HOLD_BACK", "10m")).await;
    world.commit(4).await;
    world.assert_delivered().await;
    let World { _postgres, mut broker, client, witness, reader, settings, daemon } = world;
    let sent = reader.all().await;
    assert_eq!(daemon.terminate().await, 0);
    let committed: Vec<String> = witness.all(&client).await.into_iter().map(|seen| seen.id).collect();

    let intruder = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
    Box::pin(intruder.get_stream("OUTBOX")).await.unwrap().purge().await.unwrap();
    // After a restart the broker remembers ids of what it holds, as it never heard of those that it refused.
    broker.stop().await.unwrap();
    broker.restart().await.unwrap();
    for ours in [Some(&sent[0]), None, None, Some(&sent[3])] {
        let mut headers = HeaderMap::new();
        if let Some(message) = ours {
            headers.insert("Walpost-Position", message.header("Walpost-Position"));
        }
        Box::pin(intruder.publish_with_headers("outbox.order.any", headers, "".into())).await.unwrap().await.unwrap();
    }
    // The first message of the stream now has the sequence 5.
    let daemon = settings.lead().await;
    wait::until("those that are missing are stored", async || reader.last_sequence().await >= 10).await;
    let late = reader.some(9..=10).await;
    for (message, (id, first)) in late.iter().zip([1, 2].map(|index| (&committed[index], &sent[index]))) {
        assert_eq!(message.header("Nats-Msg-Id"), id, "{}", daemon.log());
        assert_eq!(message.header("Walpost-Position"), sent[3].header("Walpost-Position"));
        assert_eq!(message.header("Walpost-Displaced"), first.header("Walpost-Position"));
    }
    assert_eq!(daemon.status().await.unwrap()["displaced_events"], 2);
    // Killed before anything of it is confirmed: the next one finds them at the end.
    drop(daemon);
    let daemon = settings.lead().await;
    client.execute(EVENTS, &[&1]).await.unwrap();
    wait::until("the next one is stored", async || reader.last_sequence().await >= 11).await;
    assert_eq!(daemon.terminate().await, 0);
    let last = reader.some([11]).await;
    assert!(!last[0].headers.contains_key("Walpost-Displaced"));
    assert_eq!(reader.last_sequence().await, 11, "nothing is there twice");
}

/// Copies a folder.
async fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().await.unwrap();
    assert!(status.success());
}
