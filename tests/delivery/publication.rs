//! A publication that is changed while events flow: Postgres would leave rows out without a word.

use futures_util::future::join_all;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use crate::{
    daemon::Settings,
    stage::EVENT,
    stream::Reader,
    wait,
    world::{connect, database, nats, shared_postgres},
};

/// What is done, the oldest version that can do it, the code, and what is said.
const CASES: [(&str, i32, &str, &str); 6] = [
    ("ALTER PUBLICATION walpost SET (publish = 'update')", 14, "WP0202", "does not publish inserts"),
    ("ALTER PUBLICATION walpost DROP TABLE outbox", 14, "WP0202", "does not contain table"),
    ("ALTER PUBLICATION walpost SET TABLE outbox WHERE (event_type <> 'rare')", 15, "WP0202", "rare"),
    (
        "ALTER PUBLICATION walpost SET TABLE outbox (id, aggregate_type, aggregate_id, event_type)",
        15,
        "WP0202",
        "leaves out",
    ),
    ("ALTER TABLE outbox RENAME TO put_away", 14, "WP0201", "does not exist"),
    ("DROP PUBLICATION walpost", 14, "WP0202", "does not exist"),
];

#[tokio::test]
async fn publication_tamper_is_detected() {
    for server in shared_postgres().await {
        // All at once: each takes a few seconds, most of them waiting.
        let broker = nats().await;
        let cases = CASES.iter().enumerate().map(|(number, case)| Box::pin(tamper(server, &broker, number, case)));
        join_all(cases).await;
    }
}

async fn tamper(
    server: &PrivatePostgres,
    broker: &PrivateNats,
    number: usize,
    &(sql, since, code, words): &(&str, i32, &str, &str),
) {
    let name = format!("tamper_{number}");
    let url = database(server, &name).await;
    let client = connect(&url).await;
    let version: String = client.query_one("SELECT current_setting('server_version_num')", &[]).await.unwrap().get(0);
    if version.parse::<i32>().unwrap() / 10_000 < since {
        return;
    }
    let subject = format!("{name}.{{event_type}}");
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", &name);
    let settings = settings.with("NATS_STREAM", &name).with("NATS_SUBJECT", &subject);
    settings.set_up().await;
    let reader = Reader::connect(&broker.url(), &name).await;
    let mut daemon = settings.lead().await;
    client.batch_execute(EVENT).await.unwrap();
    wait::until("the event is stored", async || reader.last_sequence().await == 1).await;
    // A change that changes nothing is no reason to end.
    client.batch_execute("ALTER TABLE outbox ADD COLUMN note text").await.unwrap();
    client.batch_execute(EVENT).await.unwrap();
    wait::until("the event is stored", async || reader.last_sequence().await == 2).await;
    assert_eq!(daemon.exit_code(), None);
    client.batch_execute(sql).await.unwrap();
    assert_eq!(daemon.ended().await, 1, "{sql}: {}", daemon.log());
    let log = daemon.log();
    assert!(log.contains(code) && log.contains(words), "{sql}: {log}");
    let again = settings.run(&["run"]).await;
    assert!(again.code == Some(1) && again.stderr.contains(words), "{sql}: {}", again.stderr);
}
