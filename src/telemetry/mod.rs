//! What walpost tells about itself while it runs.

pub mod log;
