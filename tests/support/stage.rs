//! Both servers with everything set up between them, and who watches: where most tests of delivery begin.

use std::time::Duration;

use tokio_postgres::Client;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use super::{
    daemon::Settings,
    stream::Reader,
    supervised::Supervised,
    wait,
    witness::{Seen, Witness, assert_same, log_of},
    world::{connect, nats, try_connect},
};

/// One event.
pub(crate) const EVENT: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                                VALUES (gen_random_uuid(), 'order', '1', 'placed', '{}')";

/// The servers, and sessions on them.
pub(crate) struct Stage {
    pub(crate) postgres: PrivatePostgres,
    pub(crate) broker: PrivateNats,
    pub(crate) client: Client,
    pub(crate) witness: Witness,
    pub(crate) reader: Reader,
    pub(crate) settings: Settings,
}

impl Stage {
    /// On a Postgres of one's own, with a new broker. Nothing is running yet.
    pub(crate) async fn set(postgres: PrivatePostgres, change: impl FnOnce(Settings) -> Settings) -> Self {
        Self::between(postgres, nats().await, change).await
    }

    /// Between two servers of one's own.
    pub(crate) async fn between(
        postgres: PrivatePostgres,
        broker: PrivateNats,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let settings = change(Settings::new(&postgres.url(), &broker.url()));
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let witness = Witness::begin(&client, "witness").await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        Self { postgres, broker, client, witness, reader, settings }
    }

    /// The broker remembers message ids for so short that it cannot be they that save us.
    pub(crate) async fn forget_ids_soon(&self) {
        self.reader.update(|config| config.duplicate_window = Duration::from_millis(100)).await;
    }

    /// Runs SQL.
    pub(crate) async fn commit(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Kills the relay, Postgres or the broker, by turns, and starts it again; Postgres lets us in when this returns.
    pub(crate) async fn strike(&mut self, turn: u64, daemon: &mut Supervised) {
        match turn % 3 {
            0 => {
                daemon.kill().await;
                daemon.start_again();
            }
            1 => {
                self.postgres.kill().await.unwrap();
                self.postgres.restart().await.unwrap();
            }
            _ => {
                self.broker.kill().await.unwrap();
                self.broker.restart().await.unwrap();
            }
        }
        wait::until("Postgres lets us in", async || try_connect(&self.postgres.url()).await.is_ok()).await;
    }

    /// What was committed so far. The server may have been restarted since the stage was set.
    pub(crate) async fn committed(&self) -> Vec<Seen> {
        self.witness.all(&connect(&self.postgres.url()).await).await
    }

    /// Waits until the stream has a message of this sequence.
    pub(crate) async fn until_stored(&self, sequence: u64) {
        let what = format!("message {sequence} is stored");
        wait::until(&what, async || self.reader.last_sequence().await >= sequence).await;
    }

    /// Whether the slot is past a position.
    pub(crate) async fn is_confirmed(&self, position: &str) -> bool {
        let sql =
            "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
        self.client.query_one(sql, &[&position]).await.unwrap().get(0)
    }

    /// Waits until the slot is past everything that was committed.
    pub(crate) async fn until_confirmed(&self) {
        let end = self.committed().await.last().unwrap().end_lsn.to_string();
        wait::until("the last event is confirmed", async || self.is_confirmed(&end).await).await;
    }

    /// Waits until the slot is past the end of the log as it is now.
    pub(crate) async fn until_all_log_is_confirmed(&self) {
        let end: String = self.client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
        wait::until("all log is confirmed", async || self.is_confirmed(&end).await).await;
    }

    /// Waits until everything is stored, and holds it against the witness.
    pub(crate) async fn assert_all_arrived(&self) {
        let seen = self.committed().await;
        self.until_stored(seen.len() as u64).await;
        let client = connect(&self.postgres.url()).await;
        assert_same(&seen, &self.reader.all().await, &log_of(&client, "walpost").await);
    }
}
