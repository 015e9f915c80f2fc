//! `walpost status`: how delivery stands, at a glance.

use std::{cmp::Reverse, io::Write, time::Duration};

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Failure, OutputFormat,
    console::{Console, Ink, Stream},
    runtime,
};
use crate::{
    config::{Config, visible::visible},
    lsn::Lsn,
    plan::Plan,
    status::{Status, Unanswered, Webhooks},
    survey::{Patience, Scope, Survey},
    webhooks::{Condition, Ordering, Standing},
    words::{bytes, grouped, span},
};

/// How long between two looks: long enough for a rate, short enough to watch.
const INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of `walpost status`.
#[derive(Debug, Args)]
#[command(after_help = "\
It asks Postgres, NATS, and the admin port of the walpost on this host, if there is one: only that
knows what was received and published. The exit code is 0 if events are delivered, 1 if not.")]
pub struct StatusArgs {
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
    /// Look again every second, in place, until interrupted.
    #[arg(long)]
    pub watch: bool,
}

/// Looks, and tells.
pub(super) fn run(args: &StatusArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    let plan = Plan::new(config);
    runtime::block_on(async {
        let first = look(&plan, config, None).await;
        if args.watch {
            let stop = runtime::stop_on_signal()?;
            return watch(args, (&plan, config), first, console, &stop).await;
        }
        let begun = Instant::now();
        sleep(INTERVAL).await;
        let status = look(&plan, config, Some((&first, begun))).await;
        show(args, &status, console.out())?;
        Ok(if status.delivering { Exit::Done } else { Exit::Failed })
    })
}

async fn look(plan: &Plan, config: &Config, earlier: Option<(&Status, Instant)>) -> Status {
    let survey = Box::pin(Survey::of(plan, config, Scope::Glance, Patience::default())).await;
    Status::of(plan, &survey, earlier.map(|(status, begun)| (status, begun.elapsed())))
}

/// Looks again and again. On a terminal each look takes the place of the one before; elsewhere they follow each other.
async fn watch(
    args: &StatusArgs,
    (plan, config): (&Plan, &Config),
    mut status: Status,
    console: &mut Console,
    stop: &CancellationToken,
) -> Result<Exit, Failure> {
    let is_live = console.out().is_terminal() && args.format == OutputFormat::Human;
    let mut drawn = 0;
    loop {
        let begun = Instant::now();
        if is_live {
            drawn = draw(&status, drawn, console.out())?;
        } else {
            show(args, &status, console.out())?;
        }
        let next = async {
            sleep(INTERVAL).await;
            look(plan, config, Some((&status, begun))).await
        };
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(if status.delivering { Exit::Done } else { Exit::Failed }),
            next = next => next,
        };
        status = next;
    }
}

/// Draws over the lines that were drawn before; how many there are now. A line that is too long for the terminal is cut, so
/// that each takes one.
fn draw(status: &Status, drawn: usize, out: &mut Stream) -> Result<usize, Failure> {
    let width = out.width().saturating_sub(1);
    let lines = lines(status);
    let mut text = if drawn > 0 { format!("\x1b[{drawn}A") } else { String::new() };
    for line in &lines {
        text.push_str(&format!("\r\x1b[2K{}\n", line.rendered(width, out)));
    }
    text.push_str("\x1b[0J");
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(lines.len())
}

fn show(args: &StatusArgs, status: &Status, out: &mut Stream) -> Result<(), Failure> {
    let text = match (args.format, args.watch) {
        (OutputFormat::Human, _) => {
            lines(status).iter().map(|line| line.rendered(usize::MAX, out) + "\n").collect::<String>()
        }
        // One look is one line, for whoever reads them as they come.
        (OutputFormat::Json, true) => serde_json::to_string(status).map_err(Failure::new)? + "\n",
        (OutputFormat::Json, false) => serde_json::to_string_pretty(status).map_err(Failure::new)? + "\n",
    };
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A line of the table.
struct Line {
    label: &'static str,
    ink: Ink,
    text: String,
}

impl Line {
    fn new(label: &'static str, text: impl Into<String>) -> Self {
        Self::inked(label, Ink::Plain, text)
    }

    fn inked(label: &'static str, ink: Ink, text: impl Into<String>) -> Self {
        Self { label, ink, text: text.into() }
    }

    /// The line with at most `width` characters; what others wrote cannot move the cursor.
    fn rendered(&self, width: usize, out: &Stream) -> String {
        let label = format!("{:<LABEL$}", self.label);
        let room = width.saturating_sub(LABEL);
        let text: String = self.text.chars().flat_map(visible).take(room).collect();
        format!("{}{}", out.paint(Ink::Strong, label), out.paint(self.ink, text)).trim_end().to_owned()
    }
}

/// How wide the labels are, with the gap behind them.
const LABEL: usize = 12;

/// Everything that there is to say, the state first.
fn lines(status: &Status) -> Vec<Line> {
    let mut lines = vec![state(status)];
    lines.extend(status.leader.is_some().then(|| leader(status)));
    lines.extend(positions(status));
    lines.push(rate(status));
    lines.extend(slot(status));
    lines.extend(stream(status));
    lines.extend(outbox(status));
    lines.extend(status.webhooks.iter().flat_map(webhooks));
    lines.extend(trouble(status));
    lines.extend(status.errors.iter().flat_map(unanswered));
    lines
}

fn state(status: &Status) -> Line {
    let mode = status.mode.map_or_else(String::new, |mode| format!(", {mode} mode"));
    match (&status.leader, status.delivering) {
        (Some(_), true) => Line::inked("state", Ink::Good, format!("delivering{mode}")),
        (Some(_), false) => Line::inked("state", Ink::Error, format!("not delivering{mode}")),
        (None, _) if status.slot.is_some() => {
            Line::inked("state", Ink::Error, "not delivering: nobody reads from the slot")
        }
        (None, _) if status.errors.iter().any(|error| error.side == "postgres") => {
            Line::inked("state", Ink::Error, "not known: Postgres cannot be asked")
        }
        (None, _) => Line::inked("state", Ink::Error, "not delivering: there is no slot"),
    }
}

fn leader(status: &Status) -> Line {
    let Some(leader) = &status.leader else { return Line::new("leader", "nobody") };
    let name = leader.application_name.as_deref().unwrap_or("nameless");
    let from = leader.address.as_deref().map_or_else(String::new, |address| format!(" from {address}"));
    let since = leader.seconds.map_or_else(String::new, |seconds| format!(", for {}", span_of(seconds)));
    let phase = status.service.as_ref().and_then(|service| service.get("phase")?.as_str());
    let here = phase.map_or_else(String::new, |phase| format!("; the walpost on this host: {phase}"));
    Line::new("leader", format!("{name}{from}, pid {}{since}{here}", leader.pid))
}

/// A line for each position, and how far it is behind.
fn positions(status: &Status) -> Vec<Line> {
    let (lsn, lag) = (&status.lsn, &status.lag);
    let row = |label, position: Option<Lsn>, behind: String| {
        let position = position.map_or_else(|| "-".to_owned(), |lsn| lsn.to_string());
        Line::new(label, format!("{position:<18} {behind}").trim_end())
    };
    let behind = |amount: Option<u64>| amount.map_or_else(String::new, |amount| format!("{} behind", bytes(amount)));
    let published = lsn.server.zip(lsn.published).map(|(server, published)| server.bytes_since(published));
    let waiting = match (lag.seconds, status.outbox.pending) {
        (Some(seconds), _) if seconds >= 0.001 => format!(", the oldest event waits for {}", short(seconds)),
        (Some(_), _) => ", no event waits".to_owned(),
        (None, _) => String::new(),
    };
    vec![
        row("server", lsn.server, "end of the log".to_owned()),
        row("received", lsn.received, behind(lag.received_bytes)),
        // An idle outbox leaves it behind for ever: that is no lag.
        row(
            "published",
            lsn.published,
            published.map_or_else(String::new, |amount| format!("last event, {} ago", bytes(amount))),
        ),
        row("confirmed", lsn.confirmed, behind(lag.confirmed_bytes) + &waiting),
    ]
}

fn rate(status: &Status) -> Line {
    let events = status.rate.events_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0} events/s"));
    let held = match status.rate.confirmed_bytes_per_second {
        Some(rate) if rate >= 1024.0 => format!(", what is not confirmed grows by {}/s", bytes(whole(rate))),
        Some(rate) if rate <= -1024.0 => format!(", catching up by {}/s", bytes(whole(-rate))),
        _ => String::new(),
    };
    Line::new("rate", events + &held)
}

fn slot(status: &Status) -> Option<Line> {
    let slot = status.slot.as_ref()?;
    let state = slot.wal_status.as_deref().unwrap_or("no log kept");
    let held = slot.retained_bytes.map_or_else(String::new, |held| format!(", {} held back", bytes(held)));
    let safe = slot.safe_bytes.map_or_else(String::new, |safe| {
        format!(", lost after {} more", bytes(u64::try_from(safe).unwrap_or_default()))
    });
    let mark = slot.watermark_seconds.map_or_else(String::new, |age| format!(", watermark {} old", short(age)));
    let ink = match state {
        "lost" | "unreserved" => Ink::Error,
        "extended" => Ink::Warning,
        _ => Ink::Plain,
    };
    Some(Line::inked("slot", ink, format!("{}, {state}{held}{safe}{mark}", slot.name)))
}

fn stream(status: &Status) -> Option<Line> {
    let stream = status.stream.as_ref()?;
    let plural = if stream.replicas == 1 { "" } else { "s" };
    let behind = match stream.replicas_behind {
        0 => String::new(),
        count => format!(" ({count} not up to date)"),
    };
    let leader = stream.leader.as_deref().map_or_else(String::new, |leader| format!(", led by {leader}"));
    let text = format!(
        "{}, {} messages, {}, up to sequence {}, {} replica{plural}{behind}{leader}",
        stream.name,
        grouped(stream.messages),
        bytes(stream.bytes),
        stream.last_sequence,
        stream.replicas
    );
    Some(Line::inked("stream", if stream.replicas_behind > 0 { Ink::Warning } else { Ink::Plain }, text))
}

fn outbox(status: &Status) -> Option<Line> {
    let in_stream = status.stream.as_ref().and_then(|stream| stream.dead_letters);
    let pending = status.outbox.pending.map(|count| {
        let oldest =
            status.outbox.oldest_seconds.map_or_else(String::new, |age| format!(", the oldest for {}", short(age)));
        format!("{} pending{oldest}", grouped(count))
    });
    let dead = match (status.outbox.dead, in_stream) {
        (Some(dead), _) => Some(format!("{} dead and undecided", grouped(dead))),
        (None, Some(dead)) => Some(format!("{} dead letters", grouped(dead))),
        (None, None) => None,
    };
    let parts: Vec<_> = [pending, dead].into_iter().flatten().collect();
    let is_dead = status.outbox.dead.or(in_stream).is_some_and(|dead| dead > 0);
    let ink = if is_dead { Ink::Warning } else { Ink::Plain };
    (!parts.is_empty()).then(|| Line::inked("outbox", ink, parts.join(", ")))
}

/// A line for each endpoint, the worst first.
fn webhooks(webhooks: &Webhooks) -> Vec<Line> {
    let mut endpoints: Vec<&Standing> = webhooks.endpoints.iter().collect();
    endpoints.sort_by_key(|endpoint| Reverse(endpoint.condition));
    let refused = webhooks.refused.iter();
    let refused =
        refused.map(|row| (Ink::Error, format!("{}: {}, {}", row.endpoint, row.state, row.problems.join("; "))));
    let all: Vec<_> = refused.chain(endpoints.into_iter().map(endpoint)).collect();
    let more = all.len().checked_sub(MOST_ENDPOINTS).filter(|more| *more > 0);
    let more = more.map(|more| (Ink::Plain, format!("and {more} more: `walpost webhooks list`")));
    let shown = all.into_iter().take(MOST_ENDPOINTS).chain(more).enumerate();
    shown.map(|(at, (ink, text))| Line::inked(if at == 0 { "webhooks" } else { "" }, ink, text)).collect()
}

/// How many endpoints are shown to people.
const MOST_ENDPOINTS: usize = 20;

fn endpoint(standing: &Standing) -> (Ink, String) {
    let Standing { endpoint, state, .. } = standing;
    let ordered = if standing.ordering == Ordering::Aggregate { ", ordered" } else { "" };
    let counts =
        standing.open.zip(standing.behind).map(|(open, behind)| format!(", {open} open, {} behind", grouped(behind)));
    let oldest = standing.oldest_seconds.map(|age| format!(", the oldest for {}", short(age)));
    let next = standing.next_attempt.as_ref().map(|at| format!(", next attempt {at}"));
    let dead =
        Some(standing.dead_letters).filter(|dead| *dead > 0).map(|dead| format!(", {} dead letters", grouped(dead)));
    let more: String = [counts, oldest, next, dead].into_iter().flatten().collect();
    let ink = match standing.condition {
        Condition::Unserved | Condition::Disabled => Ink::Error,
        Condition::Failing | Condition::NotBegun => Ink::Warning,
        Condition::Delivering | Condition::NotServed => Ink::Plain,
    };
    (ink, format!("{endpoint}: {state}{ordered}{more}"))
}

/// What the walpost on this host waits for.
fn trouble(status: &Status) -> Vec<Line> {
    let Some(trouble) = status.trouble() else { return Vec::new() };
    let text = |name: &str| trouble.get(name).and_then(Value::as_str).unwrap_or_default();
    let since = trouble.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let error = format!("{} {}, for {}", text("code"), text("cause"), span_of(since));
    let action = Some(text("action")).filter(|action| !action.is_empty());
    let remedy = action.map(|action| Line::inked("remedy", Ink::Hint, action));
    [Line::inked("error", Ink::Error, error)].into_iter().chain(remedy).collect()
}

fn unanswered(error: &Unanswered) -> Vec<Line> {
    let code = error.code.as_deref().map_or_else(String::new, |code| format!("{code} "));
    let told = Line::inked("error", Ink::Error, format!("{}: {code}{}", error.side, error.error));
    let remedy = error.remedy.as_deref().map(|remedy| Line::inked("remedy", Ink::Hint, remedy));
    [told].into_iter().chain(remedy).collect()
}

fn span_of(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Seconds with a digit behind the point as long as that says something.
fn short(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1} s") } else { span_of(seconds) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate, for people")]
fn whole(rate: f64) -> u64 {
    rate as u64
}
