//! How long an event takes from its insert to a consumer, while walpost delivers with everything on.
//!
//! `-- latency --rates 500,2500 --seconds 20`; half of the most that flows is added. Each row carries `clock_timestamp()`,
//! and an ordered pull consumer in this process compares it with the clock when the message has come; so the commit with its
//! sync to disk is in it, and stands beside it, as the application saw it. The application keeps its schedule whatever the servers do: who is late catches up. The
//! most that flows: an application that commits as fast as it can, and what reaches the consumer meanwhile.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    arguments::Arguments,
    percentiles::{now_us, percentiles_ms},
    producer::{Commit, Pace, Producer},
    results::{rounded, table},
    support::daemon::Daemon,
    usage::cpu_seconds_of_threads,
    world::World,
};

/// The application: so many of its threads commit.
const SESSIONS: u32 = 16;
/// What is not counted, at the begin of a load.
const WARM_UP: Duration = Duration::from_secs(3);
/// Reached only if an event is lost.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let seconds = arguments.number("--seconds", 20);
    let mut daemon = world.settings.lead().await;
    println!("as fast as the application can, for {seconds} s");
    let most = under_load(world, &daemon, None, seconds).await;
    let half = most.arrived_per_second(seconds) / 2;
    let mut loads = Vec::new();
    for per_second in arguments.numbers("--rates", &[500, 2500]).into_iter().chain([half]) {
        println!("{per_second} events a second, for {seconds} s");
        let load = under_load(world, &daemon, Some(per_second), seconds).await;
        loads.push((per_second, load));
    }
    assert_eq!(daemon.exit_code(), None);
    assert_eq!(daemon.terminate().await, 0);

    let row = |(wanted, load): &(u32, Load)| {
        let mut row = vec![wanted.to_string(), load.arrived_per_second(seconds).to_string()];
        row.extend(percentiles_ms(&load.latencies_us).map(|ms| format!("{ms:.2}")));
        row.extend(load.commits_ms().map(|ms| format!("{ms:.2}")));
        row.push(format!("{:.1}", load.cpu_us_per_event()));
        row
    };
    let header = [
        "events/s",
        "reached",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "p50 of commits",
        "p99 of commits",
        "CPU us/event",
    ];
    println!("{}", table(&header, loads.iter().map(row)));
    println!("the most that flows: {} events/s", half * 2);
    let described = |(wanted, load): &(u32, Load)| {
        let [p50, p95, p99, max] = percentiles_ms(&load.latencies_us);
        let [commit_p50, commit_p99] = load.commits_ms();
        json!({
            "per_second": wanted, "reached_per_second": load.arrived_per_second(seconds),
            "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": max,
            "commit_p50_ms": commit_p50, "commit_p99_ms": commit_p99,
            "cpu_us_per_event": load.cpu_us_per_event(),
        })
    };
    let rates: Vec<Value> = loads.iter().map(described).collect();
    json!({ "seconds": seconds, "sessions": SESSIONS, "most_per_second": half * 2, "rates": rates })
}

/// What came of a load, in the time that counts.
struct Load {
    /// How long each event was under way, sorted.
    latencies_us: Vec<u64>,
    /// How long each transaction took the application, sorted.
    commits_us: Vec<u64>,
    cpu_seconds: f64,
}

/// Runs a load; every event of it must arrive.
async fn under_load(world: &World, daemon: &Daemon, per_second: Option<u32>, seconds: u32) -> Load {
    let config = OrderedConfig { deliver_policy: DeliverPolicy::New, ..OrderedConfig::default() };
    let consumer = Box::pin(world.stream().await.create_consumer(config)).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let pace = Pace { per_second, sessions: SESSIONS, synchronous: true };
    let producer = Producer::start(&world.postgres.url(), pace);

    let counted = Duration::from_secs(seconds.into());
    let (mut arrivals, mut window, mut cpu_seconds) = (Vec::new(), 0..0, 0.0);
    let clock = async {
        sleep(WARM_UP).await;
        let (begin, used) = (now_us(), cpu_seconds_of_threads(daemon.pid_number()));
        sleep(counted).await;
        (begin..now_us(), cpu_seconds_of_threads(daemon.pid_number()) - used, producer.commits().await)
    };
    let mut clock = std::pin::pin!(clock);
    let mut commits = None;
    while commits.as_ref().is_none_or(|commits: &Vec<Commit>| arrivals.len() < commits.len()) {
        tokio::select! {
            biased;
            (at, used, all) = &mut clock, if commits.is_none() => {
                (window, cpu_seconds, commits) = (at, used, Some(all));
            }
            message = timeout(PATIENCE, messages.next()) => {
                let message = message.expect("each event arrives").unwrap().unwrap();
                arrivals.push((now_us(), message.message.payload));
            }
        }
    }
    let inserted = |payload: &[u8]| serde_json::from_slice::<Value>(payload).unwrap()["us"].as_u64().unwrap();
    let counts = arrivals.into_iter().filter(|(arrived, _)| window.contains(arrived));
    let mut latencies_us: Vec<u64> = counts.map(|(arrived, body)| arrived.saturating_sub(inserted(&body))).collect();
    latencies_us.sort_unstable();
    let commits = commits.into_iter().flatten().filter(|commit| window.contains(&commit.at_us));
    let mut commits_us: Vec<u64> = commits.map(|commit| commit.took_us).collect();
    commits_us.sort_unstable();
    Load { latencies_us, commits_us, cpu_seconds }
}

impl Load {
    fn arrived_per_second(&self, seconds: u32) -> u32 {
        u32::try_from(self.latencies_us.len()).unwrap() / seconds
    }

    /// p50 and p99 of the transactions alone.
    fn commits_ms(&self) -> [f64; 2] {
        let [p50, _, p99, _] = percentiles_ms(&self.commits_us);
        [p50, p99]
    }

    fn cpu_us_per_event(&self) -> f64 {
        rounded(self.cpu_seconds * 1e6 / f64::from(u32::try_from(self.latencies_us.len()).unwrap()), 1)
    }
}
