//! A failover that the slot did not survive: nothing is made in its place, and what it would have sent can be found.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::{
    pair::{Pair, ids},
    world::{connect, versions},
};

/// Puts rows in again under the same ids, as the runbook does.
const AGAIN: &str = "
    WITH missing AS (DELETE FROM outbox WHERE id::text <> ALL ($1) RETURNING *)
    INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers, created_at)
    SELECT id, aggregate_type, aggregate_id, event_type, payload, headers, created_at
      FROM missing ORDER BY created_at, xid::text::bigint";

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
        client.batch_execute("DELETE FROM walpost_watermark WHERE slot = 'walpost'").await.unwrap();
        pair.settings.set_up_again().await;
        let daemon = pair.settings.lead().await;
        assert_eq!(client.execute(AGAIN, &[&pair.stored_ids().await]).await.unwrap(), 5);
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
        for part in ["WP0305", "and walpost never confirmed more than ", "see which committed events the stream lacks"]
        {
            assert!(answer.stderr.contains(part), "{}", answer.stderr);
        }
        assert_eq!(pair.stored_ids().await.len(), 5, "nothing is published beyond the gap");
    }
}

/// The program's slots.
async fn slots(client: &Client) -> Vec<String> {
    let rows = client.query("SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = 'walpost'", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}
