//! Servers that take no writes at the moment: walpost waits, and says why.

use crate::{
    pair::{Pair, ids, url},
    world::{connect, versions},
};

#[tokio::test]
async fn a_primary_that_becomes_read_only_is_waited_for() {
    for binaries in versions() {
        let (mut pair, daemon) = Pair::delivering(binaries, 1).await;
        pair.primary.set_config("default_transaction_read_only", "on").unwrap();
        pair.primary.restart().await.unwrap();
        daemon.until_blocked("its sessions are read-only").await;
        let ready = daemon.get("/ready").await.unwrap().body;
        for (server, reason) in [(&pair.primary, "its sessions are read-only"), (&pair.standby, "it is a standby")] {
            let told = format!("127.0.0.1:{}: the server is not what the URL asks for: {reason}", server.port());
            assert!(ready.contains(&told), "{ready}");
        }
        assert!(ready.contains("WP0105") && ready.contains("try: walpost needs the primary"), "{ready}");
        pair.primary.set_config("default_transaction_read_only", "off").unwrap();
        pair.primary.reload().await.unwrap();
        daemon.until_phase("leading").await;
        Pair::record(&pair.primary, 1).await;
        pair.until_stored(2).await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_standby_alone_is_waited_for_until_it_is_promoted_over_restarts_of_it() {
    for binaries in versions() {
        let (mut pair, daemon) = Pair::delivering(binaries, 3).await;
        pair.until_followed().await;
        pair.stop_primary().await;
        daemon.until_blocked("it is a standby").await;
        pair.standby.restart().await.unwrap();
        daemon.until_blocked("it is a standby").await;
        pair.promote(&daemon).await;
        daemon.until_phase("leading").await;
        Pair::record(&pair.standby, 3).await;
        pair.until_stored(6).await;
        assert_eq!(daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_primary_that_freezes_is_left_and_what_it_commits_when_it_wakes_is_not_published() {
    for binaries in versions() {
        let mut pair = Pair::begin(binaries).await;
        let url = url(&[&pair.primary, &pair.standby]) + "?connect_timeout=2";
        let daemon = pair.settings.clone().with("POSTGRES_URL", &url).lead().await;
        Pair::record(&pair.primary, 3).await;
        pair.until_stored(3).await;
        pair.until_followed().await;
        let before = pair.committed_before().await;
        pair.primary.pause().await.unwrap();
        let witness = pair.promote(&daemon).await;
        Pair::record(&pair.standby, 3).await;
        pair.until_stored(6).await;
        pair.primary.resume().unwrap();
        Pair::record(&pair.primary, 3).await;
        Pair::record(&pair.standby, 3).await;
        let after = witness.all(&connect(&pair.standby.url()).await).await;
        let committed = [ids(&before), ids(&after)].concat();
        pair.until_stored(committed.len()).await;
        assert_eq!(pair.stored_ids().await, committed, "{}", daemon.log());
        assert_eq!(daemon.terminate().await, 0);
        pair.stop_primary().await;
    }
}
