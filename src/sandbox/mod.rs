//! Private servers to try walpost on.
