//! Every way in which a row can come to be committed, or not.

use uuid::Uuid;

use super::{assert_honest, shown, status, until_all_published, until_status};
use crate::{
    daemon::Settings,
    stream::Reader,
    wait,
    world::{connect, nats, own_postgres_of, versions},
};

fn insert(id: &str) -> String {
    format!(
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type) VALUES ('{id}', 'order', '1', 'placed');"
    )
}

#[tokio::test]
async fn an_event_is_pending_until_it_is_stored_however_it_was_committed_and_published_soon_after() {
    for binaries in versions() {
        println!("Postgres {}", binaries.version);
        let postgres = own_postgres_of(binaries, &[("max_prepared_transactions", "10")]).await;
        let mut broker = nats().await;
        let settings = Settings::new(&postgres.url(), &broker.url());
        settings.set_up().await;
        let (client, reader) = (connect(&postgres.url()).await, Reader::connect(&broker.url(), "OUTBOX").await);
        let daemon = settings.lead().await;
        let ids: Vec<String> = (0..8).map(|_| Uuid::now_v7().to_string()).collect();
        let [plain, unsafe_, saved, undone, rolled_back, prepared, open, after] = &ids[..] else { unreachable!() };

        broker.kill().await.unwrap();
        daemon.until_blocked("WP0401").await;
        let long = connect(&postgres.url()).await;
        long.batch_execute(&format!("BEGIN; {}", insert(open))).await.unwrap();
        client.batch_execute(&insert(plain)).await.unwrap();
        client
            .batch_execute(&format!("BEGIN; SET LOCAL synchronous_commit = off; {} COMMIT", insert(unsafe_)))
            .await
            .unwrap();
        client
            .batch_execute(&format!(
                "BEGIN; SAVEPOINT a; SAVEPOINT b; {} RELEASE b; RELEASE a; SAVEPOINT c; {} ROLLBACK TO c; COMMIT",
                insert(saved),
                insert(undone)
            ))
            .await
            .unwrap();
        client.batch_execute(&format!("BEGIN; {} ROLLBACK", insert(rolled_back))).await.unwrap();
        client.batch_execute(&format!("BEGIN; {} PREPARE TRANSACTION 'p'", insert(prepared))).await.unwrap();
        client.batch_execute(&insert(after)).await.unwrap();
        wait::until("the events are read", async || daemon.status().await.unwrap()["events"]["in_flight"] == 4).await;
        let committed = [plain, unsafe_, saved, after];
        assert_eq!(shown(&client, "pending").await, committed.into_iter().cloned().collect());
        for id in [undone, rolled_back, prepared, open] {
            assert_eq!(status(&client, id).await, None);
        }

        broker.restart().await.unwrap();
        for id in committed {
            until_status(&client, id, "published").await;
        }
        assert_honest(&client, &reader).await;
        // They were visible to nobody when the snapshot was taken that the others are published by.
        long.batch_execute("COMMIT").await.unwrap();
        until_status(&client, open, "published").await;
        client.batch_execute("COMMIT PREPARED 'p'").await.unwrap();
        until_status(&client, prepared, "published").await;
        until_all_published(&client).await;
        assert_honest(&client, &reader).await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_transaction_that_is_stored_before_anybody_can_see_it_is_published_once_it_is_seen() {
    // The commit is in the log, and its session waits for a standby that is not there.
    let postgres = own_postgres_of(versions().remove(0), &[("synchronous_standby_names", "nobody")]).await;
    let broker = nats().await;
    let settings = Settings::new(&postgres.url_for("postgres", "postgres"), &broker.url());
    let admin = connect(&postgres.url()).await;
    admin.batch_execute("SET synchronous_commit = local").await.unwrap();
    admin.batch_execute("ALTER DATABASE postgres SET synchronous_commit = local").await.unwrap();
    settings.set_up().await;
    let (client, reader) = (connect(&postgres.url()).await, Reader::connect(&broker.url(), "OUTBOX").await);
    let daemon = settings.lead().await;
    let (waiting, next) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let waiter = connect(&postgres.url()).await;
    let sql = format!("SET synchronous_commit = on; {}", insert(&waiting));
    let commit = tokio::spawn(async move { waiter.batch_execute(&sql).await });
    wait::until("it is stored", async || reader.last_sequence().await == 1).await;
    client.batch_execute(&insert(&next)).await.unwrap();
    until_status(&client, &next, "published").await;
    assert_eq!(status(&client, &waiting).await, None, "nobody can see it yet");
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    commit.await.unwrap().unwrap();
    until_status(&client, &waiting, "published").await;
    assert_eq!(daemon.terminate().await, 0);
}
