//! The sandbox: private servers to try walpost on, and a demonstration that runs on them.
//!
//! [`run()`] is `walpost sandbox`. An example order service (`shop`) writes business rows and events in the same
//! transactions; walpost runs as a child process (`relay`); a consumer (`stored`) watches the stream. In the end the
//! whole stream is read again and held against the table (`ledger`, `audit`).
//!
//! Invariant: walpost is never asked whether it did well. The table says what was committed, numbers in the payloads say in
//! which order, the stream says what was stored.

mod audit;
mod error;
mod latency;
mod ledger;
mod options;
mod parts;
mod relay;
mod run;
mod screen;
pub mod servers;
mod shop;
mod stored;
mod tally;
mod verdict;
mod view;

pub use audit::{Fault, Findings};
pub use error::SandboxError;
pub use options::{Rate, RateError, SandboxOptions, Show};
pub use run::run;
pub use verdict::Verdict;
