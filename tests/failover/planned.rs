//! Failovers that lose nothing: walpost stays up and follows, and nothing is lost, repeated or reordered.

use walpost::sandbox::servers::STANDBY_SLOT;

use crate::{
    chance::Chance,
    daemon::free_address,
    load::Load,
    pair::{Pair, ids},
    wait,
    world::{connect, versions},
};

#[tokio::test]
async fn a_planned_failover_under_load_loses_repeats_and_reorders_nothing_and_walpost_follows() {
    for binaries in versions() {
        let mut pair = Pair::begin(binaries).await;
        let daemon = pair.settings.lead().await;
        let load = Load::start(&pair.primary.url(), 3, Chance::seed("planned"));
        pair.until_stored(200).await;
        pair.until_followed().await;
        // What comes now is committed before the failover and delivered after it, except for what is under way.
        pair.broker.pause().await.unwrap();
        let written = load.transactions();
        wait::until("more is written", async || load.transactions() > written + 50).await;
        load.stop().await;
        let before = pair.committed_before().await;
        pair.stop_primary().await;
        pair.broker.resume().unwrap();
        daemon.until_blocked("it is a standby").await;

        let witness = pair.promote(&daemon).await;
        daemon.until_phase("leading").await;
        let load = Load::start(&pair.standby.url(), 3, Chance::seed("planned, after"));
        wait::until("the new primary has load", async || load.transactions() > 100).await;
        load.stop().await;
        let after = witness.all(&connect(&pair.standby.url()).await).await;
        let committed = [ids(&before), ids(&after)].concat();
        pair.until_stored(committed.len()).await;
        assert_eq!(pair.stored_ids().await, committed, "{}", daemon.log());
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn an_instance_that_stands_by_follows_too_and_can_take_over_on_the_new_primary() {
    for binaries in versions() {
        let mut pair = Pair::begin(binaries).await;
        let leader = pair.settings.lead().await;
        let standby = pair.settings.clone().with("ADMIN_LISTEN", &free_address().to_string()).start();
        standby.until_phase("standby").await;
        Pair::record(&pair.primary, 3).await;
        pair.until_stored(3).await;
        pair.until_followed().await;
        standby.freeze();
        pair.stop_primary().await;
        pair.promote(&leader).await;
        leader.until_phase("leading").await;
        standby.wake();
        standby.until_phase("standby").await;
        Pair::record(&pair.standby, 3).await;
        pair.until_stored(6).await;
        assert_eq!(leader.terminate().await, 0);
        standby.until_phase("leading").await;
        Pair::record(&pair.standby, 3).await;
        pair.until_stored(9).await;
        assert_eq!(standby.terminate().await, 0);
        let ids = pair.stored_ids().await;
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 9, "{ids:?}");
    }
}

#[tokio::test]
async fn positions_name_the_timeline_and_rise_along_the_history() {
    let binaries = versions().remove(0);
    let (mut pair, daemon) = Pair::delivering(binaries, 3).await;
    pair.fail_over(&daemon).await;
    Pair::record(&pair.standby, 3).await;
    pair.until_stored(6).await;
    let positions: Vec<walpost::position::Position> =
        pair.reader.all().await.iter().map(|stored| stored.header("Walpost-Position").parse().unwrap()).collect();
    let timelines: Vec<u32> = positions.iter().map(|position| position.source.timeline).collect();
    assert_eq!(timelines, [1, 1, 1, 2, 2, 2]);
    assert!(positions.is_sorted_by(|a, b| a.place < b.place), "{positions:?}");
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn where_the_log_goes_to_the_standby_first_a_failover_leaves_no_orphans() {
    for binaries in versions() {
        let mut pair = Pair::begin(binaries).await;
        if !pair.syncs_slots() {
            continue;
        }
        pair.primary.set_config("synchronized_standby_slots", STANDBY_SLOT).unwrap();
        pair.primary.reload().await.unwrap();
        let daemon = pair.settings.lead().await;
        Pair::record(&pair.primary, 10).await;
        pair.until_stored(10).await;
        pair.until_followed().await;
        let before = pair.committed_before().await;
        pair.standby.cut_off().await.unwrap();
        Pair::record(&pair.primary, 5).await;
        let client = connect(&pair.primary.url()).await;
        let waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'";
        wait::until("the walsender waits for the standby", async || client.query_one(waits, &[]).await.unwrap().get(0))
            .await;
        assert_eq!(pair.stored_ids().await, ids(&before), "published although the standby lacks it");
        pair.primary.kill().await.unwrap();
        let witness = pair.promote(&daemon).await;
        daemon.until_phase("leading").await;
        Pair::record(&pair.standby, 10).await;
        let after = witness.all(&connect(&pair.standby.url()).await).await;
        let committed = [ids(&before), ids(&after)].concat();
        pair.until_stored(committed.len()).await;
        assert_eq!(pair.stored_ids().await, committed, "{}", daemon.log());
        assert_eq!(daemon.terminate().await, 0);
    }
}
