//! What the outside sees of a running walpost: metrics and logs.

pub mod log;
pub mod metrics;
