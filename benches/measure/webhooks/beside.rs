//! Whether endpoints that are sick touch those that are well, or the slot, while events come at a steady rate.
//!
//! `-- webhooks --webhook-rate 200 --webhook-seconds 9`. The same load three times: with four endpoints that are well; with
//! three more in the same worker that are well, too, because three more requests for each event cost what they cost; and with
//! three in their place of which one refuses connections, one answers after seconds, and one takes events only every other
//! second. The latency of a delivery is the time from its message's storage in the stream to its arrival; from
//! its insert, with the commit's sync to disk and the relay in it, is told beside. Each event that was stored meanwhile
//! counts, whenever it arrives. The slot's lag is the log that Postgres has written and walpost has not confirmed.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep, timeout};
use uuid::Uuid;

use super::{
    office::{Endpoint, Office},
    receiver::{Manner, Receiver},
};
use crate::{
    arguments::Arguments,
    backlog::mib,
    percentiles::{now_us, percentiles_ms},
    producer::{Pace, Producer},
    results::{rounded, table},
    support::wait,
    usage::cpu_seconds_of_threads,
    world::World,
};

/// How many endpoints are looked at, which are well.
const WELL: usize = 4;
/// How long the slow one takes to answer.
const SLOW: Duration = Duration::from_secs(2);
/// For how long the flapping one takes everything, and then nothing.
const FLAP: Duration = Duration::from_secs(1);
/// Behind the first failure the default waits for five seconds, too, and then for minutes. So the sick ones are at work for as
/// long as this lasts.
const RETRIES: &str = "\"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\"";
/// A port on which nobody listens.
const NOBODY: u16 = 1;
/// Sessions of the application.
const SESSIONS: u32 = 4;
/// What is not counted, at the begin of a load: what failed first is tried again by then.
const WARM_UP: Duration = Duration::from_secs(5);
/// How often the slot is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// Reached only if an event is lost.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let load =
        Load { per_second: arguments.number("--webhook-rate", 200), seconds: arguments.number("--webhook-seconds", 9) };
    let mut relay = world.settings.lead().await;
    let mut runs = Vec::new();
    for company in [Company::Nobody, Company::Well, Company::Sick] {
        let Load { per_second, seconds } = load;
        println!("{per_second} events a second to {WELL} endpoints, beside them {}, for {seconds} s", company.name());
        runs.push((company, run(world, company, load).await));
    }
    assert_eq!(relay.exit_code(), None);
    assert_eq!(relay.terminate().await, 0);
    let in_use = "SELECT count(*) FROM pg_replication_slots WHERE active";
    wait::until("the slot is left", async || world.sql.query_one(in_use, &[]).await.unwrap().get::<_, i64>(0) == 0)
        .await;

    let row = |(company, run): &(Company, Run)| {
        let mut row = vec![company.name().to_owned()];
        row.extend(percentiles_ms(&run.from_storage_us).map(|ms| format!("{ms:.2}")));
        row.extend(percentiles_ms(&run.from_insert_us)[1..3].iter().map(|ms| format!("{ms:.2}")));
        row.extend([format!("{:.1}", run.most_lag_kib), format!("{:.1}", run.cpu_percent), run.peak_mib.to_string()]);
        row
    };
    let header = [
        "beside them",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "p95 of insert",
        "p99 of insert",
        "slot's lag at the most, KiB",
        "CPU % of a core",
        "peak MiB",
    ];
    println!("{}", table(&header, runs.iter().map(row)));
    let runs: Vec<Value> = runs.iter().map(|(company, run)| run.described(*company)).collect();
    json!({ "per_second": load.per_second, "seconds": load.seconds, "well": WELL, "runs": runs })
}

/// How many events come, and for how long they are counted.
#[derive(Clone, Copy)]
struct Load {
    per_second: u32,
    seconds: u32,
}

/// Whom the worker serves besides.
#[derive(Clone, Copy, PartialEq)]
enum Company {
    Nobody,
    Well,
    Sick,
}

impl Company {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Well => "three more that are well",
            Self::Sick => "one down, one slow, one flapping",
        }
    }

    /// What names end with, so that no run takes up what another one has left.
    fn suffix(self) -> &'static str {
        match self {
            Self::Nobody => "alone",
            Self::Well => "among-the-well",
            Self::Sick => "among-the-sick",
        }
    }
}

/// What came of one load.
struct Run {
    /// Of the endpoints that are well, each delivery of each event that counts, sorted.
    from_storage_us: Vec<u64>,
    from_insert_us: Vec<u64>,
    most_lag_kib: f64,
    cpu_percent: f64,
    peak_mib: f64,
}

async fn run(world: &World, company: Company, load: Load) -> Run {
    let well: Vec<Receiver> = join_all((0..WELL).map(|_| Receiver::start(Manner::Takes))).await;
    let more = join_all([(); 3].map(|()| Receiver::start(Manner::Takes))).await;
    let slow = Receiver::start(Manner::TakesAfter(SLOW)).await;
    let flapping = Receiver::start(Manner::Flaps(FLAP)).await;
    let suffix = company.suffix();
    let mut served: Vec<(String, u16)> =
        (1..).zip(&well).map(|(number, one)| (format!("well-{number}-{suffix}"), one.port)).collect();
    let others = match company {
        Company::Nobody => Vec::new(),
        Company::Well => (1..).zip(&more).map(|(number, one)| (format!("more-{number}"), one.port)).collect(),
        Company::Sick => [("down", NOBODY), ("slow", slow.port), ("flapping", flapping.port)]
            .map(|(name, port)| (name.to_owned(), port))
            .to_vec(),
    };
    served.extend(others);
    let more = |ordering| format!("ordering = \"{ordering}\"\nretries = [{RETRIES}]");
    let orderings = ["none", "aggregate"].into_iter().cycle();
    let endpoint = |((name, port), ordering)| Endpoint { name, port, more: more(ordering) };
    let office = Office::open(world, &served.into_iter().zip(orderings).map(endpoint).collect::<Vec<_>>()).await;
    let worker = office.worker();
    office.until_begun().await;

    let before = world.stream().await.cached_info().state.last_sequence;
    let pace = Pace { per_second: Some(load.per_second), sessions: SESSIONS, synchronous: true };
    let producer = Producer::start(&world.postgres.url(), pace);
    sleep(WARM_UP).await;
    let (begin_us, begun, used) = (now_us(), Instant::now(), cpu_seconds_of_threads(worker.pid_number()));
    let most_lag = most_lag_within(world, Duration::from_secs(load.seconds.into())).await;
    let (end_us, elapsed) = (now_us(), begun.elapsed().as_secs_f64());
    let cpu_percent = (cpu_seconds_of_threads(worker.pid_number()) - used) / elapsed * 100.0;
    if company == Company::Sick {
        assert_sick(&office, &slow, &flapping).await;
    }
    let committed = usize::try_from(producer.stop().await).unwrap();
    wait::until("those that are well have everything", async || {
        well.iter().all(|one| one.requests().taken.len() >= committed)
    })
    .await;
    let peak_mib = mib(worker.peak_memory_kib());
    assert_eq!(worker.terminate().await, 0);

    let moments = moments(world, before, committed).await;
    let (mut from_storage_us, mut from_insert_us) = (Vec::new(), Vec::new());
    for one in &well {
        let requests = one.requests();
        requests.assert_each_once(committed);
        for (id, came_us) in &requests.taken {
            let Moments { inserted_us, stored_us } = moments[id];
            if (begin_us..end_us).contains(&stored_us) {
                from_storage_us.push(came_us.saturating_sub(stored_us));
                from_insert_us.push(came_us.saturating_sub(inserted_us));
            }
        }
    }
    from_storage_us.sort_unstable();
    from_insert_us.sort_unstable();
    let most_lag_kib = rounded(most_lag / 1024.0, 1);
    Run { from_storage_us, from_insert_us, most_lag_kib, cpu_percent: rounded(cpu_percent, 1), peak_mib }
}

/// The largest lag of the slot within this time, in bytes.
async fn most_lag_within(world: &World, time: Duration) -> f64 {
    let lag = "SELECT (pg_current_wal_flush_lsn() - confirmed_flush_lsn)::float8 FROM pg_replication_slots";
    let (begun, mut glances, mut most) = (Instant::now(), interval(GLANCE), 0f64);
    while begun.elapsed() < time {
        glances.tick().await;
        most = most.max(world.sql.query_one(lag, &[]).await.unwrap().get(0));
    }
    most
}

/// The sick ones must have been sick: else the figures mean nothing.
async fn assert_sick(office: &Office, slow: &Receiver, flapping: &Receiver) {
    let states = office.states().await;
    let (_, down) = states.iter().find(|(name, _)| name == "down").unwrap();
    assert!(down.starts_with("failing since "), "{down}");
    let (slow, flapping) = (slow.requests(), flapping.requests());
    assert!(!slow.taken.is_empty(), "nothing was sent to the slow one");
    assert!(!flapping.taken.is_empty() && flapping.refused > 0, "the flapping one did not flap");
}

/// When an event was inserted and when its message was stored, in microseconds since 1970.
#[derive(Clone, Copy)]
struct Moments {
    inserted_us: u64,
    stored_us: u64,
}

/// The moments of each event behind this sequence, by its id.
async fn moments(world: &World, before: u64, events: usize) -> HashMap<Uuid, Moments> {
    let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: before + 1 };
    let config = OrderedConfig { deliver_policy, ..OrderedConfig::default() };
    let consumer = Box::pin(world.stream().await.create_consumer(config)).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut moments = HashMap::new();
    for _ in 0..events {
        let message = timeout(PATIENCE, messages.next()).await.expect("each event is stored").unwrap().unwrap();
        let id = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str().parse().unwrap();
        let stored_us = u64::try_from(message.info().unwrap().published.unix_timestamp_nanos() / 1000).unwrap();
        let inserted_us = serde_json::from_slice::<Value>(&message.payload).unwrap()["us"].as_u64().unwrap();
        moments.insert(id, Moments { inserted_us, stored_us });
    }
    moments
}

impl Run {
    fn described(&self, company: Company) -> Value {
        let [p50, p95, p99, max] = percentiles_ms(&self.from_storage_us);
        let [insert_p50, insert_p95, insert_p99, insert_max] = percentiles_ms(&self.from_insert_us);
        json!({
            "beside": company.name(),
            "deliveries": self.from_storage_us.len(),
            "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": max,
            "insert_p50_ms": insert_p50, "insert_p95_ms": insert_p95,
            "insert_p99_ms": insert_p99, "insert_max_ms": insert_max,
            "most_lag_kib": self.most_lag_kib,
            "cpu_percent": self.cpu_percent,
            "peak_mib": self.peak_mib,
        })
    }
}
