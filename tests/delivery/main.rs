//! Delivery from end to end: the real program between real servers, held against what the database committed.
//!
//! Each test states a claim of the delivery contract (`docs/delivery.md`). The oracle is never the program: what was
//! committed is told by the table and by a second replication slot (`witness`), what was delivered by reading the whole
//! stream from its leader (`stream`). Nothing waits for a time, everything for a condition (`wait`).
#![cfg(test)]

mod admin;
mod chance;
mod confirms;
mod daemon;
mod delivers;
mod errors;
mod held;
mod killed;
mod large;
mod load;
mod other_tables;
mod poison;
mod samples;
mod secrets;
mod shared;
mod stream;
mod supervised;
mod survives;
mod takeover;
mod wait;
mod witness;
mod workload;
mod world;
