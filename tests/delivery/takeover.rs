//! Two instances: one leads, the other stands by; whoever leads, nothing is lost, repeated or reordered.

use tokio_postgres::Client;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use crate::{
    chance::Chance,
    daemon::{Daemon, Settings, free_address},
    load::Load,
    stream::Reader,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, nats, own_postgres},
};

/// How often leadership changes hands.
const CHANGES: usize = 10;

/// More rows than any transaction of the load has.
const LARGEST_TRANSACTION: u64 = 220;

struct World {
    postgres: PrivatePostgres,
    broker: PrivateNats,
    client: Client,
    witness: Witness,
    reader: Reader,
    settings: Settings,
}

impl World {
    async fn begin() -> Self {
        let postgres = own_postgres(&[("wal_sender_timeout", "2s")]).await;
        let broker = nats().await;
        let settings = Settings::new(&postgres.url(), &broker.url());
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let witness = Witness::begin(&client, "takeover").await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        // It cannot be the message ids that save us.
        reader.update(|config| config.duplicate_window = std::time::Duration::from_millis(100)).await;
        Self { postgres, broker, client, witness, reader, settings }
    }

    fn start(&self) -> Daemon {
        self.settings.clone().with("ADMIN_LISTEN", &free_address().to_string()).start()
    }

    async fn assert_all_arrived(&self) {
        let seen = self.witness.all(&self.client).await;
        wait::until("all events are stored", async || self.reader.last_sequence().await >= seen.len() as u64).await;
        assert_same(&seen, &self.reader.all().await, &log_of(&self.client, "walpost").await);
    }
}

#[tokio::test]
async fn hand_overs_and_kills_under_load_lose_repeat_and_reorder_nothing() {
    let world = World::begin().await;
    let load = Load::start(&world.postgres.url(), 3, Chance::seed("takeover"));
    let mut leader = world.start();
    leader.until_phase("leading").await;
    for change in 0..CHANGES {
        let standby = world.start();
        standby.until_phase("standby").await;
        let stored = world.reader.last_sequence().await;
        wait::until("events flow", async || world.reader.last_sequence().await > stored + 20).await;
        if change % 2 == 0 {
            assert_eq!(leader.terminate().await, 0);
        } else {
            leader.kill().await;
        }
        standby.until_phase("leading").await;
        let skipped = &standby.status().await.unwrap()["rows"]["skipped"];
        // A stop in good order may come in the middle of a transaction, which is then sent again as a whole.
        let most = if change % 2 == 0 { LARGEST_TRANSACTION } else { u64::MAX };
        assert!(skipped.as_u64().unwrap() < most, "{skipped} rows were sent again after a stop in good order");
        leader = standby;
    }
    load.stop().await;
    world.assert_all_arrived().await;
    assert_eq!(leader.terminate().await, 0);
}

#[tokio::test]
async fn a_leader_that_wakes_after_the_takeover_stores_nothing_and_stands_by() {
    let world = World::begin().await;
    let (zombie, standby) = (world.start(), world.start());
    wait::until("one leads, the other stands by", async || {
        let phase = async |daemon: &Daemon| daemon.get("/ready").await.map(|page| page.body).unwrap_or_default();
        [phase(&zombie).await, phase(&standby).await].concat() == "leading\nstandby\n"
            || [phase(&zombie).await, phase(&standby).await].concat() == "standby\nleading\n"
    })
    .await;
    let zombie_leads = zombie.get("/ready").await.unwrap().body == "leading\n";
    let (zombie, standby) = if zombie_leads { (zombie, standby) } else { (standby, zombie) };
    let load = Load::start(&world.postgres.url(), 3, Chance::seed("zombie"));
    wait::until("events flow", async || world.reader.last_sequence().await > 100).await;
    // With the broker standing still, messages of the leader are under way when it freezes.
    world.broker.pause().await.unwrap();
    wait::until("much is under way", async || {
        zombie.status().await.is_some_and(|status| status["events"]["in_flight"].as_u64().unwrap() >= 100)
    })
    .await;
    zombie.freeze();
    world.broker.resume().unwrap();
    standby.until_phase("leading").await;
    let stored = world.reader.last_sequence().await;
    wait::until("the successor is far ahead", async || world.reader.last_sequence().await > stored + 500).await;
    zombie.wake();
    zombie.until_phase("standby").await;
    load.stop().await;
    world.assert_all_arrived().await;
    assert_eq!(standby.terminate().await, 0);
    zombie.until_phase("leading").await;
    assert_eq!(zombie.terminate().await, 0);
}
