//! What walpost costs and how fast it is, on private servers, each figure beside what it is to be compared with.
//!
//! `make bench` measures everything that a goal is set for and takes a quarter of an hour; `cargo bench --bench measure --
//! latency --seconds 5` measures one part. Figures go to the terminal and, one part beside the other, into a file from
//! which `make bench-report` makes `docs/benchmarks/`. Each part has its doc on what exactly is measured.
#![allow(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run should say so at once"
)]

mod arguments;
mod arrivals;
mod backlog;
mod drain;
mod growth;
mod idle;
mod ingest;
mod latency;
mod machine;
mod memory;
mod order;
mod outage;
mod percentiles;
mod producer;
mod results;
#[path = "../../tests/support"]
#[allow(dead_code, reason = "the parts that tests need too")]
mod support {
    pub(crate) mod daemon;
    pub(crate) mod stream;
    pub(crate) mod wait;
}
mod takeover;
mod usage;
mod webhooks;
mod world;

use std::path::Path;

use arguments::Arguments;
use drain::probe;
use world::World;

/// What is measured if nothing is named.
const PARTS: [&str; 7] = ["backlog", "latency", "growth", "memory", "outage", "idle", "webhooks"];
/// What is measured only if it is named.
const MORE_PARTS: [&str; 2] = ["takeover", "ingest"];

fn main() {
    let arguments = Arguments::given();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if arguments.names(probe::NAME) {
        return runtime.block_on(probe::relay(&arguments));
    }
    let out = Path::new(arguments.text("--out", "target/bench/results.json")).to_owned();
    let named = |part: &&str| arguments.names(part);
    let is_whole = !PARTS.iter().chain(&MORE_PARTS).any(named);
    for part in PARTS.into_iter().chain(MORE_PARTS).filter(|part| named(part) || is_whole && PARTS.contains(part)) {
        println!("== {part}");
        let figures = runtime.block_on(measure(part, &arguments));
        results::keep(&out, part, figures);
    }
    println!("figures are in {}", out.display());
}

/// Measures one part, on servers of its own.
async fn measure(part: &str, arguments: &Arguments) -> serde_json::Value {
    let mut world = World::begin().await;
    let machine = machine::describe(&world);
    let mut figures = match part {
        "backlog" => backlog::measure(&world, arguments).await,
        "latency" => latency::measure(&world, arguments).await,
        "growth" => growth::measure(&world, arguments).await,
        "memory" => memory::measure(&world, arguments).await,
        "outage" => outage::measure(&mut world, arguments).await,
        "idle" => idle::measure(&world, arguments).await,
        "webhooks" => webhooks::measure(&world, arguments).await,
        "ingest" => ingest::measure(&world, arguments).await,
        _ => takeover::measure(&world, arguments).await,
    };
    figures["machine"] = machine;
    figures
}
