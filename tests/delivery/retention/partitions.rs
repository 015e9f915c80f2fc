//! Partitioned tables: whole partitions go, but for those that hold something that must stay.

use std::collections::BTreeSet;

use super::{insert, rows, told, until_it_ran, until_rows, until_told};
use crate::{
    daemon::{Daemon, Settings},
    stage::Stage,
    wait,
    world::{connect, nats, own_postgres, own_postgres_of, versions},
};

const TABLE: &str = "
    CREATE TABLE outbox (id uuid NOT NULL, aggregate_type text NOT NULL, aggregate_id text NOT NULL, event_type text NOT NULL,
        payload jsonb, created_at timestamptz NOT NULL DEFAULT now(), xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
    CREATE INDEX ON outbox (xid);
    CREATE TABLE y2001 PARTITION OF outbox FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
    CREATE TABLE y2002 PARTITION OF outbox FOR VALUES FROM ('2002-01-01') TO ('2003-01-01') PARTITION BY RANGE (created_at);
    CREATE TABLE y2002_first PARTITION OF y2002 FOR VALUES FROM ('2002-01-01') TO ('2002-07-01');
    CREATE TABLE y2002_second PARTITION OF y2002 FOR VALUES FROM ('2002-07-01') TO ('2003-01-01');
    CREATE TABLE y2003 PARTITION OF outbox FOR VALUES FROM ('2003-01-01') TO ('2004-01-01');
    CREATE TABLE other PARTITION OF outbox DEFAULT;";

/// Makes the table, and walpost's part.
async fn stage(postgres: walpost::sandbox::servers::PrivatePostgres) -> Stage {
    connect(&postgres.url()).await.batch_execute(TABLE).await.unwrap();
    Stage::set(postgres, |settings| settings.with("RETENTION_DELETE_AFTER", "10s")).await
}

/// The partitions that are there.
async fn partitions(stage: &Stage) -> BTreeSet<String> {
    let sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass";
    stage.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn until_partitions(stage: &Stage, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().copied().map(String::from).collect();
    wait::until(&format!("the partitions are {expected:?}"), async || partitions(stage).await == expected).await;
}

#[tokio::test]
async fn a_partition_goes_whole_once_all_of_it_is_delivered_and_the_last_and_the_default_one_stay() {
    for binaries in versions() {
        println!("Postgres {}", binaries.version);
        let mut stage = stage(own_postgres_of(binaries, &[]).await).await;
        stage.broker.kill().await.unwrap();
        stage.broker.restart().await.unwrap();
        insert(&stage.client, "2001-06-01", "1").await;
        let daemon = stage.settings.lead().await;
        // Nothing is known of partitions that nobody has written to since, but that they hold nothing.
        let dead = insert(&stage.client, "2002-06-01", "a\nb").await;
        for at in ["2002-08-01", "2003-06-01", "2000-01-01"] {
            insert(&stage.client, at, "1").await;
        }
        let young = insert(&stage.client, "2999-01-01", "1").await;
        stage.until_stored(6).await;
        // One that holds a dead letter stays, without what may go; so does the last one.
        until_partitions(&stage, &["y2002", "y2003", "other"]).await;
        until_rows(&stage.client, &[&dead, &young]).await;
        until_told(&daemon, "dropped_partitions", 1).await;
        stage.client.execute("SELECT walpost_discard($1)", &[&dead]).await.unwrap();
        until_partitions(&stage, &["y2003", "other"]).await;
        until_rows(&stage.client, &[&young]).await;
        until_told(&daemon, "dropped_partitions", 2).await;
        assert_eq!(told(&daemon, "errors").await, 0);
        // Events flow on.
        stage.commit("CREATE TABLE y2004 PARTITION OF outbox FOR VALUES FROM ('2004-01-01') TO ('2005-01-01')").await;
        insert(&stage.client, "2003-06-01", "1").await;
        until_partitions(&stage, &["y2004", "other"]).await;
        stage.until_all_log_is_confirmed().await;
        assert_eq!((stage.reader.last_sequence().await, stage.committed().await.len()), (7, 7));
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_row_that_comes_while_its_partition_is_to_be_dropped_is_not_lost() {
    let stage = stage(own_postgres(&[]).await).await;
    let application = connect(&stage.postgres.url()).await;
    application.batch_execute("BEGIN").await.unwrap();
    let id = insert(&application, "2001-06-01", "1").await;
    let daemon: Daemon = stage.settings.lead().await;
    insert(&stage.client, "2003-06-01", "1").await;
    stage.until_stored(1).await;
    until_it_ran(&daemon).await;
    assert!(partitions(&stage).await.contains("y2001"), "its writer has it");
    // Whoever inserts meanwhile is not kept waiting for long: the cleanup gives up.
    insert(&stage.client, "2003-06-01", "1").await;
    application.batch_execute("COMMIT").await.unwrap();
    until_partitions(&stage, &["y2003", "other"]).await;
    stage.assert_all_arrived().await;
    let stored = stage.reader.all().await;
    assert!(stored.iter().any(|stored| stored.event_id() == id));
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn an_unsent_row_keeps_its_partition() {
    let stage = stage(own_postgres(&[]).await).await;
    let daemon = stage.settings.lead().await;
    insert(&stage.client, "2001-06-01", "1").await;
    until_partitions(&stage, &["y2003", "other"]).await;
    stage.commit("CREATE TABLE y2004 PARTITION OF outbox FOR VALUES FROM ('2004-01-01') TO ('2005-01-01')").await;
    until_partitions(&stage, &["y2004", "other"]).await;
    stage.commit("CREATE TABLE y2005 PARTITION OF outbox FOR VALUES FROM ('2005-01-01') TO ('2006-01-01'); INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, created_at) VALUES (gen_random_uuid(), 'a', 'b', 'c', '2005-03-01')").await;
    stage.until_stored(2).await;
    // Nothing more can be stored.
    stage
        .reader
        .update(|config| {
            config.max_messages = 2;
            config.discard = async_nats::jetstream::stream::DiscardPolicy::New;
        })
        .await;
    let unsent = insert(&stage.client, "2004-06-01", "1").await;
    daemon.until_blocked("WP0503").await;
    until_it_ran(&daemon).await;
    assert!(partitions(&stage).await.contains("y2004") && rows(&stage.client).await.contains(&unsent));
    stage.reader.update(|config| config.max_messages = -1).await;
    until_partitions(&stage, &["y2005", "other"]).await;
    stage.assert_all_arrived().await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn without_owning_partitions_it_deletes_rows_and_says_so() {
    let (postgres, broker) = (own_postgres(&[]).await, nats().await);
    let owner = connect(&postgres.url()).await;
    owner.batch_execute(TABLE).await.unwrap();
    Settings::new(&postgres.url(), &broker.url()).set_up().await;
    owner
        .batch_execute(
            "CREATE ROLE relay LOGIN REPLICATION;
             GRANT SELECT, UPDATE (xid), DELETE ON outbox TO relay;
             GRANT SELECT, INSERT, UPDATE ON walpost_watermark TO relay;
             GRANT SELECT, INSERT, DELETE ON walpost_dead_letter TO relay",
        )
        .await
        .unwrap();
    let settings = Settings::new(&postgres.url_for("relay", "postgres"), &broker.url());
    let daemon = settings.with("RETENTION_DELETE_AFTER", "10s").lead().await;
    let young = insert(&owner, "2999-01-01", "1").await;
    for at in ["2001-06-01", "2002-06-01", "2003-06-01"] {
        insert(&owner, at, "1").await;
    }
    until_rows(&owner, &[&young]).await;
    until_told(&daemon, "deleted_rows", 3).await;
    let log = daemon.log();
    assert_eq!(log.matches("a partition belongs to somebody else").count(), 1, "{log}");
    assert_eq!(told(&daemon, "dropped_partitions").await, 0);
    assert_eq!(daemon.terminate().await, 0);
}
