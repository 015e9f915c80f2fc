//! Cleanup under faults: of the relay, of Postgres, of the broker.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::{
    chance::Chance,
    load::Load,
    stage::{EVENT, Stage},
    stream::{Reader, Stored},
    supervised::Supervised,
    wait,
    world::{connect, own_postgres_of, versions},
};

/// How many faults.
const FAULTS: u64 = 12;
/// How many more events each lets through, at the most.
const LIFE: u64 = 200;

/// Notes each row that is deleted, in the transaction that deletes it.
const NOTE: &str = "CREATE TABLE gone (id uuid);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO gone VALUES (OLD.id); RETURN OLD; END $$;
    CREATE TRIGGER note BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION note()";

/// Holds every row that was deleted against the stream, which is read afterwards.
async fn assert_only_sent_rows_are_gone(client: &Client, reader: &Reader) {
    let gone = client.query("SELECT id::text FROM gone", &[]).await.unwrap();
    let gone: BTreeSet<String> = gone.iter().map(|row| row.get(0)).collect();
    let stored: BTreeSet<String> = reader.all().await.iter().map(Stored::event_id).map(str::to_owned).collect();
    let unsent: Vec<_> = gone.difference(&stored).collect();
    assert!(unsent.is_empty(), "deleted and not stored: {unsent:?}");
}

#[tokio::test]
async fn nothing_is_deleted_that_is_not_stored_whatever_is_killed_and_all_is_in_the_end() {
    let seed = Chance::seed("retention under faults");
    for binaries in versions() {
        println!("Postgres {}", binaries.version);
        // What is visible and not on disk is lost when the server is killed.
        let settings = [("synchronous_commit", "off"), ("wal_writer_delay", "1s"), ("max_wal_size", "4GB")];
        let postgres = own_postgres_of(binaries, &settings).await;
        let mut stage = Stage::set(postgres, |settings| settings.with("RETENTION_DELETE_AFTER", "0s")).await;
        stage.commit(NOTE).await;
        let url = stage.postgres.url();
        let load = Load::events(&url, 2);
        let (mut chance, mut daemon) = (Chance::new(seed), Supervised::start(&stage.settings));
        for fault in 0..FAULTS {
            let enough = stage.reader.last_sequence().await + 1 + chance.below(LIFE);
            wait::until("some are stored", async || {
                daemon.look().await;
                stage.reader.last_sequence().await >= enough
            })
            .await;
            stage.strike(fault, &mut daemon).await;
            assert_only_sent_rows_are_gone(&connect(&url).await, &stage.reader).await;
        }
        load.stop().await;
        let client = connect(&url).await;
        wait::until("every row is gone", async || {
            daemon.look().await;
            client.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
        assert_only_sent_rows_are_gone(&client, &stage.reader).await;
        stage.assert_all_arrived().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

/// At a start it is refused (WP0204); somebody reads that. Later it must not keep events from being delivered.
#[tokio::test]
async fn what_cleanup_lacks_from_some_time_on_keeps_no_event_from_being_delivered() {
    let mut stage = super::stage_of_no_age().await;
    let daemon = stage.settings.lead().await;
    stage.commit("DROP INDEX outbox_xid_idx").await;
    stage.postgres.restart().await.unwrap();
    stage.client = connect(&stage.postgres.url()).await;
    daemon.until_phase("leading").await;
    stage.commit(EVENT).await;
    wait::until("it is stored", async || stage.reader.last_sequence().await == 1).await;
    assert_eq!(daemon.terminate().await, 0);
}
