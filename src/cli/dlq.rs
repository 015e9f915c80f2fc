//! `walpost dlq`: shows dead letters, and decides what becomes of their events.

use std::io::Write;

use clap::{Args, Subcommand};
use comfy_table::Table;

use super::{
    Exit, Failure, OutputFormat,
    console::{Console, Ink},
    runtime,
};
use crate::{
    config::{Config, visible::visible},
    plan::Plan,
    postgres::sql::{Session, SqlError},
    preflight::{DeadLetter, Decision, Wanted, decide, explain, list_dead_letters},
    supervisor,
};

/// `undefined_table` and `undefined_function`.
const MISSING: [&str; 2] = ["42P01", "42883"];
/// `invalid_text_representation`: the id is not one of the type of the id column.
const NOT_AN_ID: &str = "22P02";
/// Where ids are found.
const WHICH: &str = "`walpost dlq list --all` shows all dead letters, with the id or position to give";

/// The arguments of `walpost dlq`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct DlqArgs {
    /// The command.
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List the dead letters that nobody has decided about, the newest first.
    List(ListArgs),
    /// Show all dead letters of one event.
    Show(LetterArgs),
    /// Publish events again, as their rows are now.
    Retry(DecideArgs),
    /// Give events up.
    Discard(DecideArgs),
}

/// The arguments of `walpost dlq list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// List those too that were retried or discarded.
    #[arg(long)]
    pub all: bool,
    /// List at most this many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// The arguments of `walpost dlq show`.
#[derive(Debug, Args)]
pub struct LetterArgs {
    /// The event's id, or the position of one without an id.
    #[arg(value_name = "EVENT")]
    pub event: String,
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// The arguments of `walpost dlq retry` and `walpost dlq discard`.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// The events' ids.
    #[arg(value_name = "EVENT", required = true)]
    pub events: Vec<String>,
}

/// Does what the arguments say.
pub(super) fn run(args: &DlqArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    let plan = Plan::new(config);
    match &args.command {
        DlqCommand::List(ListArgs { all, limit, format }) => {
            let letters = find(&plan, Wanted { all: *all, event: None, most: *limit })?;
            print(&letters, *format, table, console)?;
            Ok(Exit::Done)
        }
        DlqCommand::Show(LetterArgs { event, format }) => {
            let letters = find(&plan, Wanted { all: true, event: Some(event), most: u32::MAX })?;
            if letters.is_empty() {
                let missing = Failure::new(format!("there is no dead letter of event {:?}", printable(event)));
                return Err(missing.with_hint(Some(WHICH)));
            }
            print(&letters, *format, pages, console)?;
            Ok(Exit::Done)
        }
        DlqCommand::Retry(DecideArgs { events }) => decide_all(&plan, Decision::Retry, events, console),
        DlqCommand::Discard(DecideArgs { events }) => decide_all(&plan, Decision::Discard, events, console),
    }
}

fn find(plan: &Plan, wanted: Wanted<'_>) -> Result<Vec<DeadLetter>, Failure> {
    runtime::block_on(async {
        let session = Session::connect(&plan.endpoint).await.map_err(|error| failed(&error))?;
        list_dead_letters(&session, &plan.needs, wanted).await.map_err(|error| failed(&error))
    })
}

/// Decides about one event after the other, and says for each what came of it, also if the next one fails.
fn decide_all(plan: &Plan, decision: Decision, events: &[String], console: &mut Console) -> Result<Exit, Failure> {
    let (word, otherwise) = match decision {
        Decision::Retry => ("retried", "no dead letter that is open, or its row is gone"),
        Decision::Discard => ("discarded", "no dead letter that is open"),
    };
    runtime::block_on(async {
        let session = Session::connect(&plan.endpoint).await.map_err(|error| failed(&error))?;
        let mut exit = Exit::Done;
        for event in events {
            let is_done = decide(&session, &plan.needs, decision, event).await.map_err(|error| failed(&error))?;
            let event = printable(event);
            if is_done {
                let word = console.out().paint(Ink::Good, word);
                writeln!(console.out(), "{word}  {event}")?;
            } else {
                let error = console.err().paint(Ink::Error, "error:");
                writeln!(console.err(), "{error} not {word} {event}: {otherwise}")?;
                exit = Exit::Failed;
            }
        }
        if exit == Exit::Failed {
            let hint = console.err().paint(Ink::Hint, "hint:");
            writeln!(console.err(), "{hint} {WHICH}")?;
        }
        Ok(exit)
    })
}

fn failed(error: &SqlError) -> Failure {
    let hint = match error.sqlstate() {
        Some(code) if MISSING.contains(&code) => {
            Some("run `walpost setup`, which creates what keeps dead letters".to_owned())
        }
        Some(NOT_AN_ID) => Some(WHICH.to_owned()),
        state => explain(state, &error.to_string()),
    };
    Failure::new(error.to_string()).with_code(supervisor::of_sql(error).0).with_hint(hint)
}

fn print(
    letters: &[DeadLetter],
    format: OutputFormat,
    human: fn(&[DeadLetter]) -> String,
    console: &mut Console,
) -> Result<(), Failure> {
    let text = match format {
        OutputFormat::Human => human(letters),
        OutputFormat::Json => serde_json::to_string_pretty(letters).map_err(Failure::new)?,
    };
    writeln!(console.out(), "{text}")?;
    Ok(())
}

/// One line for each.
fn table(letters: &[DeadLetter]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["event", "type", "aggregate", "reason", "dead at", "state"]);
    for letter in letters {
        let aggregate = format!("{} {}", shown(&letter.aggregate_type), shown(&letter.aggregate_id));
        let event = letter.event_id.as_deref().unwrap_or(&letter.position);
        let (kind, reason) = (shown(&letter.event_type), letter.reason.clone());
        table.add_row([printable(event), kind, aggregate, reason, letter.dead_at.clone(), letter.state.clone()]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Everything about each.
fn pages(letters: &[DeadLetter]) -> String {
    let page = |letter: &DeadLetter| {
        let sequence = letter.stream_sequence.map_or_else(|| "-".to_owned(), |sequence| sequence.to_string());
        let decided = letter.decided_at.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
        [
            ("event", shown(&letter.event_id)),
            ("type", shown(&letter.event_type)),
            ("aggregate", format!("{} {}", shown(&letter.aggregate_type), shown(&letter.aggregate_id))),
            ("reason", letter.reason.clone()),
            ("detail", printable(&letter.detail)),
            ("dead at", letter.dead_at.clone()),
            ("state", format!("{}{decided}", letter.state)),
            ("slot", letter.slot.clone()),
            ("position", printable(&letter.position)),
            ("sequence", sequence),
        ]
        .map(|(name, value)| format!("{name:<10} {value}"))
        .join("\n")
    };
    letters.iter().map(page).collect::<Vec<_>>().join("\n\n")
}

fn shown(text: &Option<String>) -> String {
    text.as_deref().map_or_else(|| "-".to_owned(), printable)
}

/// Text from data, on one line of a terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(visible).collect()
}
