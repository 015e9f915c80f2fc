//! `walpost completions`: what lets a shell complete commands and options.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, Exit, Failure, console::Console};

/// The arguments of `walpost completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
For bash, in ~/.bashrc:  source <(walpost completions bash)
For zsh, in a folder of $fpath:  walpost completions zsh > ~/.zfunc/_walpost
For fish:  walpost completions fish > ~/.config/fish/completions/walpost.fish")]
pub struct CompletionsArgs {
    /// The shell: bash, elvish, fish, powershell or zsh.
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    pub shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs, console: &mut Console) -> Result<Exit, Failure> {
    // Whole before it is written: the generator ends the process if a write fails, as it does when nobody reads on.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "walpost", &mut script);
    console.out().write_all(&script)?;
    Ok(Exit::Done)
}
