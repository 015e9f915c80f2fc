//! Runs schedules: many at once, or one again with its trace.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::{
    judge::{Violation, broken},
    mutation::Mutation,
    tally::{Happened, Tally},
    world::{self, Ending},
};

/// How many schedules the ordinary test runs.
const SCHEDULES: u64 = 20_000;
/// How many steps of a trace are shown, counted from its end.
const SHOWN_STEPS: usize = 150;

/// A schedule in which an invariant broke.
#[derive(Clone, Debug)]
struct Failure {
    seed: u64,
    violation: Violation,
}

/// Runs a schedule; a panic in it is a violation too.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>) -> Result<Tally, Violation> {
    match catch_unwind(AssertUnwindSafe(|| world::run(seed, mutation, false))) {
        Ok(Ending { violation: None, tally, .. }) => Ok(tally),
        Ok(Ending { violation: Some(violation), .. }) => Err(violation),
        Err(_) => Err(broken("panic", "an assertion of the state machine or of a model does not hold".to_owned())),
    }
}

/// Runs the schedules of these seeds on all cores, until one fails.
fn run_many(first: u64, count: u64) -> Result<Tally, Failure> {
    let (next, total, failure) = (AtomicU64::new(0), Mutex::new(Tally::default()), Mutex::new(None::<Failure>));
    let work = || {
        let mut tally = Tally::default();
        while let offset = next.fetch_add(1, Relaxed)
            && offset < count
        {
            let seed = first.wrapping_add(offset);
            match run(seed, None) {
                Ok(one) => tally.add(&one),
                Err(violation) => {
                    next.store(count, Relaxed);
                    let mut failure = failure.lock().unwrap();
                    if failure.as_ref().is_none_or(|earlier| seed < earlier.seed) {
                        *failure = Some(Failure { seed, violation });
                    }
                }
            }
        }
        total.lock().unwrap().add(&tally);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    failure.into_inner().unwrap().map_or_else(|| Ok(total.into_inner().unwrap()), Err)
}

/// Runs the schedule again, and tells it.
fn tell(seed: u64) -> Option<Violation> {
    let Ending { plan, violation, trace, .. } = world::run(seed, None, true);
    println!("schedule {seed}: {plan:#?}");
    let hidden = trace.len().saturating_sub(SHOWN_STEPS);
    for line in trace.iter().skip(hidden) {
        println!("{line}");
    }
    violation
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

#[test]
fn no_schedule_of_faults_breaks_an_invariant() {
    if let Some(seed) = number("WALPOST_SIM_SEED") {
        let violation = tell(seed);
        assert_eq!(violation, None, "schedule {seed}");
        return;
    }
    let count = number("WALPOST_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let first = number("WALPOST_SIM_FIRST").unwrap_or(0);
    match run_many(first, count) {
        Ok(tally) => {
            println!("{tally}");
            assert_all_happened(&tally);
        }
        Err(Failure { seed, violation }) => {
            let Violation { invariant, text } = &violation;
            tell(seed);
            panic!(
                "{invariant} does not hold in schedule {seed}: {text}\nagain: WALPOST_SIM_SEED={seed} cargo test --test simulation schedules -- --nocapture"
            );
        }
    }
}

/// A run in which a kind of fault hardly happened says nothing about it.
fn assert_all_happened(tally: &Tally) {
    for what in Happened::ALL {
        let (count, least) = (tally.count(what), tally.schedules / 100);
        assert!(count >= least, "{what:?} happened in {count} of {} schedules only", tally.schedules);
    }
}
