//! `walpost config`: shows the settings, or checks them.

use std::{io::Write, sync::Arc};

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use serde::Serialize;

use super::{
    Exit, Failure,
    console::{Console, Ink},
};
use crate::{
    config::{EndpointTable, HIDDEN, Loaded, Origin, Row, Shown, Webhooks, WorkerConfig, visible::visible},
    webhooks::Endpoint,
};

/// The arguments of `walpost config`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct ConfigArgs {
    /// The command.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting and where it comes from; secrets stay hidden.
    Show(ShowArgs),
    /// Say what is wrong with the configuration, all at once.
    Check(CheckArgs),
}

/// The arguments of `walpost config check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Check what `walpost webhooks` reads of it: it needs no login to Postgres.
    #[arg(long)]
    pub webhooks: bool,
}

/// The arguments of `walpost config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Print what `walpost webhooks` reads of it: it needs no login to Postgres.
    #[arg(long)]
    pub webhooks: bool,
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// A form of data on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Prints every setting.
pub(super) fn show(args: &ShowArgs, rows: &[Row], webhooks: &Webhooks, console: &mut Console) -> Result<Exit, Failure> {
    let lines = lines(rows, webhooks);
    let text = match args.format {
        OutputFormat::Human => table(&lines),
        OutputFormat::Json => {
            let rows: Vec<_> = lines.iter().map(JsonRow::from).collect();
            serde_json::to_string_pretty(&rows).map_err(Failure::new)?
        }
    };
    writeln!(console.out(), "{text}")?;
    Ok(Exit::Done)
}

/// Says that the configuration is whole; it would not be loaded otherwise.
pub(super) fn check(loaded: &Loaded, console: &mut Console) -> Result<Exit, Failure> {
    let given = loaded.rows.iter().filter(|row| row.origin != Origin::Default).count();
    let ok = console.out().paint(Ink::Good, "ok:");
    writeln!(console.out(), "{ok} the configuration is whole ({given} of {} keys given)", loaded.rows.len())?;
    Ok(Exit::Done)
}

/// Says that what webhooks need of it is.
pub(super) fn check_worker(config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let ok = console.out().paint(Ink::Good, "ok:");
    let endpoints = match (&config.webhooks.table, config.webhooks.endpoints.len()) {
        (Some(table), _) => format!("endpoints in table {}", table.name),
        (None, 1) => "1 endpoint".to_owned(),
        (None, count) => format!("{count} endpoints"),
    };
    writeln!(console.out(), "{ok} the configuration of webhooks is whole ({endpoints})")?;
    Ok(Exit::Done)
}

/// One setting, or one endpoint.
struct Line {
    key: String,
    value: Shown,
    origin: Origin,
}

/// Every setting; then every endpoint of the file, or where they are else.
fn lines(rows: &[Row], webhooks: &Webhooks) -> Vec<Line> {
    let of_row =
        |row: &Row| Line { key: row.key.name().to_owned(), value: row.value.clone(), origin: row.origin.clone() };
    let of_endpoint = |(endpoint, origin): (&Arc<Endpoint>, &Origin)| Line {
        key: format!("webhooks.endpoint.{}", endpoint.name),
        value: Shown::Text(endpoint.target.to_string()),
        origin: origin.clone(),
    };
    let of_table = |table: &EndpointTable| Line {
        key: "webhooks.endpoint".to_owned(),
        value: Shown::Text("(see `walpost webhooks list`)".to_owned()),
        origin: Origin::Table { name: table.name.to_string() },
    };
    let endpoints = webhooks.endpoints.iter().zip(&webhooks.origins).map(of_endpoint);
    rows.iter().map(of_row).chain(endpoints).chain(webhooks.table.iter().map(of_table)).collect()
}

/// The settings as a table for people.
fn table(lines: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["key", "value", "origin"]);
    for line in lines {
        let value = match &line.value {
            Shown::Text(text) => text.chars().flat_map(visible).collect(),
            Shown::Hidden => HIDDEN.to_owned(),
            Shown::Unset => "(not set)".to_owned(),
        };
        table.add_row([line.key.clone(), value, line.origin.to_string()]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A setting for programs.
#[derive(Serialize)]
struct JsonRow<'a> {
    /// The key.
    key: &'a str,
    /// The value; `null` if it is hidden or not set.
    value: Option<&'a str>,
    /// Whether there is a value that stays hidden.
    hidden: bool,
    /// Where the value comes from.
    origin: &'a Origin,
}

impl<'a> From<&'a Line> for JsonRow<'a> {
    fn from(line: &'a Line) -> Self {
        let value = if let Shown::Text(text) = &line.value { Some(text.as_str()) } else { None };
        Self { key: &line.key, value, hidden: line.value == Shown::Hidden, origin: &line.origin }
    }
}
