//! A failover that the slot did not survive: nothing is made in its place, and what it would have sent can be found.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::{
    pair::{Pair, ids},
    world::{connect, versions},
};

/// The slot may have come over, where slots do.
const DROP: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'walpost'";

#[tokio::test]
async fn without_its_slot_walpost_makes_no_other_and_says_how_to_go_on_without_a_loss() {
    for binaries in versions() {
        let (mut pair, daemon) = Pair::delivering(binaries, 5).await;
        assert_eq!(daemon.terminate().await, 0);
        // Committed, and on the standby, but never published.
        Pair::record(&pair.primary, 5).await;
        pair.until_replayed().await;
        let before = ids(&pair.committed_before().await);
        pair.stop_primary().await;
        pair.standby.promote().await.unwrap();
        let client = connect(&pair.standby.url()).await;
        client.batch_execute(DROP).await.unwrap();

        for command in [&["run"][..], &["run", "--setup"], &["setup"], &["setup", "--dry-run"]] {
            let answer = pair.settings.run(command).await;
            assert_eq!(answer.code, Some(1), "{command:?}: {}", answer.stderr);
            for part in
                ["WP0303", "is gone: walpost had confirmed up to ", "if the slot is on another server, go there"]
            {
                assert!(answer.stderr.contains(part), "{command:?}: {}", answer.stderr);
            }
            assert!(slots(&client).await.is_empty(), "{command:?} made a slot");
        }

        // What the hint says.
        send_missing(&pair, 5).await;
        let daemon = pair.settings.lead().await;
        pair.until_stored(10).await;
        let stored = pair.stored_ids().await;
        assert_eq!(stored.iter().collect::<BTreeSet<_>>(), before.iter().collect());
        assert_eq!(stored.len(), before.len());
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_slot_that_somebody_else_makes_on_the_new_primary_does_not_hide_the_gap() {
    for binaries in versions() {
        let (mut pair, daemon) = Pair::delivering(binaries, 5).await;
        assert_eq!(daemon.terminate().await, 0);
        Pair::record(&pair.primary, 5).await;
        pair.until_replayed().await;
        pair.stop_primary().await;
        pair.standby.promote().await.unwrap();
        let client = connect(&pair.standby.url()).await;
        client.batch_execute(DROP).await.unwrap();
        client.batch_execute("SELECT pg_create_logical_replication_slot('walpost', 'pgoutput')").await.unwrap();
        Pair::record(&pair.standby, 5).await;

        let answer = pair.settings.run(&["run"]).await;
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        for part in
            ["WP0305", "and walpost never confirmed more than ", "run `SELECT pg_drop_replication_slot('walpost');`"]
        {
            assert!(answer.stderr.contains(part), "{}", answer.stderr);
        }
        assert_eq!(pair.stored_ids().await.len(), 5, "nothing is published beyond the gap");

        // What the hint says.
        client.batch_execute(DROP).await.unwrap();
        send_missing(&pair, 10).await;
        let daemon = pair.settings.lead().await;
        pair.until_stored(15).await;
        assert_eq!(pair.stored_ids().await.iter().collect::<BTreeSet<_>>().len(), 15);
        assert_eq!(daemon.terminate().await, 0);
    }
}

/// Makes the slot anew, which must send so many rows.
async fn send_missing(pair: &Pair, count: usize) {
    let answer = pair.settings.run(&["setup", "--existing-rows", "missing"]).await;
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let told = format!("sent     {count} rows of table public.outbox that were missing in stream OUTBOX\n");
    assert!(answer.stdout.ends_with(&told), "{}", answer.stdout);
}

/// The program's slots.
async fn slots(client: &Client) -> Vec<String> {
    let rows = client.query("SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = 'walpost'", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}
