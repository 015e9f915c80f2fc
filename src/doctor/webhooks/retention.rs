//! Whether the outbox stream keeps events for as long as endpoints may need.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::stream::DiscardPolicy;
use jiff::Timestamp;

use crate::{
    doctor::{
        check::Check,
        finding::Finding,
        nats::{
            limits::{edit, limit},
            server::{Fill, fill},
        },
    },
    publish::StreamSeen,
    webhooks::{Endpoint, EndpointLook, Look},
    words::{grouped, span},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What was lost for an endpoint, or will be.
pub(super) fn judge(endpoints: &[Arc<Endpoint>], look: &Look, outbox: &StreamSeen, now: Timestamp) -> Vec<Finding> {
    let mut wrong = Vec::new();
    for (endpoint, seen) in endpoints.iter().zip(&look.endpoints).filter(|(endpoint, _)| endpoint.is_enabled) {
        wrong.extend(gone(endpoint, seen, look.outbox.first_sequence, outbox));
        let soon = too_old(endpoint, seen, outbox, now)
            .or_else(|| pushed_out(endpoint, seen, look.outbox.first_sequence, outbox));
        wrong.extend(soon.or_else(|| too_short(endpoint, outbox)));
    }
    wrong
}

/// Events that wait, and are in the stream no more.
fn gone(endpoint: &Endpoint, seen: &EndpointLook, first: u64, outbox: &StreamSeen) -> Option<Finding> {
    let open = seen.record.iter().flat_map(|record| &record.ledger.open);
    let what = match open.filter(|open| open.0 < first).count() {
        0 => return None,
        1 => "one event that waits was".to_owned(),
        count => format!("{count} events that wait were"),
    };
    let found = format!("{}: {what} dropped by the stream, and cannot be delivered any more", endpoint.name);
    let remedy = if !outbox.config.max_age.is_zero() {
        keep_longer(outbox)
    } else if forgets_when_full(outbox) {
        edit(&outbox.config, "--discard=new")
    } else {
        "no limit of the stream did it: let nobody purge it (`nats stream purge`) while endpoints wait".to_owned()
    };
    let cause = "When they are due they become dead letters, without a copy of the event.";
    Some(Finding::critical(Check::WEBHOOKS_RETENTION, found, remedy).because(cause))
}

/// The oldest event grows too old for the stream before it is delivered.
fn too_old(endpoint: &Endpoint, seen: &EndpointLook, outbox: &StreamSeen, now: Timestamp) -> Option<Finding> {
    let (max_age, oldest) = (outbox.config.max_age, seen.oldest?);
    if max_age.is_zero() {
        return None;
    }
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let age = now.saturating_sub(oldest.at_ms);
    let of_oldest = seen.record.iter().flat_map(|record| &record.ledger.open).find(|open| open.0 == oldest.sequence);
    let is_late = of_oldest.is_some_and(|open| open.2 > oldest.at_ms.saturating_add(millis(max_age)));
    let found = format!(
        "{}: the oldest event that waits for it is {} old, and the stream drops it after {}{}",
        endpoint.name,
        span(Duration::from_millis(age)),
        span(max_age),
        if is_late { ", before it is tried again" } else { "" }
    );
    let remedy = format!("{}; webhooks.endpoints tells why it waits", keep_longer(outbox));
    match age.saturating_mul(100) / millis(max_age).max(1) {
        _ if is_late => Some(Finding::critical(Check::WEBHOOKS_RETENTION, found, remedy)),
        90.. => Some(Finding::critical(Check::WEBHOOKS_RETENTION, found, remedy)),
        50.. => Some(Finding::warning(Check::WEBHOOKS_RETENTION, found, remedy)),
        _ => None,
    }
}

/// New events push the oldest one out of a stream that is full.
fn pushed_out(endpoint: &Endpoint, seen: &EndpointLook, first: u64, outbox: &StreamSeen) -> Option<Finding> {
    let StreamSeen { config, messages, bytes, .. } = outbox;
    let fills = [(limit(config.max_bytes), *bytes), (limit(config.max_messages), *messages)];
    let is_full = fills.into_iter().any(|(max, used)| max.is_some_and(|max| fill(used, max) > Fill::Roomy));
    let before = seen.oldest?.sequence.saturating_sub(first);
    if !forgets_when_full(outbox) || !is_full || before > messages / 10 {
        return None;
    }
    let found = format!(
        "{}: the stream is full, and drops the oldest event that waits for it after {} others",
        endpoint.name,
        grouped(before)
    );
    Some(Finding::critical(Check::WEBHOOKS_RETENTION, found, edit(config, "--discard=new")))
}

/// An event that fails is dropped before its last attempt.
fn too_short(endpoint: &Endpoint, outbox: &StreamSeen) -> Option<Finding> {
    let (max_age, retries) = (outbox.config.max_age, endpoint.schedule.steps().iter().sum::<Duration>());
    let found = format!(
        "{}: its retries take {}, and the stream drops events after {}",
        endpoint.name,
        span(retries),
        span(max_age)
    );
    let is_short = !max_age.is_zero() && retries >= max_age;
    is_short.then(|| Finding::warning(Check::WEBHOOKS_RETENTION, found, keep_longer(outbox)))
}

fn forgets_when_full(StreamSeen { config, .. }: &StreamSeen) -> bool {
    let is_limited = limit(config.max_bytes).is_some() || limit(config.max_messages).is_some();
    config.discard == DiscardPolicy::Old && is_limited
}

/// Twice as long as now, and a month at least.
fn keep_longer(outbox: &StreamSeen) -> String {
    let days = (outbox.config.max_age.as_secs() * 2).div_ceil(DAY.as_secs()).max(30);
    edit(&outbox.config, &format!("--max-age={days}d"))
}
