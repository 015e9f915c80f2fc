//! Status under faults: of the relay, of Postgres, of the broker.

use super::{assert_honest, until_all_published};
use crate::{
    chance::Chance,
    daemon::Settings,
    load::Load,
    stream::Reader,
    supervised::Supervised,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, nats, own_postgres_of, try_connect, versions},
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
        let mut postgres = own_postgres_of(binaries, &settings).await;
        let mut broker = nats().await;
        let settings = Settings::new(&postgres.url(), &broker.url());
        settings.set_up().await;
        let witness = Witness::begin(&connect(&postgres.url()).await, "status_faults").await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        let load = Load::events(&postgres.url(), 2);
        let (mut chance, mut daemon) = (Chance::new(seed), Supervised::start(&settings));
        for fault in 0..FAULTS {
            let enough = reader.last_sequence().await + 1 + chance.below(LIFE);
            wait::until("some are stored", async || {
                daemon.look().await;
                reader.last_sequence().await >= enough
            })
            .await;
            match fault % 3 {
                0 => {
                    daemon.kill().await;
                    daemon.start_again();
                }
                1 => {
                    postgres.kill().await.unwrap();
                    postgres.restart().await.unwrap();
                }
                _ => {
                    broker.kill().await.unwrap();
                    broker.restart().await.unwrap();
                }
            }
            wait::until("Postgres lets us in", async || try_connect(&postgres.url()).await.is_ok()).await;
            assert_honest(&connect(&postgres.url()).await, &reader).await;
        }
        load.stop().await;
        let client = connect(&postgres.url()).await;
        let sql = "SELECT count(*) FROM walpost_event_status WHERE status IS DISTINCT FROM 'published'";
        wait::until("every event is published", async || {
            daemon.look().await;
            let left: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            left == 0
        })
        .await;
        assert_honest(&client, &reader).await;
        let (seen, stored) = (witness.all(&client).await, reader.all().await);
        assert_same(&seen, &stored, &log_of(&client, "walpost").await);
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn what_is_delivered_before_a_stop_in_good_order_is_shown_published_after_it() {
    let postgres = own_postgres_of(versions().remove(0), &[]).await;
    let broker = nats().await;
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let daemon = settings.lead().await;
    let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type)
               SELECT gen_random_uuid(), 'order', n::text, 'placed' FROM generate_series(1, 1000) n";
    client.batch_execute(sql).await.unwrap();
    assert_eq!(daemon.terminate().await, 0);
    let daemon = settings.lead().await;
    until_all_published(&client).await;
    assert_eq!(daemon.terminate().await, 0);
}
