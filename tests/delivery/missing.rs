//! The slot is lost, or the stream has lost what it had: setup sends what is missing, and nothing else.

use std::{collections::BTreeSet, time::Duration};

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use tokio::time::sleep;
use tokio_postgres::Client;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use crate::{
    chain::copy,
    daemon::{Answer, Daemon, Settings},
    stream::Reader,
    wait,
    world::{connect, nats, own_postgres, own_postgres_of, versions},
};

/// So many rows in one transaction, numbered from `first` on.
fn rows(first: i32, count: i32) -> String {
    format!(
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
         SELECT gen_random_uuid(), 'order', 'a', 'Numbered', to_jsonb(n) FROM generate_series({first}, {}) n",
        first + count - 1
    )
}

/// Makes Postgres give up a slot that nobody reads, where 1 MB of log is kept.
const FLOOD: &str = "SELECT pg_logical_emit_message(false, 'fill', 'x'), pg_switch_wal()";

const SETUP: [&str; 3] = ["setup", "--existing-rows", "missing"];

/// Both servers, and a relay that has delivered ten events.
struct Place {
    postgres: PrivatePostgres,
    broker: PrivateNats,
    client: Client,
    reader: Reader,
    settings: Settings,
}

impl Place {
    async fn delivering(postgres: PrivatePostgres) -> (Self, Daemon) {
        let broker = nats().await;
        let settings = Settings::new(&postgres.url(), &broker.url());
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        let daemon = settings.lead().await;
        let place = Self { postgres, broker, client, reader, settings };
        place.commit(&rows(0, 10)).await;
        place.until_published().await;
        (place, daemon)
    }

    /// The same, and the relay is stopped in good order.
    async fn stopped(postgres: PrivatePostgres) -> Self {
        let (place, daemon) = Self::delivering(postgres).await;
        assert_eq!(daemon.terminate().await, 0);
        place
    }

    async fn commit(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn drop_slot(&self) {
        self.commit("SELECT pg_drop_replication_slot('walpost')").await;
    }

    async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Has the stream drop what is older than its last messages.
    async fn drops_all_but(&self, messages: i64) {
        let limit = |config: &mut Config| (config.max_messages, config.discard) = (messages, DiscardPolicy::Old);
        self.reader.update(limit).await;
        let dropped = async || i64::try_from(self.reader.count().await).unwrap() <= messages;
        wait::until("older messages are dropped", dropped).await;
    }

    /// Waits until every row is shown published, or dead.
    async fn until_published(&self) {
        let pending = "SELECT count(*) FROM walpost_event_status WHERE status IS DISTINCT FROM 'published'
                                                                   AND status IS DISTINCT FROM 'dead'";
        wait::until("every row is shown published", async || self.count(pending).await == 0).await;
    }

    /// Repairs, which must say this of the rows.
    async fn set_up(&self, told: &str) {
        let answer = self.settings.run(&SETUP).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        assert!(answer.stdout.ends_with(&format!("{told}\n")), "{}", answer.stdout);
    }

    /// Repairs, which must be refused.
    async fn refused(&self, words: &str) -> Answer {
        let answer = self.settings.run(&SETUP).await;
        assert_eq!(answer.code, Some(1), "{}", answer.stdout);
        // The log is JSON, in which quotes are escaped.
        assert!(answer.stderr.replace('\\', "").contains(words), "{}", answer.stderr);
        assert_eq!(self.count("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'walpost'").await, 0);
        answer
    }

    /// The stream has the event of each row once, and no other.
    async fn holds_each_row_once(&self) {
        let ids = self.client.query("SELECT id::text FROM outbox", &[]).await.unwrap();
        let ids: BTreeSet<String> = ids.iter().map(|row| row.get(0)).collect();
        let stored = self.reader.all().await;
        assert_eq!(stored.iter().map(|stored| stored.event_id().to_owned()).collect::<BTreeSet<_>>(), ids);
        assert_eq!(stored.len(), ids.len(), "an event is stored twice");
    }
}

#[tokio::test]
async fn what_a_lost_slot_did_not_send_is_sent_while_others_write_and_nothing_is_sent_twice() {
    for version in versions() {
        let place = Place::stopped(own_postgres_of(version, &[("max_slot_wal_keep_size", "1MB")]).await).await;
        place.commit(&rows(10, 500)).await;
        for _ in 0..4 {
            place.commit(FLOOD).await;
        }
        place.commit("CHECKPOINT").await;
        // Before anybody says so, nothing is made anew.
        for command in [&["run"][..], &["setup"], &["setup", "--existing-rows", "keep"]] {
            let answer = place.settings.run(command).await;
            assert_eq!(answer.code, Some(1), "{command:?}: {}", answer.stdout);
            assert!(answer.stderr.contains("run `walpost setup --existing-rows missing`"), "{}", answer.stderr);
        }
        let answer = place.settings.run(&[&SETUP[..], &["--dry-run"]].concat()).await;
        for part in [
            "-- would create: slot walpost\nSELECT pg_drop_replication_slot('walpost');\n",
            "-- would send: 500 rows of table public.outbox that were missing in stream OUTBOX\n-- ",
        ] {
            assert!(answer.stdout.contains(part), "{}{}", answer.stdout, answer.stderr);
        }

        let writer = connect(&place.postgres.url()).await;
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let writing = tokio::spawn(async move {
            let mut number = 1000;
            while stopped.try_recv().is_err() {
                writer.batch_execute(&rows(number, 1)).await.unwrap();
                number += 1;
                sleep(Duration::from_millis(2)).await;
            }
        });
        let before = place.count("SELECT count(*) FROM outbox").await;
        let answer = place.settings.run(&SETUP).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        assert!(answer.stdout.contains("created  slot walpost\nsent     "), "{}", answer.stdout);
        assert!(answer.stdout.ends_with(" rows of table public.outbox that were missing in stream OUTBOX\n"));
        let writes_on = async || place.count("SELECT count(*) FROM outbox").await > before + 20;
        wait::until("others write on", writes_on).await;
        stop.send(()).unwrap();
        writing.await.unwrap();

        let daemon = place.settings.lead().await;
        place.until_published().await;
        place.holds_each_row_once().await;
        let number = |body: &[u8]| str::from_utf8(body).unwrap().parse::<i32>().unwrap();
        let numbers: Vec<i32> = place.reader.all().await.iter().map(|stored| number(&stored.body)).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        // Whoever has it in the command of a container repairs once.
        place.set_up("exists   slot walpost").await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn of_a_stream_that_drops_messages_the_delivery_status_tells_what_it_held() {
    let place = Place::stopped(own_postgres(&[]).await).await;
    place.drops_all_but(3).await;
    place.commit(&rows(10, 5)).await;
    place.drop_slot().await;
    place.set_up("sent     5 rows of table public.outbox that were missing in stream OUTBOX").await;
    let daemon = place.settings.lead().await;
    place.until_published().await;
    assert_eq!(place.reader.last_sequence().await, 15);
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn where_nothing_tells_which_rows_were_sent_nobody_guesses() {
    let place = Place::stopped(own_postgres(&[]).await).await;
    place.drops_all_but(3).await;
    place.commit(&rows(10, 5)).await;
    place.drop_slot().await;
    place.commit("DELETE FROM walpost_watermark").await;
    let words = "table public.outbox has 12 rows that stream \"OUTBOX\" does not hold, and it has dropped messages";
    let answer = place.refused(words).await;
    assert!(answer.stderr.contains("WP0205"), "{}", answer.stderr);
    // Whoever knows says so.
    place.commit("DELETE FROM outbox WHERE payload::int < 10").await;
    place.refused("has 5 rows that stream").await;
    place.settings.set_up_again().await;
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_not_taken_for_one_that_dropped_messages() {
    let place = Place::stopped(own_postgres(&[]).await).await;
    place.reader.remake(RetentionPolicy::Limits).await;
    place.drop_slot().await;
    place.set_up("sent     10 rows of table public.outbox that were missing in stream OUTBOX").await;
    let daemon = place.settings.lead().await;
    place.until_published().await;
    place.holds_each_row_once().await;
    assert_eq!(daemon.terminate().await, 0);

    // The delivery status says that all of them are in the stream, which holds none.
    place.drop_slot().await;
    place.reader.remake(RetentionPolicy::Limits).await;
    place.drops_all_but(1).await;
    for _ in 0..2 {
        assert!(place.reader.intrude().await);
    }
    place.refused("has 10 rows that stream \"OUTBOX\" does not hold, and it has dropped messages").await;
}

#[tokio::test]
async fn what_a_broker_lost_that_it_had_confirmed_to_store_is_sent_from_the_table() {
    for drops in [false, true] {
        let (mut place, daemon) = Place::delivering(own_postgres(&[]).await).await;
        if drops {
            place.drops_all_but(9).await;
        }
        place.broker.stop().await.unwrap();
        let (store, backup) = (place.broker.store_dir(), place.broker.folder().join("backup"));
        copy(&store, &backup).await;
        place.broker.restart().await.unwrap();
        place.commit(&rows(10, 5)).await;
        place.until_published().await;
        assert_eq!(daemon.terminate().await, 0);
        place.broker.kill().await.unwrap();
        tokio::fs::remove_dir_all(&store).await.unwrap();
        tokio::fs::rename(&backup, &store).await.unwrap();
        place.broker.restart().await.unwrap();
        place.commit(&rows(15, 5)).await;

        let answer = place.settings.run(&["run"]).await;
        assert!(answer.stderr.contains("the broker lost what it had confirmed to store"), "{}", answer.stderr);
        place.drop_slot().await;
        if drops {
            // The status says of the first event, which was dropped, what it says of the five that were lost.
            let words = "has 11 rows that stream \"OUTBOX\" does not hold, and it has dropped messages";
            let answer = place.refused(words).await;
            // What the hint says.
            let forget = "DELETE FROM public.walpost_watermark WHERE slot = 'walpost';";
            for part in [forget, "`walpost setup --existing-rows send`"] {
                assert!(answer.stderr.contains(part), "{}", answer.stderr);
            }
            place.commit(&format!("DELETE FROM outbox WHERE payload::int < 10; {forget}")).await;
            let sent = place.settings.run(&["setup", "--existing-rows", "send"]).await;
            assert!(sent.stdout.ends_with("sent     10 rows that were in table public.outbox\n"), "{}", sent.stderr);
            let daemon = place.settings.lead().await;
            place.until_published().await;
            assert_eq!(place.reader.last_sequence().await, 20);
            assert_eq!(daemon.terminate().await, 0);
            continue;
        }
        place.set_up("sent     10 rows of table public.outbox that were missing in stream OUTBOX").await;
        let daemon = place.settings.lead().await;
        place.until_published().await;
        place.holds_each_row_once().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_dead_letter_is_not_sent_again_and_one_that_was_mended_is() {
    let (place, daemon) = Place::delivering(own_postgres(&[]).await).await;
    // White space at an end, which no header carries.
    let dead = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type)
                SELECT gen_random_uuid(), 'order', 'a', 'Placed ' FROM generate_series(1, 2)";
    place.commit(dead).await;
    let letters = "SELECT count(*) FROM walpost_dead_letter WHERE state = 'dead'";
    wait::until("both are dead letters", async || place.count(letters).await == 2).await;
    place.until_published().await;
    assert_eq!(daemon.terminate().await, 0);
    place
        .commit(
            "UPDATE outbox SET event_type = 'Placed' WHERE id::text = (SELECT min(event_id) FROM walpost_dead_letter);
             SELECT walpost_retry(min(event_id)) FROM walpost_dead_letter",
        )
        .await;
    place.drop_slot().await;
    place.set_up("sent     1 row of table public.outbox that was missing in stream OUTBOX").await;
    let daemon = place.settings.lead().await;
    place.until_published().await;
    // Ten events, two dead letters, and one of these as an event.
    assert_eq!(place.reader.last_sequence().await, 13);
    assert_eq!(place.count(letters).await, 1);
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn if_nothing_is_missing_nothing_is_sent() {
    let place = Place::stopped(own_postgres(&[]).await).await;
    place.drop_slot().await;
    place.set_up("kept     what was in table public.outbox: nothing of it is missing in stream OUTBOX").await;
    let daemon = place.settings.lead().await;
    place.commit(&rows(10, 1)).await;
    place.until_published().await;
    place.holds_each_row_once().await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_service_that_is_told_so_mends_a_lost_slot_by_itself_each_time() {
    let place = Place::stopped(own_postgres(&[]).await).await;
    for first in [10, 20] {
        place.commit(&rows(first, 5)).await;
        place.drop_slot().await;
        let mut daemon = place.settings.start_with(&["run", "--setup", "--existing-rows", "missing"]);
        daemon.until_ready().await;
        place.commit(&rows(first + 5, 5)).await;
        place.until_published().await;
        place.holds_each_row_once().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}
