//! walpost: the transactional outbox, from the Postgres WAL to NATS JetStream.
//!
//! ```text
//! WAL bytes -> replication frames -> pgoutput messages -> committed transactions -> outbox events
//!           -> published messages -> broker acks -> confirmed LSN -> back to Postgres
//! ```
//!
//! Data flows one way: each module below is a stage, and imports only from the stages before it. Only the last arrow
//! closes the loop. Beside the path stand the modules that run, configure and show it; they use the stages, stages never
//! use them. `tests/structure.rs` keeps it so.
//!
//! What walpost promises about delivery is in `docs/delivery.md`; how the parts work together in
//! `docs/architecture.md`. The command line and the configuration are the public interface: this library is how the
//! program and its tests share code, and may change with any release.

// The data path, in the order of the flow (rustfmt sorts within a group, hence the blank lines).
pub mod lsn;

pub mod secret_source;

pub mod trusted_roots;

pub mod position;

pub mod postgres;

pub mod replication;

pub mod pgoutput;

pub mod outbox;

pub mod publish;

pub mod relay;

// Beside the path.
pub mod admin;
pub mod cli;
pub mod code;
pub mod config;
pub mod doctor;
pub mod endpoint_table;
pub mod plan;
pub mod preflight;
pub mod sandbox;
pub mod setup;
pub mod status;
pub mod supervisor;
pub mod survey;
pub mod telemetry;
pub mod webhooks;
mod words;
