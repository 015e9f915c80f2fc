//! The pgoutput decoder against what real servers sent, and against another decoder.
//!
//! The fixtures in `tests/fixtures/pgoutput` were captured by the script there, from the workload beside it.

// True of every file here; said so that the lints treat helper functions as the tests that they serve.
#![cfg(test)]

mod differential;
mod exact;
mod fixture;
mod known_rows;
mod story;
mod transactions;
