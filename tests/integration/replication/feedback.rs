//! What is reported: the slot moves by what was stored and by nothing else, up to the last word.

use tokio::time::Instant;
use walpost::replication::Frame;

use crate::harness::{LogReader, Outbox, SOON, on_every_postgres, wait_until, within};

#[tokio::test]
async fn the_server_learns_what_was_received_and_what_was_stored_as_two_things() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "two_things").await;
        let mut reader = LogReader::open(&outbox).await;
        let mut seen = Vec::new();
        for n in 1..=3 {
            outbox.insert("a", &n.to_string()).await;
            seen.push(reader.transaction().await.unwrap());
        }
        let at_first = outbox.confirmed_flush().await;
        reader.feedback().flushed(seen[0].end_lsn);
        let reported = async || {
            let sender = outbox.sender().await.unwrap();
            sender.flush == Some(seen[0].end_lsn) && sender.write >= Some(seen[2].end_lsn)
        };
        reader.while_reading(wait_until("the server knows what was received and stored", reported)).await;
        assert!(at_first < seen[0].commit_lsn);
        assert_eq!(outbox.confirmed_flush().await, seen[0].end_lsn);
        assert_eq!(reader.feedback().confirmed(), seen[0].end_lsn);
    })
    .await;
}

#[tokio::test]
async fn receiving_alone_never_moves_the_slot() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "receiving_alone").await;
        let at_first = outbox.confirmed_flush().await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.insert_many(100).await;
        let last = reader.transaction().await.unwrap().end_lsn;
        let received = async || outbox.sender().await.unwrap().write >= Some(last);
        reader.feedback().reply_requested();
        reader.while_reading(wait_until("the server knows what was received", received)).await;
        reader.finish(Instant::now() + SOON).await.unwrap();
        assert_eq!(outbox.confirmed_flush().await, at_first);
    })
    .await;
}

#[tokio::test]
async fn a_keepalive_of_an_idle_outbox_may_be_confirmed_although_other_tables_are_written() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "idle_outbox").await;
        outbox.sql.batch_execute("CREATE TABLE elsewhere (n int)").await.unwrap();
        let mut reader = LogReader::open(&outbox).await;
        outbox.sql.batch_execute("INSERT INTO elsewhere SELECT generate_series(1, 1000)").await.unwrap();
        let text: String = outbox.sql.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0);
        let target = text.parse().unwrap();
        let moving = async {
            while reader.feedback().confirmed() < target {
                if let Frame::Keepalive { wal_end, .. } = reader.frame().await.unwrap() {
                    reader.feedback().flushed(wal_end);
                }
            }
        };
        within("a keepalive past the other table's rows", moving).await;
        let confirmed = async || outbox.confirmed_flush().await >= target;
        reader.while_reading(wait_until("the slot has moved", confirmed)).await;
    })
    .await;
}

#[tokio::test]
async fn the_last_word_confirms_what_no_periodic_status_has_yet() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "last_word").await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.insert("a", "1").await;
        outbox.insert("a", "2").await;
        let stored = reader.transaction().await.unwrap();
        reader.feedback().flushed(stored.end_lsn);
        // Nothing is sent between these two lines.
        reader.finish(Instant::now() + SOON).await.unwrap();
        assert_eq!(outbox.confirmed_flush().await, stored.end_lsn);
        // The goodbye has ended when the slot is free: the next reader gets in at once.
        let mut next = LogReader::open(&outbox).await;
        assert_eq!(next.transaction().await.unwrap().payloads, [b"2"]);
    })
    .await;
}

#[tokio::test]
async fn a_goodbye_in_the_middle_of_much_unread_log_is_heard() {
    on_every_postgres(async |server| {
        let outbox = Outbox::create(server, "busy_goodbye").await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.insert("a", "1").await;
        let stored = reader.transaction().await.unwrap();
        // More than the socket holds, so the server is in the middle of it when it hears the goodbye.
        outbox.insert_many(100_000).await;
        within("the first row", reader.frame()).await.unwrap();
        reader.feedback().flushed(stored.end_lsn);
        reader.finish(Instant::now() + SOON).await.unwrap();
        assert_eq!(outbox.confirmed_flush().await, stored.end_lsn);
        let mut next = LogReader::open(&outbox).await;
        assert_eq!(next.transaction().await.unwrap().payloads.len(), 100_000);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_outlives_three_timeouts_of_the_server() {
    on_every_postgres(async |server| {
        let mut outbox = Outbox::create(server, "three_timeouts").await;
        outbox.url += "?options=-c%20wal_sender_timeout%3D2s";
        let mut reader = LogReader::open(&outbox).await;
        let first = outbox.sender().await.unwrap();
        let old_enough = async || outbox.sender().await.is_some_and(|sender| sender.age_seconds > 6.5);
        reader.while_reading(wait_until("the connection has outlived three timeouts", old_enough)).await;
        assert_eq!(outbox.sender().await.unwrap().pid, first.pid);
        outbox.insert("a", "1").await;
        assert_eq!(reader.transaction().await.unwrap().payloads, [b"1"]);
    })
    .await;
}

#[tokio::test]
async fn a_connection_whose_reader_falls_silent_is_dropped_by_the_server() {
    on_every_postgres(async |server| {
        let mut outbox = Outbox::create(server, "falls_silent").await;
        outbox.url += "?options=-c%20wal_sender_timeout%3D500ms";
        let mut reader = LogReader::open(&outbox).await;
        let gone = async || outbox.sender().await.is_none();
        wait_until("the server has dropped a silent reader", gone).await;
        let (_, error) = reader.until_the_end().await;
        assert_eq!(error.sqlstate(), None, "{error}");
        // So the slot is free for a better one.
        LogReader::open(&outbox).await;
    })
    .await;
}
