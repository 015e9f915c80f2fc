//! Primaries that crash one after the other: each is followed, and what survives is delivered once and in order.

use std::collections::BTreeSet;

use walpost::sandbox::servers::{PostgresOptions, PrivatePostgres, STANDBY_SLOT};

use crate::{
    chance::Chance,
    load::Load,
    pair::{Pair, ids, url},
    wait,
    witness::Witness,
    world::{connect, versions},
};

/// How many primaries crash; one less than there are timelines then.
const CRASHES: usize = 3;

/// A primary that is gone, and who saw what it committed.
struct Gone {
    server: PrivatePostgres,
    witness: Witness,
}

#[tokio::test]
async fn three_crashes_under_load_lose_repeat_and_reorder_nothing_that_a_primary_still_has() {
    let mut pair = Pair::begin(versions().remove(0)).await;
    if !pair.syncs_slots() {
        return;
    }
    let mut gone: Vec<Gone> = Vec::new();
    let seed = Chance::seed("crashes");
    let mut chance = Chance::new(seed);
    for crash in 0..CRASHES {
        pair.primary.set_config("synchronized_standby_slots", STANDBY_SLOT).unwrap();
        pair.primary.reload().await.unwrap();
        // Another standby each time, hence another address.
        let daemon = pair.settings.clone().with("POSTGRES_URL", &url(&[&pair.primary, &pair.standby])).lead().await;
        let load = Load::start(&pair.primary.url(), 3, seed + crash as u64);
        pair.until_followed().await;
        let stored = pair.reader.last_sequence().await;
        let more = 100 + chance.below(200);
        wait::until("events flow", async || pair.reader.last_sequence().await > stored + more).await;
        pair.primary.kill().await.unwrap();
        load.stop().await;
        let witness = pair.promote(&daemon).await;
        daemon.until_phase("leading").await;
        let mut standby = PrivatePostgres::start_standby(&pair.standby, PostgresOptions::default()).await.unwrap();
        std::mem::swap(&mut standby, &mut pair.primary);
        std::mem::swap(&mut pair.primary, &mut pair.standby);
        gone.push(Gone { server: standby, witness: std::mem::replace(&mut pair.witness, witness) });
        assert_eq!(daemon.terminate().await, 0);
    }

    let client = connect(&pair.primary.url()).await;
    let rows = client.query("SELECT id::text FROM outbox", &[]).await.unwrap();
    let survivors: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut committed = Vec::new();
    for Gone { server, witness } in &mut gone {
        server.restart().await.unwrap();
        let seen = ids(&witness.all(&connect(&server.url()).await).await);
        committed.extend(seen.into_iter().filter(|id| survivors.contains(id)));
    }
    assert_eq!(committed.len(), survivors.len(), "some were committed by nobody");
    let daemon = pair.settings.clone().with("POSTGRES_URL", &pair.primary.url()).lead().await;
    pair.until_stored(committed.len()).await;
    assert_eq!(pair.stored_ids().await, committed, "{}", daemon.log());
    assert_eq!(daemon.terminate().await, 0);
}
