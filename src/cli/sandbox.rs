//! `walpost sandbox`.

use std::{num::NonZero, path::PathBuf};

use clap::Args;

/// The arguments of `walpost sandbox`.
#[derive(Debug, Args)]
#[command(after_help = "\
Both servers run in a temporary folder and are gone afterwards.
An example program writes events to Postgres, and walpost delivers them to NATS.")]
pub struct SandboxArgs {
    /// End after N events with a verdict: lost, duplicated, out of order.
    #[arg(long, value_name = "N")]
    pub events: Option<NonZero<u64>>,
    /// Write N events a second.
    #[arg(long, value_name = "N", default_value = "200")]
    pub rate: NonZero<u32>,
    /// Take the programs of Postgres from this folder [default: looked for].
    #[arg(long, value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// Take this NATS server [default: looked for].
    #[arg(long, value_name = "PATH")]
    pub nats_server: Option<PathBuf>,
}
