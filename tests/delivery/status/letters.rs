//! Dead letters as rows: each is told before anything says that its event is published, and somebody decides about it.

use uuid::Uuid;

use super::{shown, status, until_status};
use crate::{
    daemon::{Answer, Daemon},
    stage::Stage,
    wait,
    world::{connect, own_postgres},
};

struct World(Stage);

impl World {
    async fn begin() -> Self {
        Self(Stage::set(own_postgres(&[]).await, |settings| settings).await)
    }

    async fn insert(&self, aggregate_id: &str) -> String {
        let id = Uuid::now_v7().to_string();
        let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                   VALUES ($1::text::uuid, 'order', $2, 'placed', '{\"n\": 1}')";
        self.0.client.execute(sql, &[&id, &aggregate_id]).await.unwrap();
        id
    }

    async fn dlq(&self, arguments: &[&str]) -> Answer {
        self.0.settings.run(&[&["dlq"], arguments].concat()).await
    }

    /// Reason and state of each dead letter, the oldest first.
    async fn letters(&self) -> Vec<(String, String, String)> {
        let sql = "SELECT event_id, reason, state FROM walpost_dead_letter ORDER BY stream_sequence";
        let rows = self.0.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }
}

fn letter(id: &str, state: &str) -> (String, String, String) {
    (id.to_owned(), "unsendable-value".to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_dead_event_is_mended_and_sent_again_under_its_own_id_and_another_is_given_up() {
    let world = World::begin().await;
    let daemon = world.0.settings.lead().await;
    let (mended, given_up, stubborn) =
        (world.insert("a\nb").await, world.insert("c\nd").await, world.insert("e\nf").await);
    for id in [&mended, &given_up, &stubborn] {
        until_status(&world.0.client, id, "dead").await;
    }
    let listed = world.dlq(&["list", "--format", "json"]).await;
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert_eq!((&listed[2]["event_id"], &listed[2]["stream_sequence"]), (&mended.as_str().into(), &1.into()));
    let table = world.dlq(&["list"]).await.stdout;
    assert!(
        table.contains(&mended) && table.contains("unsendable-value") && table.contains("order a\\u{a}b"),
        "{table}"
    );

    let sql = "UPDATE outbox SET aggregate_id = 'ab' WHERE id = $1::text::uuid";
    world.0.client.execute(sql, &[&mended]).await.unwrap();
    let answer = world.dlq(&["retry", &mended, &stubborn]).await;
    assert_eq!(answer.stdout, format!("retried  {mended}\nretried  {stubborn}\n"), "{}", answer.stderr);
    let answer = world.dlq(&["discard", &given_up]).await;
    assert_eq!(answer.stdout, format!("discarded  {given_up}\n"), "{}", answer.stderr);

    until_status(&world.0.client, &mended, "published").await;
    // It is dead again within the time in which the broker remembers ids.
    until_status(&world.0.client, &stubborn, "dead").await;
    world.0.until_stored(5).await;
    let stored = world.0.reader.all().await;
    assert_eq!(
        (stored.len(), stored[3].header("Nats-Msg-Id"), stored[3].header("Walpost-Aggregate-Id")),
        (5, &*mended, "ab")
    );
    assert_eq!(stored[4].event_id(), stubborn);
    wait::until("the second record is written down", async || world.letters().await.len() == 4).await;
    let states = ["retried", "discarded", "retried", "dead"];
    let expected = [&mended, &given_up, &stubborn, &stubborn].into_iter().zip(states);
    assert_eq!(world.letters().await, expected.map(|(id, state)| letter(id, state)).collect::<Vec<_>>());
    assert_eq!(status(&world.0.client, &given_up).await.as_deref(), Some("dead"));

    // What came of the first is told, although the second is an error.
    let answer = world.dlq(&["retry", &given_up, "no id"]).await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(1), ""));
    assert!(
        answer.stderr.contains(&format!("error: not retried {given_up}: no dead letter that is open"))
            && answer.stderr.contains("invalid input syntax")
            && answer.stderr.contains("dlq list --all"),
        "{}",
        answer.stderr
    );
    let answer = world.dlq(&["show", &Uuid::nil().to_string()]).await;
    assert!(answer.code == Some(1) && answer.stderr.contains("dlq list --all"), "{}", answer.stderr);
    let page = world.dlq(&["show", &stubborn]).await.stdout;
    assert!(page.contains("state      retried at") && page.contains("state      dead\n"), "{page}");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn a_dead_letter_that_was_stored_and_not_written_down_is_found_in_the_stream() {
    let world = World::begin().await;
    let mut daemon: Daemon = world.0.settings.lead().await;
    let first = world.insert("a\nb").await;
    until_status(&world.0.client, &first, "dead").await;

    // The relay can store, and cannot write down.
    let locker = connect(&world.0.postgres.url()).await;
    locker.batch_execute("BEGIN; LOCK TABLE walpost_dead_letter IN EXCLUSIVE MODE").await.unwrap();
    let (second, plain) = (world.insert("c\nd").await, world.insert("e").await);
    world.0.until_stored(3).await;
    assert_eq!(shown(&world.0.client, "pending").await, [second.clone(), plain.clone()].into());
    daemon.kill().await;
    locker.batch_execute("COMMIT").await.unwrap();
    assert_eq!(shown(&world.0.client, "pending").await, [second.clone(), plain.clone()].into());
    let daemon = world.0.settings.lead().await;
    until_status(&world.0.client, &plain, "published").await;
    assert_eq!(status(&world.0.client, &second).await.as_deref(), Some("dead"));
    assert_eq!(world.letters().await, [letter(&first, "dead"), letter(&second, "dead")]);
    assert_eq!(daemon.terminate().await, 0);

    // Those from before there was a table for them.
    world
        .0
        .client
        .batch_execute("TRUNCATE walpost_dead_letter; UPDATE walpost_watermark SET dead_letters_to = NULL")
        .await
        .unwrap();
    let daemon = world.0.settings.lead().await;
    wait::until("all are written down", async || world.letters().await.len() == 2).await;
    assert_eq!(daemon.terminate().await, 0);
}
