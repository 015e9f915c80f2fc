//! A stream that three servers keep.

use std::time::Duration;

use async_nats::{ConnectOptions, jetstream::stream::Config};
use walpost::sandbox::servers::{NatsCluster, NatsOptions};

use crate::{
    chance::Chance,
    daemon::Settings,
    load::Load,
    stream::Reader,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, own_postgres},
};

#[tokio::test]
async fn servers_of_a_cluster_are_away_under_load_by_turns_and_catch_up() {
    let postgres = own_postgres(&[]).await;
    let mut cluster = NatsCluster::start(NatsOptions::default()).await.unwrap();
    let reader = Reader::enter(ConnectOptions::new(), &cluster.url(), "OUTBOX").await;
    let subjects = ["outbox.>", "outbox_dlq.>"].map(str::to_owned).to_vec();
    let duplicate_window = Duration::from_millis(100);
    reader.create(Config { subjects, num_replicas: 3, duplicate_window, ..Config::default() }).await;
    let settings = Settings::new(&postgres.url(), &cluster.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let witness = Witness::begin(&client, "cluster").await;
    let daemon = settings.lead().await;
    let load = Load::start(&postgres.url(), 3, Chance::seed("cluster"));
    let flows = async |more: u64| {
        let stored = wait::some("the stream has a leader", async || reader.try_state().await).await.0;
        let has_grown = async || reader.try_state().await.is_some_and(|(last, _)| last > stored + more);
        wait::until("events flow", has_grown).await;
    };
    for server in 0..2 {
        flows(200).await;
        cluster.servers_mut()[server].kill().await.unwrap();
        flows(500).await;
        cluster.servers_mut()[server].restart().await.unwrap();
        // It fails here if a server cannot take up what it missed, with more coming all the time.
        cluster.until_whole("OUTBOX").await.unwrap();
    }
    load.stop().await;
    let seen = witness.all(&client).await;
    wait::until("all events are stored", async || reader.last_sequence().await >= seen.len() as u64).await;
    let stored = reader.all().await;
    assert_same(&seen, &stored, &log_of(&client, "walpost").await);
    // A message that names the one before costs a server its copy when it catches up: seldom enough for this test to
    // miss it, so it is looked for.
    let naming = stored.iter().find(|stored| stored.headers.contains_key("Nats-Expected-Last-Msg-Id"));
    assert_eq!(naming, None, "a message in a replicated stream names the one before");
    assert!(!daemon.log().contains("the stream may lose what it holds"), "{}", daemon.log());
    assert_eq!(daemon.terminate().await, 0);
}
