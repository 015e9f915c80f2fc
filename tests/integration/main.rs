//! Transport against real servers: every Postgres version that is installed.

// True of every file here; said so that the lints treat helper functions as the tests that they serve.
#![cfg(test)]

mod harness;
mod login;
mod replication;
mod tls;
