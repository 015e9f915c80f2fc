//! For how long events stand still when the leader changes under load: in good order, and by SIGKILL.
//!
//! `-- takeover --takeovers 100`. A subscriber notes when each message passes the broker. The time of a change is the longest
//! silence around it: what a consumer feels, with the steady rate's own pause in it. Afterwards each event must be in the
//! stream once, in order.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    arguments::Arguments,
    arrivals::Arrivals,
    order::assert_each_once_in_order,
    producer::Producer,
    results::table,
    support::{
        daemon::{Daemon, Settings, free_address},
        wait,
    },
    world::World,
};

/// Events a second.
const RATE: u32 = 400;
/// Messages that must have come from the new leader before a round counts as over.
const ENOUGH: usize = 50;
/// Upper bounds of the histogram, in milliseconds.
const BUCKETS_MS: [u128; 9] = [50, 100, 150, 200, 300, 500, 1000, 2000, u128::MAX];

#[derive(Clone, Copy)]
enum End {
    HandOver,
    Kill,
}

/// Changes the leader this many times in each way.
pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let rounds = arguments.number("--takeovers", 100);
    let arrivals = Arrivals::listen(&world.nats.url()).await;
    let mut leader = other(world).start();
    leader.until_ready().await;
    let producer = Producer::steady(&world.postgres.url(), RATE);
    let (mut figures, mut rows) = (Vec::new(), Vec::new());
    for (name, end) in [("hand-over (SIGTERM)", End::HandOver), ("takeover (SIGKILL)", End::Kill)] {
        let (mut times, mut sent_again) = (Vec::new(), 0);
        for round in 1..=rounds {
            let change = change(world, &arrivals, leader, end).await;
            leader = change.leader;
            times.push(change.silence);
            sent_again += skipped(&leader).await;
            if round % 20 == 0 {
                println!("{name}: {round} of {rounds}");
            }
        }
        times.sort();
        println!("{name}: {}", histogram(&times));
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1].as_millis();
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(at);
        let mut row = vec![name.to_owned(), rounds.to_string()];
        row.extend([p50, p90, p99, max].map(|ms| ms.to_string()));
        row.push(sent_again.to_string());
        rows.push(row);
        figures.push(json!({
            "change": name, "runs": rounds, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": max,
            "sent_again": sent_again,
        }));
    }
    let header = ["change of leader", "runs", "p50 ms", "p90 ms", "p99 ms", "max ms", "sent again"];
    println!("{}\n", table(&header, rows));
    assert_each_once_in_order(world, producer).await;
    assert_eq!(leader.terminate().await, 0);
    json!({ "per_second": RATE, "changes": figures })
}

/// The settings of one more instance.
fn other(world: &World) -> Settings {
    world.settings.clone().with("ADMIN_LISTEN", &free_address().to_string())
}

/// A leader that came after another, and how long events stood still.
struct Change {
    leader: Daemon,
    silence: Duration,
}

async fn change(world: &World, arrivals: &Arrivals, mut leader: Daemon, end: End) -> Change {
    let standby = other(world).start();
    standby.until_phase("standby").await;
    flow(arrivals).await;
    let begun = Instant::now();
    let ended = match end {
        End::HandOver => tokio::spawn(async move { assert_eq!(leader.terminate().await, 0) }),
        End::Kill => tokio::spawn(async move { leader.kill().await }),
    };
    standby.until_phase("leading").await;
    flow(arrivals).await;
    ended.await.unwrap();
    Change { silence: arrivals.longest_silence(begun), leader: standby }
}

/// Waits for some more messages.
async fn flow(arrivals: &Arrivals) {
    let before = arrivals.count();
    wait::until("events flow", async || arrivals.count() >= before + ENOUGH).await;
}

/// Rows that the slot sent again to this one.
async fn skipped(daemon: &Daemon) -> u64 {
    daemon.status().await.unwrap()["rows"]["skipped"].as_u64().unwrap()
}

fn histogram(times: &[Duration]) -> String {
    let mut lower = 0;
    let mut parts = Vec::new();
    for upper in BUCKETS_MS {
        let count = times.iter().filter(|time| (lower..upper).contains(&time.as_millis())).count();
        if count > 0 {
            let bound = if upper == u128::MAX { format!("from {lower} ms") } else { format!("below {upper} ms") };
            parts.push(format!("{bound}: {count}"));
        }
        lower = upper;
    }
    parts.join(", ")
}
