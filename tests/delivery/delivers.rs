//! From the first command to the last: setup, delivery of everything that commits, a stop, a restart.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio_postgres::Client;
use walpost::sandbox::servers::{PostgresOptions, PrivatePostgres};

use crate::{
    chance::Chance,
    daemon::Settings,
    stream::Reader,
    wait,
    witness::{Witness, assert_same, log_of},
    workload::{BUSINESS, Expected, Writer, assert_contents},
    world::{connect, nats, versions},
};

/// Connections of the application.
const WRITERS: usize = 4;

/// The application, its database, and who watches both.
struct World {
    url: String,
    client: Client,
    witness: Witness,
    reader: Reader,
    chance: Chance,
    expected: BTreeMap<String, Expected>,
}

impl World {
    /// Executes this many transactions on several connections at once.
    async fn write(&mut self, transactions: usize) {
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            let writer = Writer::connect(&self.url, self.chance.below(u64::MAX)).await;
            writers.push(writer.write(transactions / WRITERS));
        }
        self.expected.extend(join_all(writers).await.into_iter().flatten());
    }

    /// Waits until as many messages are stored as events are committed.
    async fn until_stored(&self) {
        let count = self.expected.len() as u64;
        wait::until("all events are stored", async || self.reader.last_sequence().await >= count).await;
    }

    /// Holds the whole stream against everything that is known of what was committed.
    async fn assert_delivered(&self) {
        let (stored, seen) = (self.reader.all().await, self.witness.all(&self.client).await);
        assert_eq!(seen.len(), self.expected.len());
        assert_same(&seen, &stored, &log_of(&self.client, "walpost").await);
        assert_contents(&self.expected, &stored, "OUTBOX");
    }
}

#[tokio::test]
async fn three_hundred_mixed_transactions_arrive_once_in_commit_order_and_byte_for_byte() {
    let seed = Chance::seed("mixed transactions");
    for binaries in versions() {
        println!("Postgres {}", binaries.version);
        let postgres = PrivatePostgres::start(PostgresOptions::default().binaries(binaries)).await.unwrap();
        let broker = nats().await;
        let settings = Settings::new(&postgres.url(), &broker.url());
        let parts = [
            "table public.outbox",
            "table public.walpost_watermark",
            "table public.walpost_dead_letter",
            "delivery status of public.outbox",
            "publication walpost",
            "stream OUTBOX",
            "slot walpost",
        ];
        assert_eq!(settings.set_up().await, parts.map(|part| format!("created  {part}\n")).concat());
        assert_eq!(settings.set_up().await, parts.map(|part| format!("exists   {part}\n")).concat());

        let client = connect(&postgres.url()).await;
        client.batch_execute(BUSINESS).await.unwrap();
        let mut world = World {
            url: postgres.url(),
            witness: Witness::begin(&client, "delivers").await,
            reader: Reader::connect(&broker.url(), "OUTBOX").await,
            client,
            chance: Chance::new(seed),
            expected: BTreeMap::new(),
        };
        // A backlog first, then life, then a stop while events wait, and a second life.
        world.write(100).await;
        let daemon = settings.lead().await;
        world.write(200).await;
        world.until_stored().await;
        world.assert_delivered().await;
        assert_eq!(daemon.terminate().await, 0);

        let before = world.reader.last_sequence().await;
        world.write(20).await;
        assert_eq!(world.reader.last_sequence().await, before);
        let daemon = settings.lead().await;
        world.write(20).await;
        world.until_stored().await;
        world.assert_delivered().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_of_everything_loses_and_repeats_nothing() {
    let postgres = crate::world::own_postgres(&[]).await;
    let broker = nats().await;
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let witness = Witness::begin(&client, "stopped").await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let insert = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                  SELECT gen_random_uuid(), 'order', n::text, 'placed', jsonb_build_object('n', n)
                  FROM generate_series(1, 20000) n";
    client.batch_execute(insert).await.unwrap();
    for stop in 1..=4 {
        let daemon = settings.lead().await;
        let before = reader.last_sequence().await;
        wait::until("some are stored", async || reader.last_sequence().await > before).await;
        assert_eq!(daemon.terminate().await, 0);
        let stored = reader.last_sequence().await;
        println!("stop {stop} after {stored} events");
    }
    client.batch_execute(insert).await.unwrap();
    let daemon = settings.lead().await;
    wait::until("all events are stored", async || reader.last_sequence().await >= 40_000).await;
    assert_same(&witness.all(&client).await, &reader.all().await, &log_of(&client, "walpost").await);
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn one_command_sets_up_and_delivers() {
    let postgres = crate::world::own_postgres(&[]).await;
    let broker = nats().await;
    let settings = Settings::new(&postgres.url(), &broker.url());
    let mut daemon = settings.start_with(&["run", "--setup"]);
    daemon.until_ready().await;
    let client = connect(&postgres.url()).await;
    let event = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type) VALUES
                 (gen_random_uuid(), 'order', '1', 'placed')";
    client.batch_execute(event).await.unwrap();
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    wait::until("the event is stored", async || reader.last_sequence().await == 1).await;
    assert_eq!(daemon.terminate().await, 0);
}
