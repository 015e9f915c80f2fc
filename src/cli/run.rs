//! `walpost run`.

use clap::Args;

/// The arguments of `walpost run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Of several processes with the same slot one leads; the others stand by and take over when it ends.
SIGTERM and SIGINT stop walpost as soon as what is on its way is confirmed.")]
pub struct RunArgs {
    /// First do what `walpost setup` does.
    #[arg(long)]
    pub setup: bool,
}
