//! Preflight and setup on real servers: every Postgres version that is installed, and NATS.
//!
//! The tests share one server of each version, each test with databases, slots and streams of its own.
#![cfg(test)]

#[path = "../support/wait.rs"]
#[allow(dead_code, reason = "each binary uses a part of it")]
mod wait;

mod connecting;
mod doctor;
mod problems;
mod setup;
mod shapes;
mod world;
