//! The log of a life: one line for each change of state, none in between, and nothing that a row could forge.

use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, free_address},
    stage::{EVENT, Stage},
    wait,
    world::own_postgres,
};

/// The lines of a log as they stand.
fn lines(daemon: &Daemon) -> Vec<Value> {
    daemon.log().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// The messages of the log.
fn messages(daemon: &Daemon) -> Vec<String> {
    lines(daemon).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

/// What the log of the second process must say, and nothing else.
const OF_A_LIFE: [&str; 8] = [
    "starting",
    "admin port is open",
    "standing by: another process reads from the slot",
    "leading",
    "not delivering; trying again",
    "delivering again",
    "stopping",
    "stopped; everything that was under way is stored and confirmed",
];

#[tokio::test]
async fn a_life_has_one_line_for_each_change_of_state() {
    let mut stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
    let first = stage.settings.lead().await;
    let daemon = stage.settings.clone().with("ADMIN_LISTEN", &free_address().to_string()).start();
    // It may be in the phase and not have asked yet who has the slot.
    wait::until("it says that it stands by", async || {
        messages(&daemon).iter().any(|message| message.starts_with("standing by"))
    })
    .await;
    assert_eq!(first.terminate().await, 0);
    daemon.until_phase("leading").await;
    for sequence in 1..=3 {
        stage.commit(EVENT).await;
        stage.until_stored(sequence).await;
    }

    stage.broker.stop().await.unwrap();
    stage.commit(EVENT).await;
    daemon.until_blocked("WP0401").await;
    wait::until("it was tried some times", async || daemon.status().await.unwrap()["retries"].as_u64() > Some(3)).await;
    stage.broker.restart().await.unwrap();
    stage.until_stored(4).await;
    wait::until("it says so", async || messages(&daemon).iter().any(|message| message == "delivering again")).await;
    stage.until_confirmed().await;
    daemon.interrupt();
    wait::until("it has ended", async || messages(&daemon).last().is_some_and(|last| last.starts_with("stopped")))
        .await;

    assert_eq!(messages(&daemon), OF_A_LIFE, "{}", daemon.log());
    let lines = lines(&daemon);
    assert_eq!(lines[0]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&lines[3]["slot"], &lines[3]["stream"]), (&json!("walpost"), &json!("OUTBOX")));
    assert_eq!((&lines[4]["level"], &lines[4]["code"]), (&json!("WARN"), &json!("WP0401")));
    assert!(lines[4]["action"].as_str().is_some_and(|action| !action.is_empty()), "{}", lines[4]);
}

#[tokio::test]
async fn what_a_row_holds_forges_no_line_and_is_cut() {
    let stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
    let daemon = stage.settings.lead().await;
    let event = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
        SELECT gen_random_uuid(), 'order', '1', 'placed', '{\"body\": \"hush\"}',
               jsonb_build_object('Nats-' || chr(10) || chr(27) || '[2J' || chr(8238) || repeat('x', 100000), 'hush')";
    stage.commit(event).await;
    stage.until_stored(1).await;
    let line = wait::some("the line about the header", async || {
        lines(&daemon).into_iter().find(|line| line["message"] == "dropped headers that no message may carry")
    })
    .await;
    let name = line["name"].as_str().unwrap();
    assert!(name.starts_with("Nats-\\n\\u{1b}[2J\\u{202e}xxx") && name.len() <= 64, "{name}");
    assert!(!daemon.log().contains("hush"), "{}", daemon.log());
    assert_eq!(daemon.terminate().await, 0);
}
