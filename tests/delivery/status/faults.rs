//! Status under faults: of the relay, of Postgres, of the broker.

use super::{assert_honest, until_all_published};
use crate::{
    chance::Chance,
    load::Load,
    stage::Stage,
    supervised::Supervised,
    wait,
    world::{connect, own_postgres_of, versions},
};

/// How many faults.
const FAULTS: u64 = 9;
/// How many more events each lets through, at the most.
const LIFE: u64 = 200;

#[tokio::test]
async fn nothing_is_shown_published_that_is_not_stored_whatever_is_killed_and_all_is_in_the_end() {
    let seed = Chance::seed("status under faults");
    for binaries in versions() {
        println!("Postgres {}", binaries.version);
        // What is visible and not on disk is lost when the server is killed.
        let settings = [("synchronous_commit", "off"), ("wal_writer_delay", "1s"), ("max_wal_size", "4GB")];
        let mut stage = Stage::set(own_postgres_of(binaries, &settings).await, |settings| settings).await;
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
            assert_honest(&connect(&url).await, &stage.reader).await;
        }
        load.stop().await;
        let client = connect(&url).await;
        let sql = "SELECT count(*) FROM walpost_event_status WHERE status IS DISTINCT FROM 'published'";
        wait::until("every event is published", async || {
            daemon.look().await;
            let left: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            left == 0
        })
        .await;
        assert_honest(&client, &stage.reader).await;
        stage.assert_all_arrived().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn what_is_delivered_before_a_stop_in_good_order_is_shown_published_after_it() {
    let stage = Stage::set(own_postgres_of(versions().remove(0), &[]).await, |settings| settings).await;
    let daemon = stage.settings.lead().await;
    let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type)
               SELECT gen_random_uuid(), 'order', n::text, 'placed' FROM generate_series(1, 1000) n";
    stage.commit(sql).await;
    assert_eq!(daemon.terminate().await, 0);
    let daemon = stage.settings.lead().await;
    until_all_published(&stage.client).await;
    assert_eq!(daemon.terminate().await, 0);
}
