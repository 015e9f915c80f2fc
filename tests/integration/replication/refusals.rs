//! What the server refuses: slots that are missing or taken, publications that are gone.

use walpost::replication::{ReplicationError, StartOptions};

use crate::harness::{LogReader, Outbox, on_every_postgres};

#[tokio::test]
async fn a_missing_slot_is_refused_with_42704() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "missing_slot").await;
        let options = StartOptions { slot: "no_such_slot".to_owned(), ..outbox.start.clone() };
        let refused = LogReader::start(outbox.connection().await, &options).await.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("42704"), "{refused}");
        assert!(refused.to_string().contains("no_such_slot"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_slot_in_use_is_refused_with_55006_and_is_free_once_its_reader_is_gone() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "slot_in_use").await;
        let reader = LogReader::open(&outbox).await;
        let refused = LogReader::start(outbox.connection().await, &outbox.start).await.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("55006"), "{refused}");
        drop(reader);
        outbox.reader_when_free(&outbox.start).await;
    })
    .await;
}

#[tokio::test]
async fn a_slot_of_another_database_is_refused() {
    on_every_postgres(async |server| {
        let (outbox, other) =
            (Outbox::create(server, "this_database").await, Outbox::create(server, "other_database").await);
        let refused = LogReader::start(outbox.connection().await, &other.start).await.unwrap_err();
        assert!(matches!(refused, ReplicationError::Server(_)), "{refused}");
        assert!(refused.to_string().contains("database"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_missing_publication_ends_the_stream_before_a_row_is_passed_over() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "missing_publication").await;
        let options = StartOptions { publication: "Gone, \"really\"".to_owned(), ..outbox.start.clone() };
        outbox.insert("a", "1").await;
        let mut reader = LogReader::start(outbox.connection().await, &options).await.unwrap();
        let error = reader.transaction().await.unwrap_err();
        assert!(error.to_string().contains("Gone, \"really\""), "{error}");
        match server.major() {
            18.. => assert!(matches!(error, ReplicationError::PublicationSkipped(_)), "{error:?}"),
            _ => assert_eq!(error.sqlstate(), Some("42704"), "{error:?}"),
        }
        drop(reader);
        // And the row is still there for whoever knows the right name.
        let mut reader = outbox.reader_when_free(&outbox.start).await;
        assert_eq!(reader.transaction().await.unwrap().payloads, [b"1"]);
    })
    .await;
}

#[tokio::test]
async fn a_publication_that_is_dropped_meanwhile_ends_the_stream() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "dropped_publication").await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.insert("a", "1").await;
        assert_eq!(reader.transaction().await.unwrap().payloads, [b"1"]);
        outbox.sql.batch_execute("DROP PUBLICATION walpost").await.unwrap();
        outbox.insert("a", "2").await;
        let error = reader.transaction().await.unwrap_err();
        assert!(error.to_string().contains("walpost"), "{error}");
        assert!(error.sqlstate().is_some(), "{error:?}");
    })
    .await;
}
