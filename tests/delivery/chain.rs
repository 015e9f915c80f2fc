//! What breaks the chain of messages from outside: somebody else's messages, and a broker that forgets.

use std::path::Path;

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
        Self { _postgres: postgres, broker, client, witness, reader, daemon }
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
    let intruder = async_nats::jetstream::new(async_nats::connect(world.broker.url()).await.unwrap());
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

/// Copies a folder.
async fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().await.unwrap();
    assert!(status.success());
}
