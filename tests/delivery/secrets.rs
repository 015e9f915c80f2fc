//! What walpost must keep to itself: passwords, and what the rows hold.

use walpost::sandbox::servers::{NatsOptions, PostgresOptions, PrivateNats, PrivatePostgres};

use crate::{daemon::Settings, wait, world::connect};

/// What must be seen nowhere: two passwords, and four values of a row.
const CANARIES: [&str; 6] = ["hush-postgres", "hush-nats", "hush-key", "hush-body", "hush-name", "hush-value"];

#[tokio::test]
async fn no_password_and_nothing_of_a_row_is_logged_at_any_level() {
    let postgres = PrivatePostgres::start(PostgresOptions::default().scram(CANARIES[0])).await.unwrap();
    let broker = PrivateNats::start(NatsOptions::default().login("app", CANARIES[1])).await.unwrap();
    let nats_url = broker.url().replace("nats://", &format!("nats://app:{}@", CANARIES[1]));
    let settings = Settings::new(&postgres.url(), &nats_url).with("LOG_LEVEL", "trace");
    let answer = settings.run(&["setup"]).await;
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let mut said = vec![answer.stdout, answer.stderr];
    for command in [&["setup", "--dry-run"][..], &["config", "show"], &["config", "check"]] {
        let answer = settings.run(command).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        said.extend([answer.stdout, answer.stderr]);
    }
    let mut daemon = settings.lead().await;
    let client = connect(&postgres.url()).await;
    let event = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers) VALUES
                 (gen_random_uuid(), 'order', 'hush-key', 'placed', '\"hush-body\"',
                  '{\"hush-name\": \"hush-value\", \"dropped\": \"hush-value\\nx\"}')";
    client.batch_execute(event).await.unwrap();
    wait::until("the event is stored", async || daemon.status().await.unwrap()["events"]["stored"] == 1).await;
    for path in ["/live", "/ready", "/status", "/metrics"] {
        said.push(daemon.get(path).await.unwrap().body);
    }
    // And when it breaks off in the middle of something.
    client.batch_execute("ALTER TABLE outbox DROP aggregate_type").await.unwrap();
    client.batch_execute(&event.replace("aggregate_type, ", "").replace("'order', ", "")).await.unwrap();
    assert_eq!(daemon.ended().await, 1);
    assert!(daemon.log().contains("\"error\":\"cannot deliver: "), "{}", daemon.log());
    assert!(daemon.log().contains("\"level\":\"TRACE\""), "{}", daemon.log());
    said.push(daemon.log());
    for text in said {
        for canary in CANARIES {
            let at = text.lines().find(|line| line.contains(canary));
            assert_eq!(at, None, "{canary} is shown");
        }
    }
}
