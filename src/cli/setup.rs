//! `walpost setup`.

use clap::Args;

/// The arguments of `walpost setup`.
#[derive(Debug, Args)]
#[command(after_help = "\
It creates the outbox table, the objects for delivery status, the publication, the slot and the
stream. What exists already stays as it is, so the command can be repeated.")]
pub struct SetupArgs {
    /// Print the SQL and the stream settings, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}
