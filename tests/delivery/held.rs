//! A broker that has stopped answering: what is under way then is confirmed to nobody, and nobody is cut off.

use walpost::lsn::Lsn;

use crate::{
    daemon::Daemon,
    stage::{EVENT, Stage},
    wait,
    world::own_postgres,
};

/// Events that are under way when the broker stops.
const HELD: u64 = 5;

/// All events: one before.
const ALL: u64 = HELD + 1;

/// A daemon whose first event is stored and confirmed, and whose next ones the broker does not answer.
struct Held {
    stage: Stage,
    daemon: Daemon,
}

impl Held {
    async fn begin() -> Self {
        // Patience with a silent reader is short, so its reports are frequent.
        let postgres = own_postgres(&[("wal_sender_timeout", "1500ms")]).await;
        let stage = Stage::set(postgres, |settings| settings.with("DELIVERY_PUBLISH_TIMEOUT", "10m")).await;
        stage.commit("CREATE TABLE other (text text)").await;
        let daemon = stage.settings.lead().await;
        let held = Self { stage, daemon };
        held.stage.commit(EVENT).await;
        wait::until("the first event is confirmed", async || held.position("flush_lsn").await >= held.end().await)
            .await;

        held.stage.broker.pause().await.unwrap();
        for _ in 0..HELD {
            held.stage.commit(EVENT).await;
        }
        wait::until("the others are under way", async || {
            held.daemon.status().await.unwrap()["events"]["in_flight"] == HELD
        })
        .await;
        held
    }

    /// The end of the last transaction with an event.
    async fn end(&self) -> Lsn {
        self.stage.committed().await.last().unwrap().end_lsn
    }

    /// What the daemon last reported.
    async fn position(&self, column: &str) -> Lsn {
        let sql = format!("SELECT {column}::text FROM pg_stat_replication WHERE application_name LIKE 'walpost%'");
        let row =
            self.stage.client.query_opt(&sql, &[]).await.unwrap().unwrap_or_else(|| panic!("{}", self.daemon.log()));
        row.get::<_, Option<String>>(0).map(|text| text.parse().unwrap()).unwrap_or_default()
    }

    /// Waits until the daemon has reported that it has received everything up to now.
    async fn until_received(&self) {
        let end: String =
            self.stage.client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
        let end: Lsn = end.parse().unwrap();
        wait::until("all is reported as received", async || self.position("write_lsn").await >= end).await;
    }

    /// No more may be confirmed than the first event, which is all that the stream holds.
    async fn assert_nothing_more_is_confirmed(&self) {
        let seen = self.stage.committed().await;
        let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'walpost'";
        let slot: String = self.stage.client.query_one(sql, &[]).await.unwrap().get(0);
        for confirmed in [self.position("flush_lsn").await, self.position("replay_lsn").await, slot.parse().unwrap()] {
            assert!(seen[0].end_lsn <= confirmed && confirmed < seen[1].end_lsn, "{confirmed}: {seen:?}");
        }
    }

    /// Waits until all events are stored, and holds them against the witness.
    async fn assert_delivered(&self) {
        assert_eq!(self.stage.committed().await.len() as u64, ALL);
        self.stage.assert_all_arrived().await;
    }
}

#[tokio::test]
async fn events_without_an_answer_are_not_confirmed_and_postgres_is_kept_informed() {
    let held = Held::begin().await;
    let sender: i32 = held.stage.client.query_one("SELECT pid FROM pg_stat_replication", &[]).await.unwrap().get(0);
    held.until_received().await;
    held.assert_nothing_more_is_confirmed().await;
    // Positions of transactions that do not concern the outbox must not be confirmed past the events before them.
    for _ in 0..4 {
        held.stage.commit("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 1000)").await;
        held.until_received().await;
        held.assert_nothing_more_is_confirmed().await;
    }
    held.stage.broker.resume().unwrap();
    held.assert_delivered().await;
    wait::until("everything is confirmed", async || held.position("flush_lsn").await >= held.end().await).await;
    let same: i32 = held.stage.client.query_one("SELECT pid FROM pg_stat_replication", &[]).await.unwrap().get(0);
    assert_eq!(same, sender, "the connection was cut meanwhile");
    assert_eq!(held.daemon.terminate().await, 0);
}

#[tokio::test]
async fn what_was_under_way_when_broker_and_daemon_died_is_delivered_by_the_next() {
    let mut held = Held::begin().await;
    held.until_received().await;
    held.daemon.kill().await;
    held.stage.broker.kill().await.unwrap();
    held.stage.broker.restart().await.unwrap();
    held.daemon = held.stage.settings.lead().await;
    held.assert_delivered().await;
    assert_eq!(held.daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_broker_that_does_not_answer() {
    let mut held = Held::begin().await;
    held.daemon.kill().await;
    held.stage.broker.resume().unwrap();
    let impatient = held.stage.settings.clone().with("DELIVERY_DRAIN_TIMEOUT", "200ms");
    let daemon = impatient.lead().await;
    held.assert_delivered().await;
    held.stage.broker.pause().await.unwrap();
    held.stage.commit(EVENT).await;
    wait::until("another is under way", async || daemon.status().await.unwrap()["events"]["in_flight"] == 1).await;
    assert_eq!(daemon.terminate().await, 0);
    held.stage.broker.resume().unwrap();
    let daemon = held.stage.settings.lead().await;
    held.stage.assert_all_arrived().await;
    assert_eq!(daemon.terminate().await, 0);
}
