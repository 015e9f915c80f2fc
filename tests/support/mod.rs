//! What several test binaries need: the real program, servers to run it between, load, and witnesses.
//!
//! Included by path. A binary names the parts that it uses in its own `main.rs`.
#![cfg(test)]
#![allow(dead_code, reason = "each binary uses a part of it")]

pub(crate) mod certificates;
pub(crate) mod chance;
pub(crate) mod daemon;
pub(crate) mod load;
pub(crate) mod nkey;
pub(crate) mod samples;
pub(crate) mod stage;
pub(crate) mod stream;
pub(crate) mod supervised;
pub(crate) mod wait;
pub(crate) mod wire;
pub(crate) mod witness;
pub(crate) mod workload;
pub(crate) mod world;
