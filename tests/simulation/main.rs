//! The delivery engine in a world of models: thousands of schedules of faults, each repeatable from its seed.
//!
//! The state machine is the program's own. Around it stand a model Postgres, a model JetStream and a model of the driver;
//! `world` decides by chance what happens next, `judge` holds what happened against the invariants at every step.
//! `conformance` holds the model JetStream against real servers, `mutation` lists mistakes that must be found.
//!
//! ```text
//! $ WALPOST_SIM_SEED=42 cargo test --test simulation schedules -- --nocapture     # one schedule, with its trace
//! $ WALPOST_SIM_SCHEDULES=1000000 cargo test --release --test simulation schedules
//! ```
#![cfg(test)]

mod broker;
mod chance;
mod conformance;
mod daemon;
mod jetstream;
mod judge;
mod known_bugs;
mod mutant;
mod mutation;
mod plan;
mod postgres;
mod room;
mod schedules;
mod tally;
mod world;
