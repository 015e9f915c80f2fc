//! Changes of leader under load: in good order, and by SIGKILL.

use std::time::{Duration, Instant};

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};

use crate::{
    World,
    arrivals::Arrivals,
    producer::Producer,
    support::{
        daemon::{Daemon, free_address},
        wait,
    },
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

/// Changes the leader this many times in each way, and prints how long events stood still.
pub(crate) async fn measure(rounds: u32) {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "change of leader",
        "runs",
        "p50",
        "p90",
        "p99",
        "max",
        "sent again",
    ]);
    for (name, end) in [("hand-over (SIGTERM)", End::HandOver), ("takeover (SIGKILL)", End::Kill)] {
        let (mut times, sent_again) = changes(rounds, name, end).await;
        times.sort();
        let at = |percent: usize| format!("{} ms", times[(times.len() * percent).div_ceil(100) - 1].as_millis());
        let runs = times.len().to_string();
        table.add_row([name.to_owned(), runs, at(50), at(90), at(99), at(100), sent_again.to_string()]);
        println!("{name}: {}", histogram(&times));
    }
    println!("{table}\n");
}

async fn changes(rounds: u32, name: &str, end: End) -> (Vec<Duration>, u64) {
    let world = World::begin().await;
    let arrivals = Arrivals::listen(&world.nats.url()).await;
    let start = || world.settings.clone().with("ADMIN_LISTEN", &free_address().to_string()).start();
    let mut leader = start();
    leader.until_ready().await;
    let producer = Producer::start(&world.postgres.url(), RATE).await;
    let (mut times, mut sent_again) = (Vec::new(), 0);
    for round in 1..=rounds {
        let standby = start();
        standby.until_phase("standby").await;
        flow(&arrivals).await;
        let begun = Instant::now();
        let ended = match end {
            End::HandOver => tokio::spawn(async move { assert_eq!(leader.terminate().await, 0) }),
            End::Kill => tokio::spawn(async move { leader.kill().await }),
        };
        standby.until_phase("leading").await;
        flow(&arrivals).await;
        ended.await.unwrap();
        times.push(arrivals.longest_silence(begun));
        sent_again += skipped(&standby).await;
        leader = standby;
        if round % 20 == 0 {
            println!("{name}: {round} of {rounds}");
        }
    }
    world.assert_each_once_in_order(producer).await;
    assert_eq!(leader.terminate().await, 0);
    (times, sent_again)
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
