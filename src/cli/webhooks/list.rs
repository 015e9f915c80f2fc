//! `walpost webhooks list`, `show` and `attempts`: what JetStream holds of endpoints.

use std::io::Write;

use comfy_table::Table;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AttemptsArgs, WebhooksListArgs, WebhooksShowArgs, endpoints, find, refused, store};
use crate::{
    cli::{Exit, Failure, OutputFormat, console::Console, runtime},
    config::{Problem, RefusedRow, WorkerConfig, visible::visible},
    webhooks::{Endpoint, LoggedAttempt, Record, Store},
};

/// How many open events are shown to people.
const MOST_SHOWN: usize = 20;

/// Lists the endpoints.
pub(super) fn list(args: &WebhooksListArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let (listing, last, records) = runtime::block_on(async {
        let listing = endpoints(config).await?;
        let store = store(config).await?;
        let mut records = Vec::new();
        for endpoint in &listing.endpoints {
            records.push(record_of(&store, endpoint).await?);
        }
        Ok((listing, store.outbox().await.map_err(refused)?.last_sequence, records))
    })?;
    let all = listing.endpoints.iter().zip(&records);
    let text = match args.format {
        OutputFormat::Json => {
            let all = all.map(|(endpoint, record)| summary(endpoint, record.as_ref(), last));
            let all: Vec<_> = all.chain(listing.refused.iter().map(refusal)).collect();
            serde_json::to_string_pretty(&all).map_err(Failure::new)?
        }
        OutputFormat::Human => {
            let mut table = plain_table(&["endpoint", "url", "state", "behind", "open"]);
            for (endpoint, record) in all {
                let read = record.as_ref().map(|record| record.ledger.read);
                let behind = read.map_or("-".to_owned(), |read| last.saturating_sub(read).to_string());
                let open = record.as_ref().map_or("-".to_owned(), |record| record.ledger.open.len().to_string());
                let state = state(endpoint, record.as_ref());
                table.add_row([endpoint.name.to_string(), endpoint.target.to_string(), state, behind, open]);
            }
            for refused in &listing.refused {
                table.add_row([refused.name.as_str(), "-", "wrong, not served", "-", "-"]);
            }
            let mut text = trimmed(table);
            for refused in &listing.refused {
                text.push_str(&format!("\n\nThe row {} of the table is no endpoint:", refused.name));
                for problem in &refused.problems {
                    let hint = problem.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                    text.push_str(&format!("\n  {}{hint}", problem.text()));
                }
            }
            text
        }
    };
    writeln!(console.out(), "{text}")?;
    Ok(Exit::Done)
}

/// Shows one endpoint.
pub(super) fn show(args: &WebhooksShowArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let (endpoint, last, record) = runtime::block_on(async {
        let endpoint = find(config, &args.endpoint).await?;
        let store = store(config).await?;
        let record = record_of(&store, &endpoint).await?;
        Ok((endpoint, store.outbox().await.map_err(refused)?.last_sequence, record))
    })?;
    let (endpoint, record) = (&*endpoint, record.as_ref());
    let text = match args.format {
        OutputFormat::Json => {
            let open = record.map_or(&[][..], |record| &record.ledger.open[..]);
            let open: Vec<_> = open
                .iter()
                .map(|open| json!({ "sequence": open.0, "failed_attempts": open.1, "due": time(open.2) }))
                .collect();
            let mut all = summary(endpoint, record, last);
            if let Value::Object(all) = &mut all {
                all.insert("events".to_owned(), open.into());
            }
            serde_json::to_string_pretty(&all).map_err(Failure::new)?
        }
        OutputFormat::Human => page(endpoint, record, last),
    };
    writeln!(console.out(), "{text}")?;
    Ok(Exit::Done)
}

/// Lists the dead letters of an endpoint.
pub(super) fn dead(args: &WebhooksShowArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let letters = runtime::block_on(async {
        let endpoint = find(config, &args.endpoint).await?;
        store(config).await?.letters(&endpoint.name).await.map_err(refused)
    })?;
    let text = match args.format {
        OutputFormat::Json => serde_json::to_string_pretty(&letters).map_err(Failure::new)?,
        OutputFormat::Human => {
            let mut table = plain_table(&["event", "type", "aggregate", "reason", "attempts", "dead at"]);
            for letter in letters {
                let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let (attempts, at) = (letter.attempts.to_string(), time(letter.at_ms).unwrap_or_default());
                let (event, kind) = (or_nothing(letter.event), or_nothing(letter.event_type));
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

async fn record_of(store: &Store, endpoint: &Endpoint) -> Result<Option<Record>, Failure> {
    Ok(store.record(&endpoint.name).await.map_err(refused)?.map(|written| written.value))
}

fn attempts_table(found: &[LoggedAttempt]) -> String {
    let mut table = plain_table(&["endpoint", "at", "attempt", "outcome", "status", "ms", "next"]);
    for attempt in found {
        let next = match (attempt.next_ms, attempt.dead) {
            (Some(next), _) => time(next).unwrap_or_default(),
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

/// How an endpoint stands, in a few words.
fn state(endpoint: &Endpoint, record: Option<&Record>) -> String {
    match record {
        _ if !endpoint.is_enabled => "not served (enabled = false)".to_owned(),
        None => "not begun".to_owned(),
        Some(Record { disabled: Some(disabled), .. }) => format!("disabled: {}", disabled.by.words()),
        Some(Record { owner: None, .. }) => "nobody delivers".to_owned(),
        Some(Record { failing_since_ms: Some(since), .. }) => {
            format!("failing since {}", time(*since).unwrap_or_default())
        }
        Some(_) => "delivering".to_owned(),
    }
}

fn summary(endpoint: &Endpoint, record: Option<&Record>, last: u64) -> Value {
    json!({
        "endpoint": endpoint.name.as_str(),
        "url": endpoint.target.to_string(),
        "enabled": endpoint.is_enabled,
        "state": state(endpoint, record),
        "disabled": record.and_then(|record| record.disabled.as_ref()),
        "owner": record.and_then(|record| record.owner.as_deref()),
        "failing_since": record.and_then(|record| record.failing_since_ms).and_then(time),
        "read": record.map(|record| record.ledger.read),
        "last_sequence": last,
        "open": record.map(|record| record.ledger.open.len()),
    })
}

/// A row that is no endpoint.
fn refusal(refused: &RefusedRow) -> Value {
    json!({
        "endpoint": refused.name,
        "state": "wrong, not served",
        "problems": refused.problems.iter().map(Problem::text).collect::<Vec<_>>(),
    })
}

fn page(endpoint: &Endpoint, record: Option<&Record>, last: u64) -> String {
    let mut text =
        format!("endpoint  {}\nurl       {}\nstate     {}\n", endpoint.name, endpoint.target, state(endpoint, record));
    text.push_str(&format!("subjects  {}\n", endpoint.subjects.join(", ")));
    let Some(record) = record else { return text.trim_end().to_owned() };
    let read = record.ledger.read;
    text.push_str(&format!("read      {read} of {last}\nopen      {}\n", record.ledger.open.len()));
    if record.ledger.open.is_empty() {
        return text.trim_end().to_owned();
    }
    let mut table = plain_table(&["sequence", "failed", "due"]);
    for open in record.ledger.open.iter().take(MOST_SHOWN) {
        let due = if open.2 == 0 { "on its way".to_owned() } else { time(open.2).unwrap_or_default() };
        table.add_row([open.0.to_string(), open.1.to_string(), due]);
    }
    text.push_str(&format!("\n{}", trimmed(table)));
    if let Some(more) = record.ledger.open.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
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

/// A moment in RFC 3339.
fn time(ms: u64) -> Option<String> {
    let seconds = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(seconds.to_string())
}
