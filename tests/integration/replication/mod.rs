//! The replication transport: what arrives, what is reported back, and how a stream ends.

mod endings;
mod feedback;
mod refusals;
mod streaming;
