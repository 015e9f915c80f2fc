//! Failovers that lose committed events: those that the stream holds are told by id, and no event of the new primary is
//! taken for one of them, although it has their numbers.

use crate::{
    daemon::Daemon,
    pair::{Pair, ids},
    wait,
    witness::{Seen, Witness},
    world::{connect, versions},
};

/// How many events are lost.
const LOST: usize = 5;
/// How many events are recorded before, and after.
const KEPT: usize = 10;

/// A failover in which the standby lacks the last events, all of which were delivered.
struct Lossy {
    pair: Pair,
    before: Vec<Seen>,
    witness: Witness,
}

impl Lossy {
    async fn begin(mut pair: Pair, daemon: &Daemon) -> Self {
        Pair::record(&pair.primary, KEPT).await;
        pair.until_stored(KEPT).await;
        pair.until_followed().await;
        pair.standby.cut_off().await.unwrap();
        // They take up much more log than what comes after.
        let bulk = "SELECT pg_logical_emit_message(false, 'bulk', repeat('x', 1000000))";
        connect(&pair.primary.url()).await.batch_execute(bulk).await.unwrap();
        Pair::record(&pair.primary, LOST).await;
        pair.until_stored(KEPT + LOST).await;
        let before = pair.committed_before().await;
        assert_eq!(ids(&before), pair.stored_ids().await, "{}", daemon.log());
        pair.primary.kill().await.unwrap();
        let witness = pair.promote(daemon).await;
        Self { pair, before, witness }
    }

    /// The ids of the lost events.
    fn lost(&self) -> Vec<String> {
        ids(&self.before[KEPT..])
    }

    /// Records events on the new primary and waits until they are stored; every one must be, and nothing else.
    async fn assert_goes_on(&self) {
        Pair::record(&self.pair.standby, KEPT).await;
        self.assert_all_arrived().await;
    }

    async fn assert_all_arrived(&self) {
        let after = self.witness.all(&connect(&self.pair.standby.url()).await).await;
        let last_lost = self.before.last().unwrap().commit_lsn;
        assert!(after.iter().all(|seen| seen.commit_lsn < last_lost), "no number is used again, so nothing is shown");
        let committed = [ids(&self.before), ids(&after)].concat();
        self.pair.until_stored(committed.len()).await;
        assert_eq!(self.pair.stored_ids().await, committed);
    }
}

#[tokio::test]
async fn orphans_end_walpost_with_their_ids_and_a_way_out_that_loses_nothing() {
    for binaries in versions() {
        let pair = Pair::begin(binaries).await;
        let mut daemon = pair.settings.lead().await;
        let lossy = Lossy::begin(pair, &daemon).await;
        assert_eq!(daemon.ended().await, 1);
        Pair::record(&lossy.pair.standby, KEPT).await;
        let again = lossy.pair.settings.run(&["run"]).await;
        assert_eq!(again.code, Some(1));
        for told in [daemon.log(), again.stderr] {
            let count = format!("({LOST} events, sequences {} to {}: ", KEPT + 1, KEPT + LOST);
            assert!(told.contains("\"code\":\"WP0704\""), "{told}");
            assert!(told.contains("\"error\":\"the stream holds events that a failover or restore lost"), "{told}");
            assert!(told.contains(&(count + &lossy.lost().join(", "))), "{told}");
            assert!(told.contains(r#"delivery.on_orphans = \"keep\""#), "{told}");
        }
        assert_eq!(
            lossy.pair.reader.last_sequence().await,
            (KEPT + LOST) as u64,
            "nothing was stored before the decision"
        );

        let daemon = lossy.pair.settings.clone().with("DELIVERY_ON_ORPHANS", "keep").lead().await;
        lossy.assert_all_arrived().await;
        for id in lossy.lost() {
            assert!(daemon.log().contains(&id), "{id}: {}", daemon.log());
        }
        assert_eq!(daemon.terminate().await, 0);
        // The decision is made once: behind the first new event nothing is left to decide.
        let daemon = lossy.pair.settings.lead().await;
        lossy.assert_goes_on().await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn told_to_keep_orphans_walpost_follows_by_itself_also_over_a_restart_of_the_broker() {
    for binaries in versions() {
        let pair = Pair::begin(binaries).await;
        let settings = pair.settings.clone().with("DELIVERY_ON_ORPHANS", "keep");
        let daemon = settings.lead().await;
        let mut lossy = Lossy::begin(pair, &daemon).await;
        daemon.until_phase("leading").await;
        // The stream still ends with lost events when the broker comes back.
        lossy.pair.broker.restart().await.unwrap();
        wait::until("walpost has noticed", async || {
            daemon.status().await.is_some_and(|status| status["retries"].as_u64().unwrap() > 0)
        })
        .await;
        lossy.assert_goes_on().await;
        daemon.until_phase("leading").await;
        assert_eq!(daemon.terminate().await, 0);
    }
}
