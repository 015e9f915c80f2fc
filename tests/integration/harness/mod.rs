//! What the tests against real servers share: servers, an outbox with its slot, a reader of the log, a reader of streams.
//!
//! Servers are started once. Tests that only use one share it; those that stop, kill or pause one are alone with another.
//! Each test that needs tables makes a database of its own, with [`Outbox::create`].

#[path = "../../support/certificates.rs"]
mod certificates;
mod log_reader;
#[path = "../../support/nkey.rs"]
mod nkey;
mod outbox;
mod postgres;
mod stream;
mod wait;

pub(crate) use certificates::Authority;
pub(crate) use log_reader::LogReader;
pub(crate) use nkey::{Nkey, Operator, Role};
pub(crate) use outbox::Outbox;
pub(crate) use postgres::{PostgresSet, alone_with_every_postgres, closed_port, installed, on_every_postgres};
pub(crate) use stream::{broker, broker_options, bystander, on_every_fresh_nats, on_every_nats, stored_messages};
pub(crate) use wait::{SOON, wait_until, within};
