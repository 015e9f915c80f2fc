//! Private servers to try walpost on.

pub mod servers;
