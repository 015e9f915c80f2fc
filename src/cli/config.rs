//! `walpost config`: shows the settings, or checks them.

use std::io::Write;

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use serde::Serialize;

use super::{
    Exit, Failure,
    console::{Console, Ink},
};
use crate::config::{HIDDEN, Loaded, Origin, Row, Shown, visible::visible};

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
    Check,
}

/// The arguments of `walpost config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
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
pub(super) fn show(args: &ShowArgs, loaded: &Loaded, console: &mut Console) -> Result<Exit, Failure> {
    let text = match args.format {
        OutputFormat::Human => table(&loaded.rows),
        OutputFormat::Json => {
            let rows: Vec<_> = loaded.rows.iter().map(JsonRow::from).collect();
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

/// The settings as a table for people.
fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["key", "value", "origin"]);
    for row in rows {
        let value = match &row.value {
            Shown::Text(text) => text.chars().flat_map(visible).collect(),
            Shown::Hidden => HIDDEN.to_owned(),
            Shown::Unset => "(not set)".to_owned(),
        };
        table.add_row([row.key.name().to_owned(), value, row.origin.to_string()]);
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
    key: &'static str,
    /// The value; `null` if it is hidden or not set.
    value: Option<&'a str>,
    /// Whether there is a value that stays hidden.
    hidden: bool,
    /// Where the value comes from.
    origin: &'a Origin,
}

impl<'a> From<&'a Row> for JsonRow<'a> {
    fn from(row: &'a Row) -> Self {
        let value = if let Shown::Text(text) = &row.value { Some(text.as_str()) } else { None };
        Self { key: row.key.name(), value, hidden: row.value == Shown::Hidden, origin: &row.origin }
    }
}
