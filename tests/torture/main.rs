//! Torture: everything fails, again and again, and the network lies; then a judge holds the stream against the table.
//!
//! Two instances of the real program run between real servers, each behind a network of its own (`proxy`) that sees every
//! message and can lose, delay, repeat and cut. What is done to whom (`nemesis`) follows from a seed, which is printed.
//! The judge (`judge`) trusts only the table, the stream, and what was seen on the wires (`journal`).
//!
//! `docs/reliability.md` says how to run it for longer, on other servers, and with a seed of one's own.
#![cfg(test)]

mod arena;
mod crash_points;
mod cuts;
mod figures;
mod instance;
mod journal;
mod judge;
mod nemesis;
mod proxy;
mod run;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod workload;

use std::time::Duration;

use arena::Cell;
use run::Order;
use support::{chance, daemon, load, stream, wait, world};

/// How long faults come when nobody says otherwise.
const SECONDS: u64 = 90;

/// What somebody wants to be otherwise, by `make torture`.
fn wish(name: &str) -> Option<String> {
    std::env::var(format!("WALPOST_TORTURE_{name}")).ok().filter(|value| !value.is_empty())
}

#[tokio::test]
async fn whatever_fails_nothing_is_lost_repeated_reordered_or_confirmed_early() {
    let number = |name| wish(name).map(|value| value.parse::<u64>().unwrap());
    let seconds = number("SECONDS").or(number("MINUTES").map(|minutes| minutes * 60)).unwrap_or(SECONDS);
    let seed = chance::Chance::seed("torture");
    let replicas = number("REPLICAS").map_or(1, |replicas| usize::try_from(replicas).unwrap());
    let deletes = wish("RETENTION").map_or(seed % 2 == 1, |wish| wish == "1");
    let cell = match (wish("PG"), wish("NATS")) {
        (None, None) if replicas == 1 => Cell::newest(),
        (postgres, nats) => Cell::find(&postgres.unwrap_or_default(), &nats.unwrap_or_default(), replicas),
    };
    let cell = Cell { deletes, ..cell };
    Box::pin(Order { seed, time: Duration::from_secs(seconds), cell }.run()).await;
}
