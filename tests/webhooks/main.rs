//! Webhooks: the client against receivers that behave badly, the guard against somebody else's judgement, and delivery from
//! end to end, from an `INSERT` to a receiver.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod busy;
mod client;
mod delivers;
mod discards;
mod fails;
mod gaps;
mod hooks;
mod oracle;
mod place;
mod receiver;
mod renewed;
mod seen;
mod servers;
mod table;

use support::{certificates, wait};
