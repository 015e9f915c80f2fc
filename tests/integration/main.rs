//! Transport and publishing against real servers: every Postgres and NATS version that is installed.

// True of every file here; said so that the lints treat helper functions as the tests that they serve.
#![cfg(test)]

mod binding;
mod harness;
mod hosts;
mod login;
mod publish;
mod replication;
mod tls;
