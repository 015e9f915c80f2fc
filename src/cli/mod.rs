//! The command line: what people type, and what they get back.
//!
//! The types of the arguments hold all help and no action, one file for each command; [`main`] parses, loads the
//! configuration, calls the library, and turns the outcome into an exit code. Data goes to standard output, everything
//! else to standard error.

mod completions;
mod config;
mod console;
mod dlq;
mod doctor;
mod exit;
mod failure;
mod global;
mod man;
mod run;
mod runtime;
mod sandbox;
mod setup;
mod status;
mod webhooks;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use self::{
    completions::CompletionsArgs,
    config::{CheckArgs, ConfigArgs, ConfigCommand, OutputFormat, ShowArgs},
    console::Console,
    dlq::{DecideArgs, DlqArgs, DlqCommand, LetterArgs, ListArgs},
    doctor::DoctorArgs,
    exit::Exit,
    failure::Failure,
    global::GlobalArgs,
    man::ManArgs,
    run::RunArgs,
    sandbox::SandboxArgs,
    setup::SetupArgs,
    status::StatusArgs,
    webhooks::{
        AttemptsArgs, DiscardArgs, EndpointArgs, ReplayArgs, WebhooksArgs, WebhooksCommand, WebhooksListArgs,
        WebhooksRunArgs, WebhooksShowArgs,
    },
};
use crate::{
    config::{Config, Loaded, Log, Problems},
    telemetry::log::{self, LogGuard},
};

/// Deliver the events of a Postgres outbox table to NATS JetStream, in order and exactly once.
#[derive(Debug, Parser)]
#[command(name = "walpost", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver events until the process is told to stop.
    Run(RunArgs),
    /// Create what is missing in Postgres and in NATS.
    Setup(SetupArgs),
    /// Show dead letters, publish their events again, or give them up.
    Dlq(DlqArgs),
    /// Say what is wrong in Postgres and in NATS, and what mends it; changes nothing.
    Doctor(DoctorArgs),
    /// Show who leads, how far delivery is, and what it waits for.
    Status(StatusArgs),
    /// Send the events of the stream to HTTP endpoints.
    Webhooks(WebhooksArgs),
    /// Try walpost with a Postgres and a NATS of its own.
    Sandbox(SandboxArgs),
    /// Show or check the configuration.
    Config(ConfigArgs),
    /// Print what lets a shell complete commands and options.
    Completions(CompletionsArgs),
    /// Print the manual page.
    Man(ManArgs),
}

/// Runs walpost on `arguments`, the first of which is the name of the program.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Vec<(OsString, OsString)>,
    console: &mut Console,
) -> Exit {
    let outcome = match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(&cli, environment, console),
        Err(answer) => console.answer(&answer).map(|()| if answer.use_stderr() { Exit::Usage } else { Exit::Done }),
    };
    match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            // Nobody is left to tell if standard error fails too; the exit code still says it.
            let _told: std::io::Result<()> = failure.print(console);
            failure.exit()
        }
    }
}

/// Does what the command says.
fn dispatch(cli: &Cli, environment: Vec<(OsString, OsString)>, console: &mut Console) -> Result<Exit, Failure> {
    let sources = cli.global.sources(environment);
    let load = || -> Result<Loaded, Problems> { Config::load(&sources) };
    match &cli.command {
        Command::Run(args) => {
            let loaded = load()?;
            let _log = start_log(&loaded.config.log, console)?;
            run::run(args, &loaded.config, console)
        }
        Command::Setup(args) => {
            let loaded = load()?;
            let _log = start_log(&loaded.config.log, console)?;
            setup::run(args, &loaded.config, console)
        }
        Command::Dlq(args) => {
            let loaded = load()?;
            let _log = start_log(&loaded.config.log, console)?;
            dlq::run(args, &loaded.config, console)
        }
        Command::Doctor(args) => doctor::run(args, &load()?.config, console),
        Command::Status(args) => status::run(args, &load()?.config, console),
        Command::Webhooks(args) => {
            let config = Config::load_worker(&sources)?.config;
            let _log = start_log(&config.log, console)?;
            webhooks::run(args, &config, console)
        }
        Command::Sandbox(args) => sandbox::run(args, console),
        Command::Completions(args) => completions::run(args, console),
        Command::Man(args) => man::run(args, console),
        Command::Config(ConfigArgs { command: ConfigCommand::Show(show) }) if show.webhooks => {
            let loaded = Config::load_worker(&sources)?;
            config::show(show, &loaded.rows, &loaded.config.webhooks, console)
        }
        Command::Config(ConfigArgs { command: ConfigCommand::Show(show) }) => {
            let loaded = load()?;
            config::show(show, &loaded.rows, &loaded.config.webhooks, console)
        }
        Command::Config(ConfigArgs { command: ConfigCommand::Check(CheckArgs { webhooks: true }) }) => {
            config::check_worker(&Config::load_worker(&sources)?.config, console)
        }
        Command::Config(ConfigArgs { command: ConfigCommand::Check(_) }) => config::check(&load()?, console),
    }
}

/// Starts the log, whose form standard error has from then on.
fn start_log(config: &Log, console: &mut Console) -> Result<LogGuard, Failure> {
    let log = log::install(config, console.log_terminal())?;
    if log.is_json() {
        console.err().leave_to_machines();
    }
    Ok(log)
}

/// What the help of the program ends with.
const AFTER_HELP: &str = "\
Each setting has one name: `nats.stream` in --set, `stream` under [nats] in the file,
WALPOST_NATS_STREAM in the environment. A flag wins over the environment, the environment
over the file. `walpost config show` prints every setting and where it comes from.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration (nothing was touched).";
