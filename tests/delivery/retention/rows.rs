//! Which rows go, and that nobody notices.

use super::{OLD, insert, rows, stage, stage_of_no_age, told, until_it_ran, until_known, until_rows, until_told};
use crate::{
    stage::{EVENT, Stage},
    wait,
    world::{connect, own_postgres, own_postgres_of, versions},
};

#[tokio::test]
async fn what_is_delivered_and_old_goes_and_what_is_not_delivered_stays_however_old_it_is() {
    for binaries in versions() {
        println!("Postgres {}", binaries.version);
        let postgres = own_postgres_of(binaries, &[]).await;
        // A cleanup comes every minute; with every start at once.
        let mut stage = Stage::set(postgres, |settings| settings.with("RETENTION_DELETE_AFTER", "1h")).await;
        let daemon = stage.settings.lead().await;
        let young = insert(&stage.client, "now", "1").await;
        let old = insert(&stage.client, OLD, "1").await;
        stage.until_stored(2).await;
        until_known(&stage.client).await;
        assert_eq!(daemon.terminate().await, 0);
        let mut daemon = stage.settings.lead().await;
        until_rows(&stage.client, &[&young]).await;
        assert!(stage.committed().await.iter().any(|seen| seen.id == old));
        until_told(&daemon, "deleted_rows", 1).await;

        stage.broker.kill().await.unwrap();
        daemon.until_blocked("WP0401").await;
        let unsent = insert(&stage.client, OLD, "1").await;
        wait::until("it is read", async || daemon.status().await.unwrap()["events"]["in_flight"] == 1).await;
        daemon.kill().await;
        stage.broker.restart().await.unwrap();
        // It can lead, and not store.
        stage.reader.update(|config| config.max_messages = 2).await;
        stage.reader.update(|config| config.discard = async_nats::jetstream::stream::DiscardPolicy::New).await;
        let daemon = stage.settings.start();
        daemon.until_blocked("WP0503").await;
        wait::until("a cleanup ran", async || {
            daemon.status().await.is_some_and(|status| status["retention"]["ran_seconds_ago"].is_f64())
        })
        .await;
        assert_eq!(rows(&stage.client).await, [young.clone(), unsent.clone()].into());
        stage.reader.update(|config| config.max_messages = -1).await;
        stage.assert_all_arrived().await;
        until_known(&stage.client).await;
        assert_eq!(daemon.terminate().await, 0);
        let daemon = stage.settings.lead().await;
        until_rows(&stage.client, &[&young]).await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_delete_is_no_event_and_its_log_is_confirmed() {
    let stage = stage_of_no_age().await;
    let daemon = stage.settings.lead().await;
    for round in 1..=3u64 {
        stage.commit(&format!("{EVENT}; {EVENT}")).await;
        until_rows(&stage.client, &[]).await;
        stage.until_all_log_is_confirmed().await;
        until_told(&daemon, "deleted_rows", 2 * round).await;
    }
    stage.assert_all_arrived().await;
    let status = daemon.status().await.unwrap();
    assert_eq!((&status["rows"]["ignored"], &status["ready"]), (&0.into(), &true.into()));
    let log = daemon.log();
    assert!(log.contains("deleted what is delivered and old"), "{log}");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn without_being_asked_it_deletes_nothing() {
    let stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
    let daemon = stage.settings.lead().await;
    let id = insert(&stage.client, OLD, "1").await;
    let sql = "SELECT walpost_status($1) = 'published'";
    wait::until("it is published", async || stage.client.query_one(sql, &[&id]).await.unwrap().get(0)).await;
    assert!(daemon.status().await.unwrap()["retention"].is_null());
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'walpost retention'";
    assert_eq!(stage.client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(daemon.terminate().await, 0);
    until_rows(&stage.client, &[&id]).await;
}

#[tokio::test]
async fn a_dead_letter_keeps_its_row_until_somebody_decides_and_goes_with_it_then() {
    let stage = stage_of_no_age().await;
    let daemon = stage.settings.lead().await;
    let client = &stage.client;
    let (given_up, mended) = (insert(client, OLD, "a\nb").await, insert(client, OLD, "c\nd").await);
    let plain = insert(client, OLD, "e").await;
    stage.until_stored(3).await;
    until_rows(client, &[&given_up, &mended]).await;
    until_it_ran(&daemon).await;
    assert_eq!(rows(client).await, [given_up.clone(), mended.clone()].into(), "{plain} alone may go");
    let letters =
        async || -> i64 { client.query_one("SELECT count(*) FROM walpost_dead_letter", &[]).await.unwrap().get(0) };
    assert_eq!(letters().await, 2);

    client.execute("SELECT walpost_discard($1)", &[&given_up]).await.unwrap();
    until_rows(client, &[&mended]).await;
    wait::until("its dead letter is gone", async || letters().await == 1).await;
    client.execute("UPDATE outbox SET aggregate_id = 'cd' WHERE id = $1::text::uuid", &[&mended]).await.unwrap();
    client.execute("SELECT walpost_retry($1)", &[&mended]).await.unwrap();
    until_rows(client, &[]).await;
    wait::until("no dead letter is left", async || letters().await == 0).await;
    stage.until_stored(4).await;
    let stored = stage.reader.all().await;
    assert_eq!((stored.len(), stored[3].header("Walpost-Aggregate-Id")), (4, "cd"));
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_row_goes_once_every_slot_of_its_table_has_delivered_it() {
    let stage = stage_of_no_age().await;
    let other = stage
        .settings
        .clone()
        .with("POSTGRES_SLOT", "other")
        .with("NATS_STREAM", "OTHER")
        .with("NATS_SUBJECT", "other.{event_type}")
        .with("ADMIN_LISTEN", &crate::daemon::free_address().to_string());
    other.set_up().await;
    let client = &stage.client;
    let (first, second) = (stage.settings.lead().await, other.lead().await);
    insert(client, OLD, "1").await;
    until_rows(client, &[]).await;
    assert_eq!(second.terminate().await, 0);
    let id = insert(client, OLD, "1").await;
    stage.until_stored(2).await;
    until_known(client).await;
    until_it_ran(&first).await;
    assert_eq!(rows(client).await, [id].into());
    let second = other.lead().await;
    until_rows(client, &[]).await;

    // A slot that has said nothing yet may lack anything.
    assert_eq!(second.terminate().await, 0);
    stage.commit("UPDATE walpost_watermark SET delivered = NULL WHERE slot = 'other'").await;
    let id = insert(client, OLD, "1").await;
    stage.until_stored(3).await;
    let held_up = async || first.status().await.unwrap()["retention"]["held_up"].as_str().map(str::to_owned);
    wait::until("it is told", async || {
        held_up().await.as_deref() == Some("slot \"other\" has not said yet what it has delivered")
    })
    .await;
    // So may one that speaks of another server.
    let copied = "UPDATE walpost_watermark SET delivered = '99999999:99999999:', system_id = '7' WHERE slot = 'other'";
    stage.commit(copied).await;
    wait::until("it is told", async || {
        held_up().await.as_deref() == Some("what slot \"other\" has delivered was said on another server")
    })
    .await;
    assert_eq!(rows(client).await, [id].into());
    stage.commit("DELETE FROM walpost_watermark WHERE slot = 'other'").await;
    until_rows(client, &[]).await;
    assert_eq!(first.terminate().await, 0);
}

#[tokio::test]
async fn rows_that_others_lock_hold_nothing_up_and_rows_without_xid_stay() {
    let stage = stage_of_no_age().await;
    stage.commit("ALTER TABLE outbox ALTER xid DROP NOT NULL").await;
    let daemon = stage.settings.lead().await;
    let client = &stage.client;
    let application = connect(&stage.postgres.url()).await;
    stage.commit("ALTER TABLE outbox ALTER xid SET DEFAULT NULL").await;
    let unknown = insert(client, OLD, "1").await;
    stage.commit("ALTER TABLE outbox ALTER xid SET DEFAULT pg_current_xact_id()").await;
    application.batch_execute("BEGIN").await.unwrap();
    let locked = insert(&application, OLD, "1").await;
    application.batch_execute("COMMIT; BEGIN").await.unwrap();
    let lock = "SELECT FROM outbox WHERE id = $1::text::uuid FOR NO KEY UPDATE";
    // It may be gone before it can be locked; then another one is.
    let mut locked = locked;
    while application.query(lock, &[&locked]).await.unwrap().is_empty() {
        application.batch_execute("COMMIT; BEGIN").await.unwrap();
        locked = insert(&application, OLD, "1").await;
        application.batch_execute("COMMIT; BEGIN").await.unwrap();
    }
    insert(client, OLD, "1").await;
    until_rows(client, &[&unknown, &locked]).await;
    until_it_ran(&daemon).await;
    assert_eq!(told(&daemon, "errors").await, 0);
    application.batch_execute("COMMIT").await.unwrap();
    until_rows(client, &[&unknown]).await;
    // A lock on the whole table holds up the cleanup, and neither delivery nor a stop.
    let stored = stage.reader.last_sequence().await;
    application.batch_execute("BEGIN; LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE").await.unwrap();
    application.batch_execute(EVENT).await.unwrap();
    application.batch_execute("SAVEPOINT a").await.unwrap();
    wait::until("a cleanup waits", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'walpost retention' AND wait_event_type = 'Lock'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    stage.until_all_log_is_confirmed().await;
    assert_eq!(daemon.terminate().await, 0);
    application.batch_execute("COMMIT").await.unwrap();
    let daemon = stage.settings.lead().await;
    until_rows(client, &[&unknown]).await;
    assert_eq!(stage.reader.last_sequence().await, stored + 1);
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_stop_in_the_middle_leaves_the_rest_and_the_next_leader_goes_on() {
    let stage = stage().await;
    let many = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, created_at)
                SELECT gen_random_uuid(), 'order', n::text, 'placed', '2001-01-01' FROM generate_series(1, 30000) n";
    let daemon = stage.settings.lead().await;
    stage.commit(many).await;
    stage.until_stored(30_000).await;
    until_known(&stage.client).await;
    assert_eq!(daemon.terminate().await, 0);
    let count = async || -> i64 { stage.client.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get(0) };
    let daemon = stage.settings.lead().await;
    wait::until("some are gone", async || count().await < 30_000).await;
    assert_eq!(daemon.terminate().await, 0);
    let left = count().await;
    assert!(left > 0, "nothing is left to go on with");
    let daemon = stage.settings.lead().await;
    wait::until("all are gone", async || count().await == 0).await;
    assert_eq!(daemon.terminate().await, 0);
    assert_eq!(stage.reader.last_sequence().await, 30_000);
}

#[tokio::test]
async fn no_step_reads_the_whole_table() {
    let stage = stage().await;
    let many = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type)
                SELECT gen_random_uuid(), 'order', n::text, 'placed' FROM generate_series(1, 20000) n";
    stage.commit(many).await;
    stage.commit("SET enable_seqscan = off").await;
    let places = [
        ("{watermark}", "walpost_watermark"),
        ("{dead_letter}", "walpost_dead_letter"),
        ("{table}", "outbox"),
        ("{part}", "outbox"),
        ("{id}", "id"),
        ("{id_type}", "uuid"),
        ("{created_at}", "created_at"),
        ("{age}", "3600.000"),
        ("{most}", "1000"),
        ("{from}", "0"),
        ("{skip}", "0"),
    ];
    for file in [include_str!("../../../sql/retention/rows.sql"), include_str!("../../../sql/retention/letters.sql")] {
        let sql = places.iter().fold(file.to_owned(), |sql, (place, value)| sql.replace(place, value));
        // Before anybody has counted the rows, and after it.
        for _ in 0..2 {
            let plan = stage.client.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
            let plan = plan.join("\n");
            assert!(!plan.contains("Seq Scan on outbox") && plan.contains("on outbox t"), "{plan}");
            stage.commit("ANALYZE outbox").await;
        }
    }
}
