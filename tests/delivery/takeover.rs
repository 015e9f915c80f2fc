//! Two instances: one leads, the other stands by; whoever leads, nothing is lost, repeated or reordered.

use crate::{
    chance::Chance,
    daemon::{Daemon, free_address},
    load::Load,
    stage::Stage,
    wait,
    world::own_postgres,
};

/// How often leadership changes hands.
const CHANGES: usize = 10;

/// More rows than any transaction of the load has.
const LARGEST_TRANSACTION: u64 = 220;

async fn stage() -> Stage {
    let stage = Stage::set(own_postgres(&[("wal_sender_timeout", "2s")]).await, |settings| settings).await;
    stage.forget_ids_soon().await;
    stage
}

/// Another instance.
fn start(stage: &Stage) -> Daemon {
    stage.settings.clone().with("ADMIN_LISTEN", &free_address().to_string()).start()
}

#[tokio::test]
async fn hand_overs_and_kills_under_load_lose_repeat_and_reorder_nothing() {
    let stage = stage().await;
    let load = Load::start(&stage.postgres.url(), 3, Chance::seed("takeover"));
    let mut leader = start(&stage);
    leader.until_phase("leading").await;
    for change in 0..CHANGES {
        let standby = start(&stage);
        standby.until_phase("standby").await;
        let stored = stage.reader.last_sequence().await;
        wait::until("events flow", async || stage.reader.last_sequence().await > stored + 20).await;
        if change % 2 == 0 {
            assert_eq!(leader.terminate().await, 0);
        } else {
            leader.kill().await;
        }
        standby.until_phase("leading").await;
        let skipped = &standby.status().await.unwrap()["rows"]["skipped"];
        // A stop in good order may come in the middle of a transaction, which is then sent again as a whole.
        let most = if change % 2 == 0 { LARGEST_TRANSACTION } else { u64::MAX };
        assert!(skipped.as_u64().unwrap() < most, "{skipped} rows were sent again after a stop in good order");
        leader = standby;
    }
    load.stop().await;
    stage.assert_all_arrived().await;
    assert_eq!(leader.terminate().await, 0);
}

#[tokio::test]
async fn a_leader_that_wakes_after_the_takeover_stores_nothing_and_stands_by() {
    let stage = stage().await;
    let (zombie, standby) = (start(&stage), start(&stage));
    wait::until("one leads, the other stands by", async || {
        let phase = async |daemon: &Daemon| daemon.get("/ready").await.map(|page| page.body).unwrap_or_default();
        [phase(&zombie).await, phase(&standby).await].concat() == "leading\nstandby\n"
            || [phase(&zombie).await, phase(&standby).await].concat() == "standby\nleading\n"
    })
    .await;
    let zombie_leads = zombie.get("/ready").await.unwrap().body == "leading\n";
    let (zombie, standby) = if zombie_leads { (zombie, standby) } else { (standby, zombie) };
    let load = Load::start(&stage.postgres.url(), 3, Chance::seed("zombie"));
    wait::until("events flow", async || stage.reader.last_sequence().await > 100).await;
    // With the broker standing still, messages of the leader are under way when it freezes.
    stage.broker.pause().await.unwrap();
    wait::until("much is under way", async || {
        zombie.status().await.is_some_and(|status| status["events"]["in_flight"].as_u64().unwrap() >= 100)
    })
    .await;
    zombie.freeze();
    stage.broker.resume().unwrap();
    standby.until_phase("leading").await;
    let stored = stage.reader.last_sequence().await;
    wait::until("the successor is far ahead", async || stage.reader.last_sequence().await > stored + 500).await;
    zombie.wake();
    zombie.until_phase("standby").await;
    load.stop().await;
    stage.assert_all_arrived().await;
    assert_eq!(standby.terminate().await, 0);
    zombie.until_phase("leading").await;
    assert_eq!(zombie.terminate().await, 0);
}
