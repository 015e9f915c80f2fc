//! Whether walpost gets slower when there is more of something: events, bytes, rows in a transaction, keys; and whether
//! it takes longer to start when there is much to do or much done.
//!
//! `-- growth --sizes 50000,500000,5000000 --growth-events 100000 --rounds 3`. Each row is a backlog that is drained with everything
//! on; the run with the median time counts. Beside the number of events stands the bare relay: what both lose there, the servers
//! lose. The start is the time from the start of the process until it leads.

use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    backlog::{described, watched},
    drain::{Backlog, Shape, Status, WORKLOAD},
    results::{cell, rounded, table},
    usage::Run,
    world::{World, start_up},
};

/// Payloads, in bytes: to the largest that is less than a tenth of what a broker takes by default.
const PAYLOAD_BYTES: [u32; 5] = [200, 1024, 4096, 16_384, 65_536];
/// How many bytes of payload a backlog has at the most, so that it fits on the disk of a small machine.
const MOST_BYTES: u32 = 500_000_000;
const ROWS_PER_TRANSACTION: [u32; 6] = [1, 10, 100, 1000, 10_000, 100_000];
const KEYS: [u32; 4] = [1, 100, 10_000, 100_000];
/// With a subject for each key, which is the harder case for the broker.
const SUBJECT_OF_KEY: &str = "outbox.{aggregate_type}.{aggregate_id}";
/// A backlog of more events is drained once: that takes minutes, in which what disturbs a run evens out.
const MANY: u32 = 1_000_000;
/// How many starts a median is taken of.
const STARTS: usize = 5;

pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let (events, rounds) = (arguments.number("--growth-events", 100_000), arguments.number("--rounds", 3));
    let base = Shape { events, ..WORKLOAD };
    let mut figures = json!({ "events": events, "rounds": rounds });
    let (mut sizes, mut starts) = (Vec::new(), Vec::new());
    for events in arguments.numbers("--sizes", &[50_000, 500_000]) {
        let backlog = Backlog::make(world, Shape { events, ..WORKLOAD }).await;
        starts.push(start_ups(&backlog, events).await);
        let rounds = if events > MANY { 1 } else { rounds };
        let mut bare = Vec::new();
        for _ in 0..rounds {
            bare.push(backlog.probe().await);
        }
        let mut size = drained(backlog, ("events", events, events), rounds).await;
        size["bare_relay_events_per_second"] = (f64::from(events) / Run::median(&bare).seconds).round().into();
        sizes.push(size);
    }
    show(&sizes);
    show_starts(&starts);
    (figures["sizes"], figures["starts"]) = (sizes.into(), starts.into());
    let (mut payloads, mut transactions, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for bytes in PAYLOAD_BYTES {
        let events = events.min(MOST_BYTES / bytes);
        let backlog = Backlog::make(world, Shape { events, payload_bytes: Some(bytes), ..base }).await;
        payloads.push(drained(backlog, ("payload_bytes", bytes, events), rounds).await);
    }
    show(&payloads);
    for rows in ROWS_PER_TRANSACTION {
        let backlog = Backlog::make(world, Shape { per_transaction: rows, ..base }).await;
        transactions.push(drained(backlog, ("rows_per_transaction", rows, events), rounds).await);
    }
    show(&transactions);
    for number in KEYS {
        let backlog = Backlog::make(world, Shape { keys: number, ..base }).await.with("NATS_SUBJECT", SUBJECT_OF_KEY);
        keys.push(drained(backlog, ("keys", number, events), rounds).await);
    }
    show(&keys);
    (figures["payloads"], figures["transactions"], figures["keys"]) =
        (payloads.into(), transactions.into(), keys.into());
    figures
}

/// Drains a backlog of so many events; the figures go under what it has so much of.
async fn drained(backlog: Backlog<'_>, (of, much, events): (&str, u32, u32), rounds: u32) -> Value {
    let mut runs: Vec<Run> = Vec::new();
    for _ in 0..rounds {
        runs.push(watched(backlog.world, backlog.walpost(Status::Kept)).await);
    }
    let mut figures = described("walpost", &runs, events);
    figures["of"] = of.into();
    figures["much"] = much.into();
    println!("{of} {much}: {} events/s", cell(&figures["events_per_second"]));
    figures
}

/// How long it takes to start with an empty stream and this backlog, and with a stream of as many events and none.
async fn start_ups(backlog: &Backlog<'_>, events: u32) -> Value {
    let (mut behind, mut drained) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (slot, settings) = backlog.copy_for_walpost(Status::Kept).await;
        let (seconds, daemon) = start_up(&settings).await;
        behind.push(seconds);
        backlog.end_walpost(daemon, &slot).await;
    }
    let (slot, settings) = backlog.copy_for_walpost(Status::Kept).await;
    let mut daemon = settings.lead().await;
    backlog.world.until_stored(&mut daemon, events.into()).await;
    for _ in 0..STARTS {
        assert_eq!(daemon.terminate().await, 0);
        let (seconds, next) = start_up(&settings).await;
        daemon = next;
        drained.push(seconds);
    }
    backlog.end_walpost(daemon, &slot).await;
    json!({ "events": events, "backlog_ms": median_ms(behind), "stream_ms": median_ms(drained) })
}

fn median_ms(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    rounded(seconds[seconds.len() / 2] * 1000.0, 1)
}

fn show(figures: &[Value]) {
    let row = |figures: &Value| {
        ["much", "events_per_second", "cpu_us_per_event", "peak_mib"].map(|name| cell(&figures[name])).into()
    };
    let header = [figures[0]["of"].as_str().unwrap(), "events/s", "CPU us/event", "peak MiB"];
    println!("{}", table(&header, figures.iter().map(row)));
}

fn show_starts(starts: &[Value]) {
    let row = |start: &Value| ["events", "backlog_ms", "stream_ms"].map(|name| cell(&start[name])).into();
    let header = ["events", "start with them as backlog, ms", "start with them in the stream, ms"];
    println!("{}", table(&header, starts.iter().map(row)));
}
