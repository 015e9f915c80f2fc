//! The broker is away for minutes while events are committed.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    World,
    producer::Producer,
    support::{stream::Reader, wait},
};

/// Events a second.
const RATE: u32 = 1000;
/// Fewer than this behind counts as drained: what is committed within some tenths of a second.
const BEHIND: u64 = 200;
/// How often is looked meanwhile.
const GLANCE: Duration = Duration::from_secs(5);
/// How long draining may take before this gives up, to say by how much the goal is missed.
const BOUND: Duration = Duration::from_secs(600);

/// Takes the broker away for so long, and prints what that costs.
pub(crate) async fn measure(seconds: u32) {
    let mut world = World::begin().await;
    let daemon = world.settings.lead().await;
    let producer = Producer::start(&world.postgres.url(), RATE).await;
    wait::until("events flow", async || producer.committed() > u64::from(RATE)).await;
    let sql = world.postgres.connect().await.unwrap();
    let sender = "SELECT pid FROM pg_stat_replication WHERE application_name LIKE 'walpost%'";
    let before: i32 = sql.query_one(sender, &[]).await.unwrap().get(0);
    world.nats.kill().await.unwrap();
    println!("the broker is away for {seconds} s, under {RATE} events a second");
    let (begun, at_begin) = (Instant::now(), producer.committed());
    while begun.elapsed() < Duration::from_secs(seconds.into()) {
        sleep(GLANCE).await;
        let now: Option<i32> = sql.query_opt(sender, &[]).await.unwrap().map(|row| row.get(0));
        assert_eq!(now, Some(before), "the walsender was dropped after {:?}", begun.elapsed());
    }
    let backlog = producer.committed() - at_begin;
    world.nats.restart().await.unwrap();
    let back = Instant::now();
    let reader = Reader::connect(&world.nats.url(), "OUTBOX").await;
    wait::within(BOUND, "the backlog is drained", async || {
        let committed = producer.committed();
        reader.last_sequence().await + BEHIND >= committed
    })
    .await;
    let drained = back.elapsed();
    let after: i32 = sql.query_one(sender, &[]).await.unwrap().get(0);
    assert_eq!(after, before, "the walsender was dropped");
    println!(
        "  {backlog} events behind; drained {:.1} s after the broker was back, still under load; walpost's peak {:.1} MiB; \
         the walsender is the same one",
        drained.as_secs_f64(),
        f64::from(u32::try_from(daemon.peak_memory_kib()).unwrap()) / 1024.0,
    );
    world.assert_each_once_in_order(producer).await;
    assert_eq!(daemon.terminate().await, 0);
}
