//! How many instructions and allocations each pure part of the way of an event costs, held against the figures in
//! `figures.toml`.
//!
//! `make instructions`; `make instructions REFRESH=1` writes the figures anew. The program runs itself in Callgrind, which counts
//! every instruction: unlike time, that is the same in every run and on a busy machine. Fails if a part got dearer.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports to the terminal")]
#![allow(clippy::panic, reason = "a benchmark that cannot run should say so at once")]

mod callgrind;
mod figures;
#[path = "../hot_path/mod.rs"]
mod hot_path;
mod profile;

use std::{collections::BTreeMap, env, fs, path::Path, process::ExitCode};

use callgrind::NoCallgrind;
use figures::{Conditions, Cost, Figures};
use hot_path::{Batch, EVENTS, Part};
use profile::Count;

/// How often a part works off its batch while it is counted, and before that: the first times make room that later ones find.
const COUNTED_BATCHES: u32 = 4;
const WARM_UP_BATCHES: u32 = 2;

fn main() -> ExitCode {
    let has = |name: &str| env::args().any(|argument| argument == name);
    if has(callgrind::INSIDE) {
        run_all();
        return ExitCode::SUCCESS;
    }
    match guard(has("--refresh")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(NoCallgrind::Missing(why)) => {
            eprintln!("instructions: NOT COUNTED: {why}");
            eprintln!(
                "instructions: whether the pure parts got dearer is NOT KNOWN; `make tools-valgrind` says why it is not here"
            );
            ExitCode::SUCCESS
        }
        Err(NoCallgrind::Failed(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What is counted, inside Callgrind.
fn run_all() {
    for part in Part::ALL {
        let mut batch = part.prepare();
        (0..WARM_UP_BATCHES).for_each(|_| batch());
        a_counted_part(&mut batch);
    }
}

/// Callgrind knows this function by its name (`callgrind::COUNTED`), and counts what it does.
#[inline(never)]
fn a_counted_part(batch: &mut Batch) {
    (0..COUNTED_BATCHES).for_each(|_| batch());
}

/// Counts, and compares or writes down; whether all is well.
fn guard(refresh: bool) -> Result<bool, NoCallgrind> {
    let conditions = Conditions::here()?;
    let counts = callgrind::count(Part::ALL.len())?;
    let events = f64::from(COUNTED_BATCHES * EVENTS);
    let parts: BTreeMap<String, Cost> =
        Part::ALL.iter().zip(counts).map(|(part, count)| (part.name.to_owned(), cost(&count, events))).collect();
    let now = Figures { conditions, parts };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/figures.toml");
    if refresh {
        fs::write(&file, now.to_string())
            .map_err(|error| NoCallgrind::Failed(format!("{}: {error}", file.display())))?;
        println!("{now}");
        return Ok(true);
    }
    let kept = fs::read_to_string(&file).map_err(|error| error.to_string()).and_then(|text| text.parse::<Figures>());
    let kept = kept.map_err(|why| NoCallgrind::Failed(format!("{}: {why}", file.display())))?;
    let comparison = figures::compare(&kept, &now);
    println!("{comparison}");
    Ok(comparison.is_well())
}

/// The share of one event of so many.
#[allow(clippy::cast_precision_loss, reason = "counts of a few seconds")]
fn cost(count: &Count, events: f64) -> Cost {
    Cost { instructions: count.instructions as f64 / events, allocations: count.allocations as f64 / events }
}
