//! How a stream ends when the server does: in order, by a crash, or by falling silent.

use std::time::Duration;

use tokio::{
    join,
    time::{Instant, timeout},
};
use walpost::{
    replication::{Frame, ReplicationError},
    sandbox::servers::StopMode,
};

use crate::harness::{LogReader, Outbox, alone_with_every_postgres, wait_until, within};

/// More frames than a calm end needs, and by far fewer than a storm of questions and answers has.
const CALM: usize = 100;
/// How often the server may ask what cannot be answered yet.
const QUESTIONS: usize = 10;
/// Unpaced, that many would take a millisecond.
const LEAST_TIME_FOR_QUESTIONS: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_fast_shutdown_of_an_idle_server_is_quick_and_calm() {
    alone_with_every_postgres(async |server| {
        let outbox = Outbox::create(server, "idle_shutdown").await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.insert("a", "1").await;
        let stored = reader.transaction().await.unwrap();
        reader.feedback().flushed(stored.end_lsn);
        let begun = Instant::now();
        let (stopped, (frames, error)) = join!(server.stop(StopMode::Fast), confirming_everything(&mut reader));
        stopped.unwrap();
        assert!(begun.elapsed().as_secs() < 5, "took {:?}", begun.elapsed());
        assert!(frames < CALM, "{frames} frames");
        assert!(matches!(error, ReplicationError::Closed), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_fast_shutdown_waits_for_what_is_not_stored_yet_and_is_calm_all_the_while() {
    alone_with_every_postgres(async |server| {
        let outbox = Outbox::create(server, "busy_shutdown").await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.insert("a", "1").await;
        let stored = reader.transaction().await.unwrap();
        reader.feedback().flushed(stored.end_lsn);
        // Until something was reported as stored, the server makes do with what was received.
        let reported = async || outbox.sender().await.unwrap().flush == Some(stored.end_lsn);
        reader.while_reading(wait_until("the server knows what is stored", reported)).await;
        outbox.insert("a", "2").await;
        let unstored = reader.transaction().await.unwrap();
        let unhurried = async {
            // The broker does not answer, and the server repeats its question with each reply that does not satisfy it.
            let begun = Instant::now();
            for _ in 0..QUESTIONS {
                within("a question of the server", reader.frame()).await.unwrap();
            }
            let asked_for = begun.elapsed();
            reader.feedback().flushed(unstored.end_lsn);
            (asked_for, confirming_everything(&mut reader).await)
        };
        let (stopped, (asked_for, (frames, error))) = join!(server.stop(StopMode::Fast), unhurried);
        stopped.unwrap();
        assert!(asked_for > LEAST_TIME_FOR_QUESTIONS, "{QUESTIONS} questions within {asked_for:?}");
        assert!(frames < CALM, "{frames} frames");
        assert!(matches!(error, ReplicationError::Closed), "{error:?}");
        // What was stored before the end is not sent again, where the server keeps that over a restart.
        if server.major() >= 17 {
            server.restart().await.unwrap();
            let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'busy_shutdown'";
            let kept: String = server.connect().await.unwrap().query_one(sql, &[]).await.unwrap().get(0);
            assert!(kept.parse::<walpost::lsn::Lsn>().unwrap() >= unstored.end_lsn);
        }
    })
    .await;
}

/// Does what the engine does with nothing in flight: confirms each keepalive as it is.
async fn confirming_everything(reader: &mut LogReader) -> (usize, ReplicationError) {
    let mut frames = 0;
    let reading = async {
        loop {
            match reader.frame().await {
                Ok(Frame::Keepalive { wal_end, .. }) => reader.feedback().flushed(wal_end),
                Ok(_) => {}
                Err(error) => return error,
            }
            frames += 1;
        }
    };
    let error = within("the end of the stream", reading).await;
    (frames, error)
}

#[tokio::test]
async fn a_crash_is_an_error_at_once_and_the_next_start_sends_everything_again() {
    alone_with_every_postgres(async |server| {
        let outbox = Outbox::create(server, "crash").await;
        let mut reader = LogReader::open(&outbox).await;
        outbox.insert("a", "1").await;
        let stored = reader.transaction().await.unwrap();
        reader.feedback().flushed(stored.end_lsn);
        let begun = Instant::now();
        let (killed, (_, error)) = join!(server.kill(), reader.until_the_end());
        killed.unwrap();
        assert!(begun.elapsed().as_secs() < 10, "took {:?}", begun.elapsed());
        assert!(matches!(error, ReplicationError::Closed | ReplicationError::Io(_)), "{error:?}");
        let refused = walpost::replication::Connection::open(&outbox.endpoint()).await.unwrap_err().to_string();
        assert!(refused.contains(&server.port().to_string()), "{refused}");
        server.restart().await.unwrap();
        let mut reader = LogReader::open(&outbox).await;
        assert_eq!(reader.transaction().await.unwrap().payloads, [b"1"]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed() {
    alone_with_every_postgres(async |server| {
        let mut outbox = Outbox::create(server, "silence").await;
        outbox.url += "?options=-c%20wal_sender_timeout%3D600ms";
        let mut reader = LogReader::open(&outbox).await;
        server.pause().await.unwrap();
        let noticing = async {
            while !reader.feedback().is_silent(Instant::now()) {
                // Wakes for the status updates, of which one asks for a sign of life.
                if let Ok(frame) = timeout(Duration::from_millis(50), reader.frame()).await {
                    frame.unwrap();
                }
            }
        };
        within("the silence to be noticed", noticing).await;
        server.resume().unwrap();
    })
    .await;
}
