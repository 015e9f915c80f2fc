//! What arrives: the cluster's identity, committed rows in order and byte for byte, from the place that was asked for.

use walpost::{lsn::Lsn, replication::StartOptions};

use crate::harness::{LogReader, Outbox, on_every_postgres};

#[tokio::test]
async fn the_cluster_is_the_one_that_sql_knows() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "identity").await;
        let before: String = outbox.sql.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
        let identity = outbox.connection().await.identify_system().await.unwrap();
        let sql = "SELECT (SELECT system_identifier::text FROM pg_control_system()),
                          (SELECT timeline_id::text FROM pg_control_checkpoint())";
        let row = outbox.sql.query_one(sql, &[]).await.unwrap();
        let expected: [String; 2] = [row.get(0), row.get(1)];
        assert_eq!([identity.system_id.to_string(), identity.timeline.to_string()], expected);
        assert!(identity.wal_end >= before.parse().unwrap());
    })
    .await;
}

#[tokio::test]
async fn the_servers_timeout_is_read_in_any_unit() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "units").await;
        for (setting, ms) in [("90s", 90_000), ("2min", 120_000), ("1234", 1234), ("0", 0)] {
            let url = format!("{}?options=-c%20wal_sender_timeout%3D{setting}", outbox.url);
            let endpoint = walpost::postgres::Endpoint::parse(&url).unwrap();
            let mut connection = walpost::replication::Connection::open(&endpoint).await.unwrap();
            assert_eq!(connection.wal_sender_timeout().await.unwrap().as_millis(), ms, "{setting}");
        }
    })
    .await;
}

#[tokio::test]
async fn committed_rows_arrive_in_commit_order_and_nothing_else_does() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "commit_order").await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.sql.batch_execute("CREATE TABLE elsewhere (n int); INSERT INTO elsewhere VALUES (1)").await.unwrap();
        outbox.insert("first", r#"{"price": 1.10, "text": "é\"\\"}"#).await;
        let rolled_back = "BEGIN; INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                           VALUES ('order', 'never', 'placed', '{}'); ROLLBACK";
        outbox.sql.batch_execute(rolled_back).await.unwrap();
        outbox.sql.batch_execute("UPDATE outbox SET event_type = 'changed'; DELETE FROM outbox").await.unwrap();
        outbox.insert_many(3).await;
        let first = reader.transaction().await.unwrap();
        assert_eq!(first.payloads, [r#"{"text": "é\"\\", "price": 1.10}"#.as_bytes()]);
        let second = reader.transaction().await.unwrap();
        let texts: Vec<_> = second.payloads.iter().map(|payload| String::from_utf8_lossy(payload)).collect();
        assert_eq!(texts, [r#"{"n": 1}"#, r#"{"n": 2}"#, r#"{"n": 3}"#]);
        assert!(first.commit_lsn < first.end_lsn && first.end_lsn <= second.commit_lsn);
    })
    .await;
}

#[tokio::test]
async fn a_row_far_larger_than_any_buffer_arrives_byte_for_byte() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "large_row").await;
        let mut reader = LogReader::open(&outbox).await;
        let sql = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                   SELECT 'order', 'large', 'placed', jsonb_agg(md5(n::text)) FROM generate_series(1, 200000) AS n
                   RETURNING md5(payload::text), length(payload::text)";
        let row = outbox.sql.query_one(sql, &[]).await.unwrap();
        let payloads = reader.transaction().await.unwrap().payloads;
        let [payload] = &payloads[..] else { panic!("{} rows", payloads.len()) };
        assert_eq!(payload.len(), usize::try_from(row.get::<_, i32>(1)).unwrap());
        let received = String::from_utf8(payload.clone()).unwrap();
        let digest: String = outbox.sql.query_one("SELECT md5($1::text)", &[&received]).await.unwrap().get(0);
        assert_eq!(digest, row.get::<_, String>(0));
    })
    .await;
}

#[tokio::test]
async fn slots_and_publications_may_have_any_name() {
    on_every_postgres(async |server| {
        let publications = [r#"Mixed "Case", and 'more' \ é"#, "select", "a,b", " ", "$1;--"];
        for (index, publication) in publications.into_iter().enumerate() {
            let slot = format!("{index}9lives_{}", "_".repeat(40));
            let outbox = Outbox::create_named(server, &slot, publication).await;
            let mut reader = LogReader::open(&outbox).await;
            outbox.insert("cat", r#""meow""#).await;
            let transaction = reader.transaction().await.unwrap_or_else(|error| panic!("{publication:?}: {error}"));
            assert_eq!(transaction.payloads, [br#""meow""#], "{publication:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_begins_with_the_transaction_whose_commit_record_is_named() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "start_lsn").await;
        let mut reader = LogReader::open(&outbox).await;
        for n in 1..=3 {
            outbox.insert("a", &n.to_string()).await;
        }
        let mut seen = Vec::new();
        for _ in 1..=3 {
            seen.push(reader.transaction().await.unwrap());
        }
        drop(reader);
        // Nothing was confirmed, so the slot still stands before all three.
        for (start, first) in [(Lsn::ZERO, "1"), (seen[1].commit_lsn, "2"), (seen[1].end_lsn, "3")] {
            let options = StartOptions { start, ..outbox.start.clone() };
            let mut reader = outbox.reader_when_free(&options).await;
            assert_eq!(reader.transaction().await.unwrap().payloads, [first.as_bytes()], "from {start}");
        }
    })
    .await;
}
