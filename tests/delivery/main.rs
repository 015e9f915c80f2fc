//! Delivery from end to end: the real program between real servers, held against what the database committed.
//!
//! Each test states a claim of the delivery contract (`docs/delivery.md`). The oracle is never the program: what was
//! committed is told by the table and by a second replication slot (`witness`), what was delivered by reading the whole
//! stream from its leader (`stream`). Nothing waits for a time, everything for a condition (`wait`).
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod chain;
mod cluster;
mod confirms;
mod cut_off;
mod delivers;
mod errors;
mod exchanged;
mod existing_rows;
mod guards;
mod held;
mod killed;
mod large;
mod least;
mod logs;
mod missing;
mod nonsense;
mod other_tables;
mod partition;
mod poison;
mod publication;
mod quickstart;
mod refused;
mod renewed;
mod retention;
mod secrets;
mod shared;
mod starved;
mod status;
mod survives;
mod takeover;
mod told;

use support::{
    certificates, chance, daemon, load, nkey, stage, stream, supervised, wait, wire, witness, workload, world,
};
