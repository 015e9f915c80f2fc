//! A slot or a stream that is not as walpost left it is refused, with a way out; what only looks so is not.

use async_nats::jetstream::{self, Context};
use tokio_postgres::Client;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use crate::{
    daemon::{Daemon, Settings},
    stream::Reader,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, nats, own_postgres},
};

/// Three events in a transaction.
const EVENTS: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                      SELECT gen_random_uuid(), 'order', n::text, 'placed', '{}' FROM generate_series(1, 3) n";
/// More log than idle positions may advance without being written down.
const FLOOD: &str = "CREATE TABLE IF NOT EXISTS busy (text text);
                     INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 500)";
/// The way out that every refusal names.
const WAY_OUT: &str = "DELETE FROM public.walpost_watermark WHERE slot = 'walpost'";

/// A walpost that has delivered three events.
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
    async fn begin() -> Self {
        let (postgres, broker) = (own_postgres(&[]).await, nats().await);
        let settings = Settings::new(&postgres.url(), &broker.url());
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let witness = Witness::begin(&client, "guards").await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        let daemon = settings.lead().await;
        let world = Self { _postgres: postgres, broker, client, witness, reader, settings, daemon };
        world.commit(EVENTS).await;
        world.until_stored(3).await;
        world.until_confirmed().await;
        world
    }

    async fn commit(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn until_stored(&self, sequence: u64) {
        wait::until("the events are stored", async || self.reader.last_sequence().await >= sequence).await;
    }

    /// Waits until all that was committed is confirmed.
    async fn until_confirmed(&self) {
        let end = self.witness.all(&self.client).await.last().unwrap().end_lsn;
        let sql =
            "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
        let end = end.to_string();
        wait::until("the events are confirmed", async || {
            self.client.query_one(sql, &[&end]).await.unwrap().get::<_, bool>(0)
        })
        .await;
    }

    /// Runs `walpost run`, which must refuse with these words and name the way out.
    async fn assert_refused(&self, words: &str) {
        let answer = self.settings.run(&["run"]).await;
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        // The log is JSON, in which quotes are escaped.
        assert!(answer.stderr.replace('\\', "").contains(words), "{}", answer.stderr);
        assert!(answer.stderr.contains(WAY_OUT), "{}", answer.stderr);
    }

    async fn assert_all_arrived(&self) {
        let seen = self.witness.all(&self.client).await;
        self.until_stored(seen.len() as u64).await;
        assert_same(&seen, &self.reader.all().await, &log_of(&self.client, "walpost").await);
    }

    async fn jetstream(&self) -> Context {
        jetstream::new(async_nats::connect(self.broker.url()).await.unwrap())
    }

    /// Stops the daemon in good order.
    async fn stop(self) -> Stopped {
        let Self { _postgres, broker, client, witness, reader, settings, daemon } = self;
        assert_eq!(daemon.terminate().await, 0);
        let daemon = settings.start_with(&["--version"]);
        Stopped(Self { _postgres, broker, client, witness, reader, settings, daemon })
    }
}

/// A world in which no daemon runs.
struct Stopped(World);

impl Stopped {
    async fn start_again(self) -> World {
        let Self(mut world) = self;
        world.daemon = world.settings.lead().await;
        world
    }
}

#[tokio::test]
async fn a_slot_that_was_advanced_by_hand_is_refused_until_somebody_decides() {
    let stopped = World::begin().await.stop().await;
    let Stopped(world) = &stopped;
    world.commit(EVENTS).await;
    world.commit("SELECT pg_replication_slot_advance('walpost', pg_current_wal_lsn())").await;
    world.assert_refused("\"walpost\" stands at").await;
    world.assert_refused("\"walpost\" stands at").await;
    world.commit(WAY_OUT).await;
    let world = stopped.start_again().await;
    world.commit(EVENTS).await;
    world.until_stored(6).await;
    let ids: Vec<_> =
        world.reader.all().await.into_iter().map(|stored| stored.header("Nats-Msg-Id").to_owned()).collect();
    let seen = world.witness.all(&world.client).await;
    let expected: Vec<_> = [&seen[..3], &seen[6..]].concat().iter().map(|seen| seen.id.to_string()).collect();
    assert_eq!(ids, expected, "exactly the events that the slot was moved past are missing");
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn slot_gap_is_refused() {
    let stopped = World::begin().await.stop().await;
    let Stopped(world) = &stopped;
    world.commit("SELECT pg_drop_replication_slot('walpost')").await;
    world.commit(EVENTS).await;
    world.assert_refused("replication slot \"walpost\" is gone").await;
    let answer = world.settings.run(&["setup"]).await;
    assert_eq!(answer.code, Some(1), "setup must not make it anew: {}", answer.stdout);
    assert!(answer.stderr.contains(WAY_OUT), "{}", answer.stderr);
    world.commit("SELECT pg_create_logical_replication_slot('walpost', 'pgoutput')").await;
    world.assert_refused("\"walpost\" stands at").await;
}

#[tokio::test]
async fn a_slot_that_was_moved_while_a_killed_leader_was_away_is_refused() {
    let mut world = World::begin().await;
    world.daemon.kill().await;
    world.commit(EVENTS).await;
    world.commit(FLOOD).await;
    wait::until("the slot is free", async || {
        let free = "SELECT pg_replication_slot_advance('walpost', pg_current_wal_lsn())";
        world.client.batch_execute(free).await.is_ok()
    })
    .await;
    world.assert_refused("\"walpost\" stands at").await;
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_refused() {
    let stopped = World::begin().await.stop().await;
    let Stopped(world) = &stopped;
    world.jetstream().await.delete_stream("OUTBOX").await.unwrap();
    assert!(world.settings.set_up().await.contains("created  stream OUTBOX"));
    world.assert_refused("was deleted and made anew").await;
    world.commit(WAY_OUT).await;
    let world = stopped.start_again().await;
    world.commit(EVENTS).await;
    world.until_stored(3).await;
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stream_that_is_made_anew_while_walpost_runs_ends_it() {
    let mut world = World::begin().await;
    let config = world.jetstream().await.get_stream("OUTBOX").await.unwrap().cached_info().config.clone();
    let jetstream = world.jetstream().await;
    jetstream.delete_stream("OUTBOX").await.unwrap();
    jetstream.create_stream(config).await.unwrap();
    world.commit(EVENTS).await;
    assert_eq!(world.daemon.ended().await, 1);
    assert!(world.daemon.log().contains("was deleted and made anew"), "{}", world.daemon.log());
    assert_eq!(world.reader.last_sequence().await, 0, "nothing may be stored in it");
}

#[tokio::test]
async fn a_stream_that_was_emptied_goes_on_where_it_was() {
    let stopped = World::begin().await.stop().await;
    stopped.0.jetstream().await.get_stream("OUTBOX").await.unwrap().purge().await.unwrap();
    stopped.0.commit(EVENTS).await;
    let mut world = stopped.start_again().await;
    world.until_stored(6).await;
    world.until_confirmed().await;
    // And the same without a word of goodbye.
    world.daemon.kill().await;
    world.jetstream().await.get_stream("OUTBOX").await.unwrap().purge().await.unwrap();
    world.commit(EVENTS).await;
    world.daemon = world.settings.lead().await;
    world.until_stored(9).await;
    let seen = world.witness.all(&world.client).await;
    let stored = world.reader.some(7..=9).await;
    let ids: Vec<_> = stored.iter().map(|stored| stored.header("Nats-Msg-Id").to_owned()).collect();
    assert_eq!(ids, seen[6..].iter().map(|seen| seen.id.to_string()).collect::<Vec<_>>());
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stream_that_was_set_back_is_refused() {
    let stopped = World::begin().await.stop().await;
    let Stopped(world) = &stopped;
    // As after a restored backup: the stream is the same one, and ends earlier.
    world.commit("UPDATE walpost_watermark SET event_sequence = 4, event_index = 3").await;
    world.assert_refused("the broker lost what it had confirmed to store").await;
}

#[tokio::test]
async fn a_watermark_that_cannot_be_written_holds_up_confirmation_and_says_so() {
    let world = World::begin().await;
    let locker = connect(&world._postgres.url()).await;
    locker.batch_execute("BEGIN; LOCK TABLE walpost_watermark IN EXCLUSIVE MODE").await.unwrap();
    world.commit(EVENTS).await;
    world.daemon.until_blocked("WP0203").await;
    let seen = world.witness.all(&world.client).await;
    let sql = "SELECT confirmed_flush_lsn < $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
    let unconfirmed = world.client.query_one(sql, &[&seen[3].end_lsn.to_string()]).await.unwrap();
    assert!(unconfirmed.get::<_, bool>(0), "confirmed without being written down");
    locker.batch_execute("ROLLBACK").await.unwrap();
    world.until_confirmed().await;
    world.assert_all_arrived().await;
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_watermark_that_cannot_be_written() {
    let world = World::begin().await;
    let locker = connect(&world._postgres.url()).await;
    locker.batch_execute("BEGIN; LOCK TABLE walpost_watermark IN EXCLUSIVE MODE").await.unwrap();
    world.commit(EVENTS).await;
    world.until_stored(6).await;
    // Within the bound that the contract gives a stop.
    let stopped = world.stop().await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    let world = stopped.start_again().await;
    world.until_confirmed().await;
    world.assert_all_arrived().await;
    assert_eq!(world.daemon.terminate().await, 0);
}

#[tokio::test]
async fn an_idle_outbox_writes_next_to_nothing_down() {
    let world = World::begin().await;
    let written = async || {
        let sql = "SELECT written_at::text FROM walpost_watermark";
        world.client.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    let before = written().await;
    for _ in 0..5 {
        world.commit("SELECT pg_logical_emit_message(false, 'idle', 'x')").await;
        let sql =
            "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
        let end: String = world.client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
        wait::until("it is confirmed", async || world.client.query_one(sql, &[&end]).await.unwrap().get::<_, bool>(0))
            .await;
    }
    assert_eq!(written().await, before, "positions without events need no writing");
    assert_eq!(world.daemon.terminate().await, 0);
}
