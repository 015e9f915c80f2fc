//! How an endpoint stands, as `walpost webhooks list` and `show` and `walpost status` tell it; pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    endpoint::Endpoint,
    ledger::Ordering,
    store::{Disabled, EndpointLook, Look, Record},
};
use crate::config::{Problem, RefusedRow};

/// An owner writes several times in a lease. One that wrote nothing for so many has gone, and nobody has come.
const SILENT_LEASES: u32 = 2;

/// How an endpoint stands. Its fields by their names are part of the public interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub endpoint: String,
    /// Where it is, without path and query.
    pub url: String,
    /// Whether the order of each aggregate is kept.
    pub ordering: Ordering,
    /// Whether it is to be served at all.
    pub enabled: bool,
    /// What matters most, in a few words.
    pub state: String,
    /// What kind of state that is.
    #[serde(skip)]
    pub condition: Condition,
    /// Since when nothing is sent, and who decided so.
    pub disabled: Option<Disabled>,
    /// The instance that delivers, or did last.
    pub owner: Option<String>,
    /// Since when there was no success.
    pub failing_since: Option<String>,
    /// Up to which sequence the stream is read.
    pub read: Option<u64>,
    /// The last sequence of the stream.
    pub last_sequence: u64,
    /// How many messages stand from the first one on that it wants and has not read.
    pub behind: Option<u64>,
    /// How many events are read and neither delivered nor dead letters.
    pub open: Option<usize>,
    /// How long ago the oldest event was stored that is neither delivered nor a dead letter.
    pub oldest_seconds: Option<f64>,
    /// When the first event that failed is due again.
    pub next_attempt: Option<String>,
    /// How many dead letters it has.
    pub dead_letters: u64,
}

/// What kind of state an endpoint is in; the worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Somebody delivers.
    Delivering,
    /// It is not to be served.
    NotServed,
    /// Nobody has served it yet.
    NotBegun,
    /// Somebody delivers, and it takes nothing.
    Failing,
    /// Nothing is sent before somebody enables it.
    Disabled,
    /// It is to be served, and nobody does.
    Unserved,
}

/// A row of the table that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedStanding {
    /// Its name.
    pub endpoint: String,
    /// That it is not served.
    pub state: &'static str,
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
}

impl Standing {
    /// Of each of these endpoints, which were looked at in this order, at this time. An owner that says nothing for longer
    /// than `lease` loses its endpoint.
    pub fn all<'a>(
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
        look: &Look,
        lease: Duration,
        now: Timestamp,
    ) -> Vec<Self> {
        let last = look.outbox.last_sequence;
        endpoints
            .into_iter()
            .zip(&look.endpoints)
            .map(|(endpoint, seen)| Self::of(endpoint, seen, last, lease, now))
            .collect()
    }

    fn of(endpoint: &Endpoint, look: &EndpointLook, last_sequence: u64, lease: Duration, now: Timestamp) -> Self {
        let record = look.record.as_ref();
        let is_silent = since(look.written_ms, now) > lease * SILENT_LEASES;
        let condition = condition(endpoint, record, is_silent);
        // Those that failed and are not on their way; nothing is due while it is disabled.
        let served = record.filter(|record| record.disabled.is_none());
        let failed = served.iter().flat_map(|record| &record.ledger.open).filter(|open| open.1 > 0 && open.2 > 0);
        Self {
            endpoint: endpoint.name.to_string(),
            url: endpoint.target.to_string(),
            ordering: endpoint.ordering,
            enabled: endpoint.is_enabled,
            state: words(condition, record),
            condition,
            disabled: record.and_then(|record| record.disabled.clone()),
            owner: record.and_then(|record| record.owner.clone()),
            failing_since: record.and_then(|record| record.failing_since_ms).and_then(moment),
            read: record.map(|record| record.ledger.read),
            last_sequence,
            behind: record
                .map(|_| look.first_unread.map_or(0, |first| last_sequence.saturating_add(1).saturating_sub(first))),
            open: record.map(|record| record.ledger.open.len()),
            oldest_seconds: look.oldest.map(|oldest| since(oldest.at_ms, now).as_secs_f64()),
            next_attempt: failed.map(|open| open.2).min().and_then(moment),
            dead_letters: look.dead,
        }
    }
}

impl From<&RefusedRow> for RefusedStanding {
    fn from(row: &RefusedRow) -> Self {
        let problems = row.problems.iter().map(Problem::text).map(str::to_owned).collect();
        Self { endpoint: row.name.clone(), state: "wrong, not served", problems }
    }
}

fn condition(endpoint: &Endpoint, record: Option<&Record>, is_silent: bool) -> Condition {
    match record {
        _ if !endpoint.is_enabled => Condition::NotServed,
        None => Condition::NotBegun,
        Some(Record { disabled: Some(_), .. }) => Condition::Disabled,
        Some(Record { owner: None, .. }) => Condition::Unserved,
        Some(_) if is_silent => Condition::Unserved,
        Some(Record { failing_since_ms: Some(_), .. }) => Condition::Failing,
        Some(_) => Condition::Delivering,
    }
}

fn words(condition: Condition, record: Option<&Record>) -> String {
    let text = match condition {
        Condition::Delivering => "delivering",
        Condition::NotServed => "not served (enabled = false)",
        Condition::NotBegun => "not begun",
        Condition::Unserved => "nobody delivers",
        Condition::Failing => {
            let since = record.and_then(|record| record.failing_since_ms).and_then(moment);
            return format!("failing since {}", since.unwrap_or_default());
        }
        Condition::Disabled => {
            let disabled = record.and_then(|record| record.disabled.as_ref());
            return format!("disabled: {}", disabled.map_or("", |disabled| disabled.by.words()));
        }
    };
    text.to_owned()
}

/// How long ago a moment was, which is given in milliseconds since 1970.
fn since(ms: u64, now: Timestamp) -> Duration {
    let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Duration::from_millis(now.saturating_sub(ms))
}

/// A moment in RFC 3339, which is given in milliseconds since 1970.
pub fn moment(ms: u64) -> Option<String> {
    Some(Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?.to_string())
}
