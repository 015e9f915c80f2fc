//! Deleting what is delivered: never a row that is not, never without being asked to, and in nobody's way.

mod faults;
mod partitions;
mod rows;

use std::collections::BTreeSet;

use tokio_postgres::Client;
use uuid::Uuid;

use crate::{daemon::Daemon, stage::Stage, wait, world::own_postgres};

/// Long ago, for rows that are older than any age.
const OLD: &str = "2001-01-01";

/// Servers with walpost set up between them, to delete what was delivered longer ago than an hour.
async fn stage() -> Stage {
    Stage::set(own_postgres(&[]).await, |settings| settings.with("RETENTION_DELETE_AFTER", "1h")).await
}

/// The same, without a minimum of age.
async fn stage_of_no_age() -> Stage {
    Stage::set(own_postgres(&[]).await, |settings| settings.with("RETENTION_DELETE_AFTER", "0s")).await
}

/// Records an event in a transaction of its own, as if it had been then.
async fn insert(client: &Client, at: &str, aggregate_id: &str) -> String {
    let id = Uuid::now_v7().to_string();
    let sql = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, created_at)
               VALUES ($1::text::uuid, 'order', $2, 'placed', $3::text::timestamptz)";
    client.execute(sql, &[&id, &aggregate_id, &at]).await.unwrap();
    id
}

/// The events that have a row.
async fn rows(client: &Client) -> BTreeSet<String> {
    client.query("SELECT id::text FROM outbox", &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Waits until just these events have a row.
async fn until_rows(client: &Client, expected: &[&String]) {
    let expected: BTreeSet<String> = expected.iter().map(|id| (*id).clone()).collect();
    wait::until(&format!("the rows are {expected:?}"), async || rows(client).await == expected).await;
}

/// Waits until all was looked through twice from now on.
async fn until_it_ran(daemon: &Daemon) {
    for _ in 0..2 {
        let ran = async || daemon.status().await?["retention"]["ran_seconds_ago"].as_f64();
        let before = wait::some("a cleanup ran", ran).await;
        // The age falls with the next one.
        wait::until("another cleanup ran", async || ran().await.is_some_and(|ago| ago < before)).await;
    }
}

/// What is told of the cleanups so far.
async fn told(daemon: &Daemon, name: &str) -> u64 {
    daemon.status().await.unwrap()["retention"][name].as_u64().unwrap()
}

/// Waits until it tells this: what a cleanup did is seen in the database before the cleanup ends and tells.
async fn until_told(daemon: &Daemon, name: &str, expected: u64) {
    wait::until(&format!("{name} is {expected}"), async || told(daemon, name).await == expected).await;
}

/// Waits until the database knows that all is delivered.
async fn until_known(client: &Client) {
    let sql = "SELECT pending FROM walpost_lag WHERE slot = 'walpost'";
    wait::until("all is known to be delivered", async || {
        let row = client.query_opt(sql, &[]).await.unwrap();
        row.and_then(|row| row.get::<_, Option<i64>>(0)) == Some(0)
    })
    .await;
}
