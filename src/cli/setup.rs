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
    postgres::sql::{Session, SqlError},
    preflight::explain,
    publish::{Broker, BrokerError},
    setup::{Outcome, PlannedStep, Setup, SetupError, Step},
    supervisor,
};

/// The arguments of `walpost setup`.
#[derive(Debug, Args)]
#[command(after_help = "\
It creates the outbox table, the tables and functions of the delivery status, the
publication, the stream and the slot.
What exists already stays as it is, so the command can be repeated.")]
pub struct SetupArgs {
    /// Print the SQL and the stream settings, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Does what the arguments say.
pub(super) fn run(args: &SetupArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    if args.dry_run {
        plan(config, console)?;
    } else {
        apply(config, console)?;
    }
    Ok(Exit::Done)
}

/// Creates what is missing, and prints a line for each part.
pub(super) fn apply(config: &Config, console: &mut Console) -> Result<(), Failure> {
    let plan = Plan::new(config);
    let steps = runtime::block_on(async {
        let connected = Connected::open(&plan).await?;
        let tell = |text: &str| tracing::warn!("{text}");
        connected.setup(&plan).apply(tell).await.map_err(told)
    })?;
    for Step { what, outcome } in steps {
        let (ink, word) = match outcome {
            Outcome::Created => (Ink::Good, "created"),
            Outcome::Upgraded => (Ink::Good, "upgraded"),
            Outcome::Existed => (Ink::Plain, "exists"),
        };
        let word = console.out().paint(ink, format_args!("{word:<7}"));
        writeln!(console.out(), "{word}  {what}")?;
    }
    Ok(())
}

/// Prints what [`apply`] would do: SQL as it is, everything else as a comment, so that the text can be run.
fn plan(config: &Config, console: &mut Console) -> Result<(), Failure> {
    let plan = Plan::new(config);
    let steps = runtime::block_on(async {
        let connected = Connected::open(&plan).await?;
        connected.setup(&plan).plan().await.map_err(told)
    })?;
    for PlannedStep { what, outcome, is_sql, text } in steps {
        let word = match outcome {
            Outcome::Created => "would create",
            Outcome::Upgraded => "would upgrade",
            Outcome::Existed => "exists",
        };
        writeln!(console.out(), "-- {word}: {what}")?;
        if outcome != Outcome::Existed {
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
        Setup { session: &self.session, needs: &plan.needs, inspector: &self.inspector, stream: &plan.stream }
    }
}

fn no_broker(error: &BrokerError) -> Failure {
    let (code, _) = supervisor::of_broker(error);
    Failure::new(error.to_string()).with_code(code).with_hint(error.hint())
}

fn told(error: SetupError) -> Failure {
    let explained = |error: &SqlError| explain(error.sqlstate(), &error.to_string());
    let hint = match &error {
        SetupError::Create { source, .. } | SetupError::Sql(source) => explained(source),
        SetupError::Stream(error) => error.hint().map(str::to_owned),
        SetupError::Refused(_) | SetupError::Name(_) | SetupError::Settings(_) => None,
    };
    let details = failure::details(error.problems());
    let code = match &error {
        SetupError::Create { source, .. } | SetupError::Sql(source) => Some(supervisor::of_sql(source).0),
        SetupError::Stream(error) => Some(supervisor::of_stream(error).0),
        SetupError::Refused(_) => details.first().map(|detail| detail.code),
        SetupError::Name(_) | SetupError::Settings(_) => None,
    };
    Failure::new(error).with_code(code).with_details(details).with_hint(hint)
}
