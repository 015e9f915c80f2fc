//! walpost: the transactional outbox, from the Postgres WAL to NATS JetStream.
//!
//! ```text
//! WAL bytes -> replication frames -> pgoutput messages -> committed transactions -> outbox events
//!           -> published messages -> broker acks -> confirmed LSN -> back to Postgres
//! ```
//!
//! Data flows one way: each module below is a stage, and imports only from the stages above it.
//! Only the last arrow closes the loop. `tests/structure.rs` keeps it so.

pub mod lsn;
// Beside the path: these use the stages, never the other way round.
pub mod cli;
pub mod config;
pub mod outbox;
pub mod pgoutput;
pub mod sandbox;
pub mod telemetry;
