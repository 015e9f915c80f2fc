//! Private Postgres and NATS servers: started in a temporary folder, on free loopback ports, and gone without a trace afterwards.
//!
//! Evaluators, tests, demos and benchmarks share these. Crash, restart and pause are ordinary operations:
//!
//! ```no_run
//! # async fn example() -> Result<(), walpost::sandbox::servers::ServerError> {
//! use walpost::sandbox::servers::{NatsOptions, PostgresOptions, PrivateNats, PrivatePostgres};
//!
//! let mut postgres = PrivatePostgres::start(PostgresOptions::default().setting("wal_sender_timeout", "5s")).await?;
//! let nats = PrivateNats::start(NatsOptions::default()).await?;
//! postgres.execute_sql("CREATE TABLE t (id int)").await?;
//! postgres.kill().await?; // SIGKILL, the postmaster and all its children
//! postgres.restart().await?; // the same data on the same port
//! println!("{} {}", postgres.url(), nats.url());
//! # Ok(())
//! # }
//! ```
//!
//! Each server owns its folder and a small guard process beside it (`reaper.rs`, `reaper.sh`).
//!
//! Invariant: whatever way the owner ends (drop, panic, abort, SIGKILL), its servers end and their folder is removed.

mod binaries;
mod error;
mod folder;
mod identity;
mod log;
mod nats;
mod port;
mod postgres;
mod process;
mod process_tree;
mod program;
mod readiness;
mod reaper;

pub use binaries::{NatsBinary, Places, PostgresBinaries};
pub use error::ServerError;
pub use nats::{NatsCluster, NatsOptions, NatsTls, PrivateNats, SyncInterval};
pub use postgres::{PostgresAuth, PostgresOptions, PrivatePostgres, STANDBY_SLOT, StopMode};
pub use program::{End, GuardedFolder, PrivateProgram, ProgramOptions};
