//! A broker that comes back as another version of itself.

use walpost::sandbox::servers::{NatsBinary, NatsOptions, Places, PrivateNats};

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
async fn a_broker_that_is_upgraded_and_downgraded_under_load_costs_nothing() {
    // From the oldest to the newest and back; with one version that is a restart.
    let mut versions = NatsBinary::all_installed(&Places::from_environment());
    versions.reverse();
    versions.extend(versions.clone().into_iter().rev());
    let mut versions = versions.into_iter();
    let postgres = own_postgres(&[]).await;
    let mut broker = PrivateNats::start(NatsOptions::default().binary(versions.next().unwrap())).await.unwrap();
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    let witness = Witness::begin(&client, "exchanged").await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    let daemon = settings.lead().await;
    let load = Load::start(&postgres.url(), 2, Chance::seed("exchanged"));
    for version in versions {
        let from = wait::some("the broker answers", async || reader.try_state().await).await.0;
        let flows = async || reader.try_state().await.is_some_and(|(last, _)| last > from + 100);
        wait::until("events flow", flows).await;
        println!("NATS {} becomes {}", broker.version(), version.version);
        broker.restart_as(version).await.unwrap();
        daemon.until_phase("leading").await;
    }
    load.stop().await;
    let seen = witness.all(&client).await;
    let all = async || reader.try_state().await.is_some_and(|(last, _)| last >= seen.len() as u64);
    wait::until("all events are stored", all).await;
    assert_same(&seen, &reader.all().await, &log_of(&client, "walpost").await);
    assert_eq!(daemon.terminate().await, 0);
}
