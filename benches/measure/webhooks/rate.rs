//! How many deliveries a second one worker makes to one endpoint that answers at once, and what that costs.
//!
//! The stream is filled by walpost beforehand, and nobody but the worker is at work. Time is from the start of the worker's
//! process until the receiver has each event; CPU time and memory are those of that process. The run with the median
//! time counts. Beside it the same requests from memory: if the worker comes near to that, the receiver is the bound.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    bare,
    office::{Endpoint, Office},
    receiver::{Manner, Receiver},
};
use crate::{
    arguments::Arguments,
    backlog::described,
    drain::{Backlog, Shape, Status, WORKLOAD},
    results::{cell, table},
    support::wait,
    usage::{Run, Usage},
    world::World,
};

const ORDERINGS: [&str; 2] = ["none", "aggregate"];
/// How long a run may take before this gives up, to say by how much the goal is missed.
const BOUND: Duration = Duration::from_secs(300);

pub(super) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let (events, rounds) = (arguments.number("--deliveries", 12_000), arguments.number("--rounds", 3));
    let backlog = Backlog::make(world, Shape { events, ..WORKLOAD }).await;
    backlog.walpost(Status::Kept).await;
    let (mut senders, mut sample) = (Vec::new(), Vec::new());
    for ordering in ORDERINGS {
        let mut runs = Vec::new();
        for round in 1..=rounds {
            println!("{events} deliveries, ordering {ordering}, round {round} of {rounds}");
            let (run, request) = delivered(world, ordering, round, events).await;
            runs.push(run);
            sample = request;
        }
        senders.push(described(&format!("walpost, ordering {ordering}"), &runs, events));
    }
    let mut runs = Vec::new();
    for _ in 0..rounds {
        let receiver = Receiver::start(Manner::Takes).await;
        runs.push(bare::sent(&receiver, sample.clone(), events).await);
        receiver.requests().assert_each_once(usize::try_from(events).unwrap());
    }
    senders.push(described("the same requests from memory", &runs, events));
    let names = ["program", "events_per_second", "cpu_us_per_event", "peak_mib"];
    let row = |figures: &Value| names.map(|name| cell(&figures[name])).into();
    println!("{}", table(&["sender", "deliveries/s", "CPU us/delivery", "peak MiB"], senders.iter().map(row)));
    json!({ "events": events, "rounds": rounds, "senders": senders })
}

/// Delivers everything in the stream to an endpoint that is new; and one of the requests.
async fn delivered(world: &World, ordering: &str, round: u32, events: u32) -> (Run, Vec<u8>) {
    let receiver = Receiver::start(Manner::Takes).await;
    let more = format!("start = \"all\"\nordering = \"{ordering}\"");
    let endpoint = Endpoint { name: format!("{ordering}-{round}"), port: receiver.port, more };
    let office = Office::open(world, &[endpoint]).await;
    let (begun, wanted) = (Instant::now(), usize::try_from(events).unwrap());
    let mut worker = office.worker();
    wait::within(BOUND, "everything is delivered", async || {
        assert_eq!(worker.exit_code(), None, "the worker ended too early: {}", worker.log());
        receiver.requests().taken.len() >= wanted
    })
    .await;
    let seconds = begun.elapsed().as_secs_f64();
    let Usage { cpu_seconds, peak_kib } = Usage::of(worker.pid_number()).unwrap();
    assert_eq!(worker.terminate().await, 0);
    receiver.requests().assert_each_once(wanted);
    let sample = receiver.requests().sample.clone();
    (Run { seconds, cpu_seconds, peak_kib: Some(peak_kib), servers: None }, sample)
}
