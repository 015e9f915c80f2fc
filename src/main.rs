//! The walpost program.

use std::{env, process::ExitCode};

use walpost::cli::{self, Console};

fn main() -> ExitCode {
    let environment = env::vars_os().collect::<Vec<_>>();
    let mut console = Console::of_process(&environment);
    cli::main(env::args_os(), environment, &mut console).into()
}
