//! What walpost must keep to itself: passwords, and what the rows hold.

use walpost::sandbox::servers::{NatsOptions, PostgresOptions, PrivateNats, PrivatePostgres};

use crate::{daemon::Settings, wait, world::connect};

/// What must be seen nowhere: passwords, right and wrong, and what a row holds.
const CANARIES: [&str; 8] =
    ["hush-postgres", "hush-nats", "hush-key", "hush-body", "hush-name", "hush-value", "hush-wrong", "hush-type"];

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
    // One that no message can carry: its subject would be too long.
    let dead = event.replace("'placed'", &format!("'hush-type{}'", "x".repeat(70_000)));
    client.batch_execute(&dead).await.unwrap();
    wait::until("its record is stored", async || daemon.status().await.unwrap()["events"]["stored"] == 2).await;
    for path in ["/live", "/ready", "/status", "/metrics"] {
        said.push(daemon.get(path).await.unwrap().body);
    }
    for command in [&["doctor"][..], &["doctor", "--format", "json"], &["status"], &["status", "--format", "json"]] {
        let answer = settings.run(command).await;
        said.extend([answer.stdout, answer.stderr]);
    }
    // Dead letters are there to be seen, by the ids that a row bears; what it says they do not repeat.
    for command in [&["dlq", "list"][..], &["dlq", "list", "--format", "json"]] {
        let answer = settings.run(command).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        said.extend([answer.stdout, answer.stderr].map(|text| text.replace("hush-key", "").replace("hush-type", "")));
    }
    // Whoever is not let in does not say with what.
    for wrong in [
        Settings::new(&postgres.url_with_password("postgres", "hush-wrong", "postgres"), &nats_url),
        Settings::new(&postgres.url(), &nats_url.replace(CANARIES[1], "hush-wrong")),
    ] {
        for command in [&["run"][..], &["setup"], &["doctor"], &["status"]] {
            let answer = wrong.clone().with("LOG_LEVEL", "trace").run(command).await;
            assert_eq!(answer.code, Some(1), "{command:?}: {}", answer.stdout);
            said.extend([answer.stdout, answer.stderr]);
        }
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
