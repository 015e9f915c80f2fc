//! `walpost doctor` on real servers: for each fault that is planted it names the fault and what mends it, and once that
//! is done it finds nothing more.

mod cli;
mod database;
mod nats;
mod nats_servers;
mod patient;
mod servers;
mod status;
mod stuck;
mod ways_in;
mod webhooks;
