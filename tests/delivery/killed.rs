//! Sudden ends, of the program and of both servers: afterwards the stream is as if nothing had happened.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use walpost::sandbox::servers::{PostgresBinaries, PrivateNats, PrivatePostgres};

use crate::{
    chance::Chance,
    daemon::Settings,
    load::Load,
    stream::Reader,
    supervised::Supervised,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, nats, own_postgres_of, versions},
};

/// How often the program is killed.
const KILLS: usize = 20;
/// How often each server is killed.
const CRASHES: usize = 3;
/// The shortest memory for message ids that the broker allows: it cannot be what saves us.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// After this time the broker has surely forgotten the ids of what it stored before.
const FORGETTING: Duration = Duration::from_millis(400);
/// How often a daemon is looked after.
const GLANCE: Duration = Duration::from_millis(5);

/// Both servers and who watches them.
struct World {
    postgres: PrivatePostgres,
    broker: PrivateNats,
    witness: Witness,
    reader: Reader,
    daemon: Supervised,
    load: Load,
    chance: Chance,
}

impl World {
    /// Everything runs, under load.
    async fn begin(test: &str, binaries: PostgresBinaries) -> Self {
        let seed = Chance::seed(test);
        // A slot's position is saved at checkpoints, so after a crash it is where it was at the start.
        let postgres = own_postgres_of(binaries, &[("checkpoint_timeout", "1h"), ("max_wal_size", "4GB")]).await;
        let broker = nats().await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        let subjects = ["outbox.>", "outbox_dlq.>"].map(str::to_owned).to_vec();
        reader.create(Config { subjects, duplicate_window: DUPLICATE_WINDOW, ..Config::default() }).await;
        let settings = Settings::new(&postgres.url(), &broker.url());
        assert!(settings.set_up().await.contains("exists   stream OUTBOX"));
        let witness = Witness::begin(&connect(&postgres.url()).await, "killed").await;
        let load = Load::start(&postgres.url(), 3, seed);
        let daemon = Supervised::start(&settings);
        Self { postgres, broker, witness, reader, daemon, load, chance: Chance::new(seed) }
    }

    /// Waits until the daemon delivers, and then for a random moment.
    async fn live_for_a_while(&mut self) {
        wait::until("the daemon delivers", async || self.daemon.look().await).await;
        let end = Instant::now() + Duration::from_millis(self.chance.below(300));
        while Instant::now() < end {
            self.daemon.look().await;
            sleep(GLANCE).await;
        }
    }

    async fn client(&self) -> Client {
        connect(&self.postgres.url()).await
    }

    /// Stops the load, waits until everything has arrived, and holds it against the witness.
    async fn assert_nothing_happened(self) {
        let Self { postgres, witness, reader, mut daemon, load, .. } = self;
        let transactions = load.transactions();
        load.stop().await;
        let client = connect(&postgres.url()).await;
        let seen = witness.all(&client).await;
        let in_table = client.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get::<_, i64>(0);
        assert_eq!(u64::try_from(in_table).unwrap(), seen.len() as u64);
        wait::until("all events are stored", async || {
            daemon.look().await;
            reader.last_sequence().await >= seen.len() as u64
        })
        .await;
        println!(
            "{transactions} transactions, {} events, {} rows sent again, {} faults survived, {} ends by itself",
            seen.len(),
            daemon.skipped(),
            daemon.retries(),
            daemon.failures()
        );
        assert_same(&seen, &reader.all().await, &log_of(&client, "walpost").await);
        wait::until("the daemon delivers", async || daemon.look().await).await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn twenty_kills_lose_repeat_and_reorder_nothing() {
    let mut world = World::begin("kills", versions().remove(0)).await;
    let (mut stored, mut fruitful) = (0, 0);
    for _ in 0..KILLS {
        let before = stored;
        world.live_for_a_while().await;
        if world.chance.percent(70) {
            wait::until("something is stored", async || world.reader.last_sequence().await > before).await;
        }
        world.daemon.kill().await;
        if world.chance.percent(70) {
            // Else the successor meets what its predecessor left behind: a slot in use, messages on their way.
            sleep(FORGETTING).await;
        }
        world.daemon.start_again();
        stored = world.reader.last_sequence().await;
        fruitful += usize::from(stored > before);
    }
    wait::until("the daemon delivers", async || world.daemon.look().await).await;
    // Else the kills came when there was nothing to spoil.
    assert!(world.daemon.skipped() > 0, "no row was ever sent again");
    assert!(fruitful > KILLS / 2, "most of them were killed before they had stored anything");
    world.assert_nothing_happened().await;
}

#[tokio::test]
async fn crashes_and_restarts_of_either_server_lose_repeat_and_reorder_nothing() {
    for binaries in versions() {
        println!("Postgres {}", binaries.version);
        let mut world = World::begin("crashes", binaries).await;
        let mut rewound = 0;
        for _ in 0..CRASHES {
            world.live_for_a_while().await;
            let before = confirmed(&world.client().await).await;
            world.postgres.kill().await.unwrap();
            world.postgres.restart().await.unwrap();
            rewound += usize::from(confirmed(&world.client().await).await < before);

            world.live_for_a_while().await;
            world.broker.kill().await.unwrap();
            world.broker.restart().await.unwrap();
        }
        assert!(rewound > 0, "the slot never went back");
        world.live_for_a_while().await;
        world.broker.restart().await.unwrap();
        // In good order: the server waits for the daemon, under load, and must not wait for ever.
        world.live_for_a_while().await;
        world.postgres.restart().await.unwrap();
        wait::until("the daemon delivers", async || world.daemon.look().await).await;
        assert!(world.daemon.retries() >= 2 * CRASHES as u64, "the crashes went unnoticed: {}", world.daemon.log());
        assert_eq!(world.daemon.failures(), 0, "it must survive them: {}", world.daemon.log());
        world.assert_nothing_happened().await;
    }
}

async fn confirmed(client: &Client) -> walpost::lsn::Lsn {
    let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'walpost'";
    client.query_one(sql, &[]).await.unwrap().get::<_, String>(0).parse().unwrap()
}
