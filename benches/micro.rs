//! How long each pure part of the way of an event takes, and how often it allocates; no server, no socket.
//!
//! `make bench-micro`, or `cargo bench --bench micro -- message` for one part. Figures are of a batch of 1,000 events, so
//! microseconds of a batch are nanoseconds of an event.
#![allow(clippy::panic, reason = "a benchmark that cannot run should say so at once")]

mod hot_path;

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use hot_path::{EVENTS, Part};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = Part::ALL)]
fn events(bencher: Bencher<'_, '_>, part: Part) {
    let batch = part.prepare();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(batch);
}
