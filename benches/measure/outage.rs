//! The broker is away for minutes while events are committed: memory, the walsender, and how long it takes to catch up.
//!
//! `-- outage --outage-seconds 60`. Afterwards each event must be in the stream once, in order.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    arguments::Arguments,
    backlog::mib,
    order::assert_each_once_in_order,
    producer::Producer,
    results::rounded,
    support::{stream::Reader, wait},
    world::{STREAM, World},
};

/// Events a second.
const RATE: u32 = 1000;
/// Fewer than this behind counts as drained: what is committed within some tenths of a second.
const BEHIND: u64 = 200;
/// How often is looked meanwhile.
const GLANCE: Duration = Duration::from_secs(5);
/// How long draining may take before this gives up, to say by how much the goal is missed.
const BOUND: Duration = Duration::from_secs(600);

pub(crate) async fn measure(world: &mut World, arguments: &Arguments) -> Value {
    let seconds = arguments.number("--outage-seconds", 60);
    let daemon = world.settings.lead().await;
    let producer = Producer::steady(&world.postgres.url(), RATE);
    wait::until("events flow", async || producer.committed() > u64::from(RATE)).await;
    let sender = "SELECT pid FROM pg_stat_replication WHERE application_name LIKE 'walpost%'";
    let before: i32 = world.sql.query_one(sender, &[]).await.unwrap().get(0);
    world.nats.kill().await.unwrap();
    println!("the broker is away for {seconds} s, under {RATE} events a second");
    let (begun, at_begin) = (Instant::now(), producer.committed());
    while begun.elapsed() < Duration::from_secs(seconds.into()) {
        sleep(GLANCE).await;
        let now: Option<i32> = world.sql.query_opt(sender, &[]).await.unwrap().map(|row| row.get(0));
        assert_eq!(now, Some(before), "the walsender was dropped after {:?}", begun.elapsed());
    }
    let behind = producer.committed() - at_begin;
    world.nats.restart().await.unwrap();
    let back = Instant::now();
    let reader = Reader::connect(&world.nats.url(), STREAM).await;
    wait::within(BOUND, "the backlog is drained", async || {
        let committed = producer.committed();
        reader.last_sequence().await + BEHIND >= committed
    })
    .await;
    let drained = rounded(back.elapsed().as_secs_f64(), 1);
    let after: i32 = world.sql.query_one(sender, &[]).await.unwrap().get(0);
    assert_eq!(after, before, "the walsender was dropped");
    let peak_mib = mib(daemon.peak_memory_kib());
    println!(
        "  {behind} events behind; drained {drained} s after the broker was back, still under load; walpost's peak \
         {peak_mib} MiB; the walsender is the same one"
    );
    let events = assert_each_once_in_order(world, producer).await;
    assert_eq!(daemon.terminate().await, 0);
    json!({
        "outage_seconds": seconds, "per_second": RATE, "events": events,
        "events_behind": behind, "drained_seconds": drained, "peak_mib": peak_mib,
    })
}
