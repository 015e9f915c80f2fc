//! A slot or a stream that is not as walpost left it is refused, with a way out; what only looks so is not.

use async_nats::jetstream::{self, Context};
use walpost::sandbox::servers::{NatsBinary, NatsOptions, Places, PrivateNats};

use crate::{
    daemon::Daemon,
    stage::Stage,
    wait,
    world::{connect, own_postgres},
};

/// Three events in a transaction.
const EVENTS: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                      SELECT gen_random_uuid(), 'order', n::text, 'placed', '{}' FROM generate_series(1, 3) n";
/// More log than idle positions may advance without being written down.
const FLOOD: &str = "CREATE TABLE IF NOT EXISTS busy (text text);
                     INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 500)";
/// The way out that every refusal names.
const WAY_OUT: &str = "DELETE FROM public.walpost_watermark WHERE slot = 'walpost'";

/// A walpost that has delivered three events, and has had them confirmed.
async fn begin() -> (Stage, Daemon) {
    let stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
    let daemon = stage.settings.lead().await;
    stage.commit(EVENTS).await;
    stage.until_stored(3).await;
    stage.until_confirmed().await;
    (stage, daemon)
}

/// The same, stopped in good order.
async fn stopped() -> Stage {
    let (stage, daemon) = begin().await;
    assert_eq!(daemon.terminate().await, 0);
    stage
}

/// Runs `walpost run`, which must refuse with these words and name the way out.
async fn assert_refused(stage: &Stage, words: &str) {
    assert_answer(stage, "run", &[words, WAY_OUT]).await;
}

/// Runs a command, which must refuse with these words.
async fn assert_answer(stage: &Stage, command: &str, words: &[&str]) {
    let answer = stage.settings.run(&[command]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    for words in words {
        // The log is JSON, in which quotes are escaped.
        assert!(answer.stderr.replace('\\', "").contains(words), "{}", answer.stderr);
    }
}

async fn jetstream_of(stage: &Stage) -> Context {
    jetstream::new(async_nats::connect(stage.broker.url()).await.unwrap())
}

#[tokio::test]
async fn a_slot_that_was_advanced_by_hand_is_refused_until_somebody_decides() {
    let stage = stopped().await;
    stage.commit(EVENTS).await;
    stage.commit("SELECT pg_replication_slot_advance('walpost', pg_current_wal_lsn())").await;
    assert_refused(&stage, "\"walpost\" stands at").await;
    assert_refused(&stage, "\"walpost\" stands at").await;
    stage.commit(WAY_OUT).await;
    let daemon = stage.settings.lead().await;
    stage.commit(EVENTS).await;
    stage.until_stored(6).await;
    let ids: Vec<_> =
        stage.reader.all().await.into_iter().map(|stored| stored.header("Nats-Msg-Id").to_owned()).collect();
    let seen = stage.witness.all(&stage.client).await;
    let expected: Vec<_> = [&seen[..3], &seen[6..]].concat().iter().map(|seen| seen.id.to_string()).collect();
    assert_eq!(ids, expected, "exactly the events that the slot was moved past are missing");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn slot_gap_is_refused() {
    let stage = stopped().await;
    stage.commit("SELECT pg_drop_replication_slot('walpost')").await;
    stage.commit(EVENTS).await;
    for command in ["run", "setup"] {
        let words = ["replication slot \"walpost\" is gone", "run `walpost setup --existing-rows missing`"];
        assert_answer(&stage, command, &words).await;
    }
    stage.commit("SELECT pg_create_logical_replication_slot('walpost', 'pgoutput')").await;
    assert_refused(&stage, "\"walpost\" stands at").await;
}

#[tokio::test]
async fn a_slot_that_was_moved_while_a_killed_leader_was_away_is_refused() {
    let (stage, mut daemon) = begin().await;
    daemon.kill().await;
    stage.commit(EVENTS).await;
    stage.commit(FLOOD).await;
    wait::until("the slot is free", async || {
        let free = "SELECT pg_replication_slot_advance('walpost', pg_current_wal_lsn())";
        stage.client.batch_execute(free).await.is_ok()
    })
    .await;
    assert_refused(&stage, "\"walpost\" stands at").await;
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_refused() {
    let stage = stopped().await;
    jetstream_of(&stage).await.delete_stream("OUTBOX").await.unwrap();
    assert!(stage.settings.set_up().await.contains("created  stream OUTBOX"));
    assert_refused(&stage, "was deleted and made anew").await;
    stage.commit(WAY_OUT).await;
    let daemon = stage.settings.lead().await;
    stage.commit(EVENTS).await;
    stage.until_stored(3).await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stream_that_is_made_anew_while_walpost_runs_ends_it() {
    let (stage, mut daemon) = begin().await;
    let config = jetstream_of(&stage).await.get_stream("OUTBOX").await.unwrap().cached_info().config.clone();
    let jetstream = jetstream_of(&stage).await;
    jetstream.delete_stream("OUTBOX").await.unwrap();
    jetstream.create_stream(config).await.unwrap();
    stage.commit(EVENTS).await;
    assert_eq!(daemon.ended().await, 1);
    assert!(daemon.log().contains("was deleted and made anew"), "{}", daemon.log());
    assert_eq!(stage.reader.last_sequence().await, 0, "nothing may be stored in it");
}

#[tokio::test]
async fn a_stream_that_says_another_time_of_creation_and_holds_the_last_event_is_the_same_one() {
    let stage = stopped().await;
    stage.commit("UPDATE walpost_watermark SET stream_created = stream_created - 1").await;
    let daemon = stage.settings.lead().await;
    stage.commit(EVENTS).await;
    stage.assert_all_arrived().await;
    assert_eq!(daemon.terminate().await, 0);
}

/// nats-server 2.10 writes the time of its start as that of the creation, when a stream's settings change.
#[tokio::test]
async fn a_broker_that_forgets_when_it_made_the_stream_is_gone_on_with() {
    for binary in NatsBinary::all_installed(&Places::from_environment()) {
        let broker = PrivateNats::start(NatsOptions::default().binary(binary)).await.unwrap();
        let mut stage = Stage::between(own_postgres(&[]).await, broker, |settings| settings).await;
        let daemon = stage.settings.lead().await;
        for round in 1..=2 {
            stage.commit(EVENTS).await;
            stage.until_stored(3 * round).await;
            stage.broker.kill().await.unwrap();
            stage.broker.restart().await.unwrap();
            daemon.until_phase("leading").await;
            stage.reader.update(|config| config.max_messages += 1000).await;
        }
        stage.commit(EVENTS).await;
        stage.assert_all_arrived().await;
        assert_eq!(daemon.terminate().await, 0);
        let daemon = stage.settings.lead().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_stream_that_was_emptied_goes_on_where_it_was() {
    let stage = stopped().await;
    jetstream_of(&stage).await.get_stream("OUTBOX").await.unwrap().purge().await.unwrap();
    stage.commit(EVENTS).await;
    let mut daemon = stage.settings.lead().await;
    stage.until_stored(6).await;
    stage.until_confirmed().await;
    // And the same without a word of goodbye.
    daemon.kill().await;
    jetstream_of(&stage).await.get_stream("OUTBOX").await.unwrap().purge().await.unwrap();
    stage.commit(EVENTS).await;
    daemon = stage.settings.lead().await;
    stage.until_stored(9).await;
    let seen = stage.witness.all(&stage.client).await;
    let stored = stage.reader.some(7..=9).await;
    let ids: Vec<_> = stored.iter().map(|stored| stored.header("Nats-Msg-Id").to_owned()).collect();
    assert_eq!(ids, seen[6..].iter().map(|seen| seen.id.to_string()).collect::<Vec<_>>());
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stream_that_was_set_back_is_refused() {
    let stage = stopped().await;
    // As after a restored backup: the stream is the same one, and ends earlier.
    stage.commit("UPDATE walpost_watermark SET event_sequence = 4, event_index = 3").await;
    assert_refused(&stage, "the broker lost what it had confirmed to store").await;
}

#[tokio::test]
async fn a_watermark_that_cannot_be_written_holds_up_confirmation_and_says_so() {
    let (stage, daemon) = begin().await;
    let locker = connect(&stage.postgres.url()).await;
    locker.batch_execute("BEGIN; LOCK TABLE walpost_watermark IN EXCLUSIVE MODE").await.unwrap();
    stage.commit(EVENTS).await;
    daemon.until_blocked("WP0203").await;
    let seen = stage.witness.all(&stage.client).await;
    let sql = "SELECT confirmed_flush_lsn < $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
    let unconfirmed = stage.client.query_one(sql, &[&seen[3].end_lsn.to_string()]).await.unwrap();
    assert!(unconfirmed.get::<_, bool>(0), "confirmed without being written down");
    locker.batch_execute("ROLLBACK").await.unwrap();
    stage.until_confirmed().await;
    stage.assert_all_arrived().await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_watermark_that_cannot_be_written() {
    let (stage, daemon) = begin().await;
    let locker = connect(&stage.postgres.url()).await;
    locker.batch_execute("BEGIN; LOCK TABLE walpost_watermark IN EXCLUSIVE MODE").await.unwrap();
    stage.commit(EVENTS).await;
    stage.until_stored(6).await;
    // Within the bound that the contract gives a stop.
    assert_eq!(daemon.terminate().await, 0);
    locker.batch_execute("ROLLBACK").await.unwrap();
    let daemon = stage.settings.lead().await;
    stage.until_confirmed().await;
    stage.assert_all_arrived().await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn an_idle_outbox_writes_next_to_nothing_down() {
    let (stage, daemon) = begin().await;
    let written = async || {
        let sql = "SELECT written_at::text FROM walpost_watermark";
        stage.client.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    let before = written().await;
    for _ in 0..5 {
        stage.commit("SELECT pg_logical_emit_message(false, 'idle', 'x')").await;
        stage.until_all_log_is_confirmed().await;
    }
    assert_eq!(written().await, before, "positions without events need no writing");
    assert_eq!(daemon.terminate().await, 0);
}
