//! What the tests against real servers share: servers, an outbox with its slot, and a reader of the log.
//!
//! Servers are started once. Tests that only use one share it; those that stop, kill or pause one are alone with another.
//! Each test that needs tables makes a database of its own, with [`Outbox::create`].

mod certificates;
mod log_reader;
mod outbox;
mod postgres;
mod wait;

pub(crate) use certificates::Authority;
pub(crate) use log_reader::LogReader;
pub(crate) use outbox::Outbox;
pub(crate) use postgres::{PostgresSet, alone_with_every_postgres, on_every_postgres};
pub(crate) use wait::{SOON, wait_until, within};
