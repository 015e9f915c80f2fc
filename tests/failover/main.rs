//! Failover of Postgres: the real program between a primary, its standby and a broker, held against what both primaries,
//! the one before and the one after, committed.
//!
//! The program is given both hosts, and mostly lives through all of it. Each test states a claim of the delivery contract
//! (`docs/delivery.md`) or of the guide (`docs/guides/failover.md`).
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod crashes;
mod lost;
mod pair;
mod planned;
mod slotless;
mod waiting;
mod wrong_server;

use support::{chance, daemon, load, stage, stream, wait, witness, world};
