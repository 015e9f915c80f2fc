//! `walpost webhooks list`, `show` and `attempts`: what JetStream holds of endpoints.

use std::io::Write;

use comfy_table::Table;
use serde::Serialize;
use serde_json::{Value, json};

use super::{AttemptsArgs, WebhooksListArgs, WebhooksShowArgs, endpoints, find, letters, look, refused, store};
use crate::{
    cli::{Exit, Failure, OutputFormat, console::Console, runtime},
    config::{RefusedRow, WorkerConfig, visible::visible},
    endpoint_table::Listing,
    webhooks::{Endpoint, LoggedAttempt, RefusedStanding, SavedEvent, Standing, moment},
};

/// How many open events are shown to people.
const MOST_SHOWN: usize = 20;

/// Lists the endpoints.
pub(super) fn list(args: &WebhooksListArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let (refused, standings) = runtime::block_on(async {
        let Listing { endpoints, refused } = endpoints(config).await?;
        Ok((refused, look(config, &endpoints).await?.1))
    })?;
    let text = match args.format {
        OutputFormat::Json => {
            let all = standings.iter().map(serde_json::to_value);
            let all = all.chain(refused.iter().map(|row| serde_json::to_value(RefusedStanding::from(row))));
            let all = all.collect::<Result<Vec<_>, _>>().map_err(Failure::new)?;
            serde_json::to_string_pretty(&all).map_err(Failure::new)?
        }
        OutputFormat::Human => listed(&standings, &refused),
    };
    writeln!(console.out(), "{text}")?;
    Ok(Exit::Done)
}

fn listed(standings: &[Standing], refused: &[RefusedRow]) -> String {
    let mut table = plain_table(&["endpoint", "url", "state", "behind", "open"]);
    for standing in standings {
        let Standing { endpoint, url, state, .. } = standing;
        let behind = standing.behind.map_or("-".to_owned(), |behind| behind.to_string());
        let open = standing.open.map_or("-".to_owned(), |open| open.to_string());
        table.add_row([endpoint, url, state, &behind, &open]);
    }
    for row in refused {
        table.add_row([row.name.as_str(), "-", "wrong, not served", "-", "-"]);
    }
    let mut text = trimmed(table);
    for row in refused {
        text.push_str(&format!("\n\nThe row {} of the table is no endpoint:", row.name));
        for problem in &row.problems {
            let hint = problem.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            text.push_str(&format!("\n  {}{hint}", problem.text()));
        }
    }
    text
}

/// Shows one endpoint.
pub(super) fn show(args: &WebhooksShowArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let (endpoint, (look, standings)) = runtime::block_on(async {
        let endpoint = find(config, &args.endpoint).await?;
        let looked = look(config, std::slice::from_ref(&endpoint)).await?;
        Ok((endpoint, looked))
    })?;
    for (seen, standing) in look.endpoints.iter().zip(&standings) {
        let open = seen.record.as_ref().map_or(&[][..], |record| &record.ledger.open[..]);
        let text = match args.format {
            OutputFormat::Json => {
                let events = open.iter().map(event).collect();
                serde_json::to_string_pretty(&Shown { standing, events }).map_err(Failure::new)?
            }
            OutputFormat::Human => page(&endpoint, standing, open),
        };
        writeln!(console.out(), "{text}")?;
    }
    Ok(Exit::Done)
}

/// An endpoint with the events that wait for it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    standing: &'a Standing,
    events: Vec<Value>,
}

fn event(open: &SavedEvent) -> Value {
    json!({ "sequence": open.0, "failed_attempts": open.1, "due": moment(open.2) })
}

/// Lists the dead letters of an endpoint.
pub(super) fn dead(args: &WebhooksShowArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let (_, _, letters) = runtime::block_on(letters(config, &args.endpoint))?;
    let text = match args.format {
        OutputFormat::Json => serde_json::to_string_pretty(&letters).map_err(Failure::new)?,
        OutputFormat::Human => {
            let mut table = plain_table(&["event", "type", "aggregate", "reason", "attempts", "dead at"]);
            for letter in letters {
                let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let (attempts, at) = (letter.attempts.to_string(), moment(letter.at_ms).unwrap_or_default());
                let (event, kind) = (letter.name(), or_nothing(letter.event_type));
                let texts = [event, kind, or_nothing(letter.aggregate), letter.reason, attempts, at];
                table.add_row(texts.map(|text| text.chars().flat_map(visible).collect::<String>()));
            }
            trimmed(table)
        }
    };
    writeln!(console.out(), "{text}")?;
    Ok(Exit::Done)
}

/// Shows the attempts for one event.
pub(super) fn attempts(args: &AttemptsArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let found = runtime::block_on(async { store(config).await?.attempts(&args.event).await.map_err(refused) })?;
    if found.is_empty() && args.format == OutputFormat::Human {
        let hint = "the log holds the last seven days; the id is that of the row, and the `webhook-id` of the request";
        return Err(Failure::new("the log has no attempt for that event").with_hint(Some(hint)));
    }
    let text = match args.format {
        OutputFormat::Json => serde_json::to_string_pretty(&found).map_err(Failure::new)?,
        OutputFormat::Human => attempts_table(&found),
    };
    writeln!(console.out(), "{text}")?;
    Ok(Exit::Done)
}

fn attempts_table(found: &[LoggedAttempt]) -> String {
    let mut table = plain_table(&["endpoint", "at", "attempt", "outcome", "status", "ms", "next"]);
    for attempt in found {
        let next = match (attempt.next_ms, attempt.dead) {
            (Some(next), _) => moment(next).unwrap_or_default(),
            (None, true) => "dead letter".to_owned(),
            (None, false) => "-".to_owned(),
        };
        let status = attempt.status.map_or("-".to_owned(), |status| status.to_string());
        let (number, ms) = (attempt.attempt.to_string(), attempt.ms.to_string());
        let texts = [&attempt.endpoint, &attempt.at, &number, &attempt.outcome, &status, &ms, &next];
        table.add_row(texts.map(|text| text.chars().flat_map(visible).collect::<String>()));
    }
    trimmed(table)
}

fn page(endpoint: &Endpoint, standing: &Standing, open: &[SavedEvent]) -> String {
    let Standing { endpoint: name, url, state, .. } = standing;
    let mut text = format!("endpoint  {name}\nurl       {url}\nstate     {state}\n");
    text.push_str(&format!("subjects  {}\n", endpoint.subjects.join(", ")));
    let Some(read) = standing.read else { return text.trim_end().to_owned() };
    text.push_str(&format!("read      {read} of {}\nopen      {}\n", standing.last_sequence, open.len()));
    if standing.dead_letters > 0 {
        text.push_str(&format!("dead      {}\n", standing.dead_letters));
    }
    if open.is_empty() {
        return text.trim_end().to_owned();
    }
    let mut table = plain_table(&["sequence", "failed", "due"]);
    for open in open.iter().take(MOST_SHOWN) {
        let due = if open.2 == 0 { "on its way".to_owned() } else { moment(open.2).unwrap_or_default() };
        table.add_row([open.0.to_string(), open.1.to_string(), due]);
    }
    text.push_str(&format!("\n{}", trimmed(table)));
    if let Some(more) = open.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("\nand {more} more"));
    }
    text
}

fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().copied());
    table
}

fn trimmed(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}
