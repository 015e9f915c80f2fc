//! `walpost man`: the manual page of the program or of one of its commands.

use std::io::Write;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Exit, Failure, console::Console};

/// The arguments of `walpost man`.
#[derive(Debug, Args)]
#[command(after_help = "\
To read it:     walpost man | man -l -
To install it:  walpost man > /usr/local/share/man/man1/walpost.1")]
pub struct ManArgs {
    /// The command, such as `dlq list`; without one, the program as a whole.
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Prints the page.
pub(super) fn run(args: &ManArgs, console: &mut Console) -> Result<Exit, Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    Man::new(find(&command, &args.command)?.clone()).render(&mut page)?;
    console.out().write_all(&page)?;
    Ok(Exit::Done)
}

fn find<'a>(command: &'a Command, names: &[String]) -> Result<&'a Command, Failure> {
    let Some((name, rest)) = names.split_first() else { return Ok(command) };
    let missing = || Failure::new(format!("there is no command {name:?} of {}", command.get_name()));
    find(command.find_subcommand(name).ok_or_else(missing)?, rest)
}
