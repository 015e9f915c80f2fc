//! `walpost sandbox`: the whole path on private servers, with a verdict.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, console::Console, runtime};
use crate::sandbox::{self, Rate, SandboxError, SandboxOptions, Show, servers::Places};

/// The arguments of `walpost sandbox`.
#[derive(Debug, Args)]
#[command(after_help = "\
Both servers run in a temporary folder and are gone afterwards.
An example program writes events to Postgres, and walpost delivers them to NATS.
In the end the stream is held against the table: exit code 0 says that nothing is
lost, duplicated or out of order, 1 that something is.")]
pub struct SandboxArgs {
    /// End after N committed events; without it, at Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub events: Option<u64>,
    /// Write N events a second; `max` for as many as possible.
    #[arg(long, value_name = "N", default_value = "200")]
    pub rate: Rate,
    /// Take Postgres from this folder of programs.
    #[arg(long, value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// Take this nats-server.
    #[arg(long, value_name = "PATH")]
    pub nats_server: Option<PathBuf>,
}

/// Runs the sandbox.
pub(super) fn run(args: &SandboxArgs, console: &mut Console) -> Result<Exit, Failure> {
    let mut places = Places::from_environment();
    if let Some(folder) = &args.postgres_bin {
        places = places.with_postgres_bin(folder);
    }
    if let Some(file) = &args.nats_server {
        places = places.with_nats_server(file);
    }
    let out = console.out();
    let show = Show { is_terminal: out.is_terminal(), is_coloured: out.is_coloured(), width: out.width() };
    let program = std::env::current_exe()?;
    let options = SandboxOptions { events: args.events, rate: args.rate, places, program, show };
    let verdict = runtime::block_on(async {
        let stop = runtime::stop_on_signal()?;
        Box::pin(sandbox::run(options, stop, out)).await.map_err(told)
    })?;
    Ok(if verdict.is_clean() { Exit::Done } else { Exit::Failed })
}

fn told(error: SandboxError) -> Failure {
    if let SandboxError::Output(error) = error {
        return error.into();
    }
    let hint = error.hint();
    Failure::new(error).with_hint(hint)
}
