//! A broker that comes back as another version of itself.

use walpost::sandbox::servers::{NatsBinary, NatsOptions, Places, PrivateNats};

use crate::{chance::Chance, load::Load, stage::Stage, wait, world::own_postgres};

#[tokio::test]
async fn a_broker_that_is_upgraded_and_downgraded_under_load_costs_nothing() {
    // From the oldest to the newest and back; with one version that is a restart.
    let mut versions = NatsBinary::all_installed(&Places::from_environment());
    versions.reverse();
    versions.extend(versions.clone().into_iter().rev());
    let mut versions = versions.into_iter();
    let broker = PrivateNats::start(NatsOptions::default().binary(versions.next().unwrap())).await.unwrap();
    let mut stage = Stage::between(own_postgres(&[]).await, broker, |settings| settings).await;
    let daemon = stage.settings.lead().await;
    let load = Load::start(&stage.postgres.url(), 2, Chance::seed("exchanged"));
    for version in versions {
        let from = wait::some("the broker answers", async || stage.reader.try_state().await).await.0;
        let flows = async || stage.reader.try_state().await.is_some_and(|(last, _)| last > from + 100);
        wait::until("events flow", flows).await;
        println!("NATS {} becomes {}", stage.broker.version(), version.version);
        stage.broker.restart_as(version).await.unwrap();
        daemon.until_phase("leading").await;
    }
    load.stop().await;
    stage.assert_all_arrived().await;
    assert_eq!(daemon.terminate().await, 0);
}
