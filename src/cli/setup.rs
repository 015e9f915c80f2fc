//! `walpost setup`: creates what is missing, or says what it would create.

use std::io::Write;

use clap::Args;

use super::{
    Exit, Failure,
    console::{Console, Ink},
    failure, runtime,
};
use crate::{
    config::Config,
    plan::Plan,
    postgres::sql::Session,
    preflight::explain,
    publish::{Broker, BrokerError},
    setup::{ExistingRows, Outcome, PlannedStep, RowsError, Setup, SetupError, Step},
    supervisor,
};

/// The arguments of `walpost setup`.
#[derive(Debug, Args)]
#[command(after_help = "\
It creates the outbox table, the tables and functions of the delivery status, the
publication, the stream and the slot.
What exists already stays as it is, so the command can be repeated.
With --existing-rows missing a slot that is lost is made anew, and what it did not send is sent.")]
pub struct SetupArgs {
    /// Print the SQL and the stream settings, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Rows from before the slot: send them, or those missing in the stream, or keep them.
    #[arg(long, value_name = "send|missing|keep", hide_possible_values = true)]
    pub existing_rows: Option<ExistingRows>,
}

/// Does what the arguments say.
pub(super) fn run(args: &SetupArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    if args.dry_run {
        plan(config, args.existing_rows, console)?;
    } else {
        apply(config, args.existing_rows, console)?;
    }
    Ok(Exit::Done)
}

/// Creates what is missing, and prints a line for each part.
pub(super) fn apply(
    config: &Config,
    existing_rows: Option<ExistingRows>,
    console: &mut Console,
) -> Result<(), Failure> {
    let plan = Plan::new(config);
    let steps = runtime::block_on(async {
        let connected = Connected::open(&plan).await?;
        let tell = |text: &str| tracing::warn!("{text}");
        Setup { existing_rows, ..connected.setup(&plan) }.apply(tell).await.map_err(told)
    })?;
    for Step { what, outcome } in steps {
        let (ink, word) = match outcome {
            Outcome::Created => (Ink::Good, "created"),
            Outcome::Upgraded => (Ink::Good, "upgraded"),
            Outcome::Existed => (Ink::Plain, "exists"),
            Outcome::Sent => (Ink::Good, "sent"),
            Outcome::Kept => (Ink::Plain, "kept"),
            Outcome::Undecided => (Ink::Error, "stops"),
        };
        let word = console.out().paint(ink, format_args!("{word:<7}"));
        writeln!(console.out(), "{word}  {what}")?;
    }
    Ok(())
}

/// Prints what [`apply`] would do: SQL as it is, everything else as a comment, so that the text can be run.
fn plan(config: &Config, existing_rows: Option<ExistingRows>, console: &mut Console) -> Result<(), Failure> {
    let plan = Plan::new(config);
    let steps = runtime::block_on(async {
        let connected = Connected::open(&plan).await?;
        Setup { existing_rows, ..connected.setup(&plan) }.plan().await.map_err(told)
    })?;
    for PlannedStep { what, outcome, is_sql, text } in steps {
        let word = match outcome {
            Outcome::Upgraded => "would upgrade",
            Outcome::Existed => "exists",
            Outcome::Created => "would create",
            Outcome::Sent => "would send",
            Outcome::Kept => "would keep",
            Outcome::Undecided => "would stop, without a slot",
        };
        writeln!(console.out(), "-- {word}: {what}")?;
        if !text.is_empty() {
            writeln!(console.out(), "{}\n", if is_sql { text.trim_end().to_owned() } else { commented(&text) })?;
        }
    }
    Ok(())
}

fn commented(text: &str) -> String {
    text.lines().map(|line| format!("-- {line}")).collect::<Vec<_>>().join("\n")
}

/// Both sides.
struct Connected {
    session: Session,
    inspector: crate::publish::StreamInspector,
    /// Keeps the connection that the inspector asks through.
    _broker: Broker,
}

impl Connected {
    async fn open(plan: &Plan) -> Result<Self, Failure> {
        let session = Session::connect(&plan.endpoint).await.map_err(|error| told(error.into()))?;
        let broker = Broker::connect(&plan.broker).await.map_err(|error| no_broker(&error))?;
        Ok(Self { session, inspector: broker.inspector(), _broker: broker })
    }

    fn setup<'a>(&'a self, plan: &'a Plan) -> Setup<'a> {
        let (session, inspector) = (&self.session, &self.inspector);
        Setup { session, needs: &plan.needs, inspector, stream: &plan.stream, existing_rows: None }
    }
}

fn no_broker(error: &BrokerError) -> Failure {
    let (code, _) = supervisor::of_broker(error);
    Failure::new(error.to_string()).with_code(code).with_hint(error.hint())
}

fn told(error: SetupError) -> Failure {
    let of_server = match &error {
        SetupError::CreateSlot { source, .. } => explain(source.sqlstate(), &source.to_string()),
        error => error.sql().and_then(|error| explain(error.sqlstate(), &error.to_string())),
    };
    let hint = error.hint().or(of_server);
    let details = failure::details(error.problems());
    let code = match &error {
        SetupError::CreateSlot { source, .. }
        | SetupError::RowsUnsent { source: RowsError::Replication(source), .. } => {
            Some(supervisor::of_replication(source).0)
        }
        SetupError::Stream(error) => Some(supervisor::of_stream(error).0),
        SetupError::Refused(_) => details.first().map(|detail| detail.code),
        error => error.sql().map(|error| supervisor::of_sql(error).0),
    };
    Failure::new(error).with_code(code).with_details(details).with_hint(hint)
}
