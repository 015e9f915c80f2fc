//! `walpost webhooks`: sends the events of the stream to HTTP endpoints.

mod decide;
mod list;
mod run;
mod test;

use std::sync::Arc;

use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;

use super::{Exit, Failure, OutputFormat, console::Console};
use crate::{
    config::WorkerConfig,
    endpoint_table::{Listing, TableError, TableReader},
    plan,
    publish::{BrokerError, lasting_client},
    supervisor,
    webhooks::{Endpoint, EndpointName, LetterSeen, Look, SetupError, Standing, Store, StoreError},
};

/// The arguments of `walpost webhooks`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct WebhooksArgs {
    /// The command.
    #[command(subcommand)]
    pub command: WebhooksCommand,
}

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// Send events to the endpoints until the process is told to stop.
    Run(WebhooksRunArgs),
    /// Create what webhooks are kept in in NATS, and the table if endpoints are in one.
    Setup,
    /// List the endpoints and how far each is.
    List(WebhooksListArgs),
    /// Show one endpoint, and the events that wait for it.
    Show(WebhooksShowArgs),
    /// Send a sample event to an endpoint, once, and say what came of it.
    Test(EndpointArgs),
    /// Let a disabled endpoint have its events, those that waited first.
    Enable(EndpointArgs),
    /// Send nothing to an endpoint; its events wait in the stream.
    Disable(EndpointArgs),
    /// List the dead letters of an endpoint, the oldest first.
    Dead(WebhooksShowArgs),
    /// Send events of dead letters again; one that is delivered is a dead letter no more.
    Replay(ReplayArgs),
    /// Give dead letters up, so that their events are not sent again.
    Discard(DiscardArgs),
    /// Show the attempts to deliver one event, of the last seven days.
    Attempts(AttemptsArgs),
}

/// The arguments of `walpost webhooks run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Any number of instances may run. They share the endpoints: each is served by one of them at a time,
and by another one when that ends. They read the stream in NATS, and need no login to Postgres
unless the endpoints are in a table (`webhooks.source = \"table\"`); changes of that are taken up
without a restart.")]
pub struct WebhooksRunArgs {
    /// First do what `walpost webhooks setup` does.
    #[arg(long)]
    pub setup: bool,
}

/// The arguments of `walpost webhooks list`.
#[derive(Debug, Args)]
pub struct WebhooksListArgs {
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// The arguments of `walpost webhooks show` and `walpost webhooks dead`.
#[derive(Debug, Args)]
pub struct WebhooksShowArgs {
    /// The endpoint's name.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// The arguments of commands for one endpoint.
#[derive(Debug, Args)]
pub struct EndpointArgs {
    /// The endpoint's name.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
}

/// Which dead letters of an endpoint.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["events", "all"]))]
pub struct LettersArgs {
    /// The endpoint's name.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// The events' ids, as `walpost webhooks dead` shows them.
    #[arg(value_name = "EVENT")]
    pub events: Vec<String>,
    /// All dead letters of the endpoint.
    #[arg(long)]
    pub all: bool,
}

/// The arguments of `walpost webhooks replay`.
#[derive(Debug, Args)]
#[command(
    override_usage = "walpost webhooks replay <ENDPOINT> <EVENT...|--all>",
    after_help = "Up to a thousand at once; repeat it for more."
)]
pub struct ReplayArgs {
    /// Which of them.
    #[command(flatten)]
    pub letters: LettersArgs,
}

/// The arguments of `walpost webhooks discard`.
#[derive(Debug, Args)]
#[command(
    override_usage = "walpost webhooks discard [OPTIONS] <ENDPOINT> <EVENT...|--all>",
    after_help = "\
The copies of the events are removed, and cannot be had back; `walpost webhooks attempts` tells
of it for seven days. What is on its way again is kept."
)]
pub struct DiscardArgs {
    /// Which of them.
    #[command(flatten)]
    pub letters: LettersArgs,
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// The arguments of `walpost webhooks attempts`.
#[derive(Debug, Args)]
pub struct AttemptsArgs {
    /// The event's id.
    #[arg(value_name = "EVENT")]
    pub event: String,
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// Does what the arguments say.
pub(super) fn run(args: &WebhooksArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    match &args.command {
        WebhooksCommand::Run(args) => run::run(args, config, console),
        WebhooksCommand::Setup => run::set_up(config, console),
        WebhooksCommand::List(args) => list::list(args, config, console),
        WebhooksCommand::Show(args) => list::show(args, config, console),
        WebhooksCommand::Test(args) => test::test(args, config, console),
        WebhooksCommand::Enable(args) => decide::wish(args, true, config, console),
        WebhooksCommand::Disable(args) => decide::wish(args, false, config, console),
        WebhooksCommand::Dead(args) => list::dead(args, config, console),
        WebhooksCommand::Replay(args) => decide::replay(args, config, console),
        WebhooksCommand::Discard(args) => decide::discard(args, config, console),
        WebhooksCommand::Attempts(args) => list::attempts(args, config, console),
    }
}

/// The way to what is kept in JetStream.
async fn store(config: &WorkerConfig) -> Result<Store, Failure> {
    let client = lasting_client(&plan::broker(&config.nats), "walpost webhooks").await.map_err(unreachable)?;
    Ok(Store::new(client, config.nats.stream.as_str()))
}

/// What reads the table of endpoints, if they are in one.
fn table(config: &WorkerConfig) -> Option<TableReader> {
    let (table, postgres) = config.webhooks.table.as_ref().zip(config.postgres.as_ref())?;
    Some(TableReader::new(postgres.endpoint.clone(), table.clone()))
}

/// Who there is: in the file, or in the table now.
async fn endpoints(config: &WorkerConfig) -> Result<Listing, Failure> {
    let database = config.postgres.as_ref().map(|postgres| &postgres.endpoint);
    Listing::now(&config.webhooks, database).await.map_err(unread)
}

/// How these stand.
async fn look(config: &WorkerConfig, endpoints: &[Arc<Endpoint>]) -> Result<(Look, Vec<Standing>), Failure> {
    let look = store(config).await?.look(endpoints).await.map_err(unset)?;
    let standings = Standing::all(endpoints.iter().map(AsRef::as_ref), &look, config.webhooks.lease, Timestamp::now());
    Ok((look, standings))
}

/// The endpoint of this name.
async fn find(config: &WorkerConfig, name: &str) -> Result<Arc<Endpoint>, Failure> {
    let Listing { endpoints, refused } = endpoints(config).await?;
    if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.name.as_str() == name) {
        return Ok(Arc::clone(endpoint));
    }
    if let Some(refused) = refused.iter().find(|refused| refused.name == name) {
        let hint = refused.problems.iter().find_map(|problem| problem.hint().map(str::to_owned));
        return Err(Failure::new(format!("the row of that name is no endpoint: {refused}")).with_hint(hint));
    }
    let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    let known = if names.is_empty() { "none is configured".to_owned() } else { names.join(", ") };
    Err(Failure::new("there is no endpoint of that name").with_hint(Some(format!("the endpoints are: {known}"))))
}

/// The dead letters of an endpoint: also of one that is configured no more, as long as there are some.
async fn letters(config: &WorkerConfig, name: &str) -> Result<(Store, EndpointName, Vec<LetterSeen>), Failure> {
    let store = store(config).await?;
    if let Some(name) = EndpointName::parse(name) {
        let letters = store.letters(&name).await.map_err(refused)?;
        if !letters.is_empty() {
            return Ok((store, name, letters));
        }
    }
    let name = find(config, name).await?.name.clone();
    Ok((store, name, Vec::new()))
}

fn unread(error: TableError) -> Failure {
    let hint = error.hint();
    Failure::new(error).with_hint(Some(hint))
}

fn unreachable(error: BrokerError) -> Failure {
    let (code, hint) = (supervisor::of_broker(&error).0, error.hint());
    Failure::new(error).with_code(code).with_hint(hint)
}

fn unset(error: SetupError) -> Failure {
    let hint = error.hint();
    Failure::new(error).with_hint(Some(hint))
}

fn refused(error: StoreError) -> Failure {
    let hint = "check that the NATS server runs and that `walpost webhooks setup` was run";
    Failure::new(error).with_hint(Some(hint))
}
