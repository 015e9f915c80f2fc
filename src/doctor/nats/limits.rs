//! The stream's limits: room, age, sizes, and what happens at them.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy};

use super::server::{Fill, USUAL_BYTES, fill};
use crate::{
    code::Code,
    doctor::{check::Check, finding::Finding},
    plan::Plan,
    publish::{ServerSaid, StreamSeen},
    words::{bytes, grouped, span},
};

/// Consumers may be away for a weekend.
const SHORT_AGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// The broker's own default.
const USUAL_WINDOW: Duration = Duration::from_secs(120);

pub(super) fn judge(plan: &Plan, seen: &StreamSeen, server: &ServerSaid, findings: &mut Vec<Finding>) {
    let config = &seen.config;
    findings.push(discard(config));
    findings.push(room(seen));
    findings.push(age(config));
    findings.push(per_subject(config));
    findings.push(message_size(config, server));
    findings.push(window(config, seen.sharing(&plan.stream).is_some()));
}

/// A limit of the stream, which the server writes as -1 or 0 if there is none.
pub(in crate::doctor) fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|limit| *limit > 0)
}

/// What changes the stream.
pub(in crate::doctor) fn edit(config: &Config, change: &str) -> String {
    format!("run `nats stream edit {} {change} --force`", config.name)
}

fn discard(config: &Config) -> Finding {
    let is_limited = limit(config.max_bytes).is_some() || limit(config.max_messages).is_some();
    match (config.discard, is_limited) {
        (DiscardPolicy::New, _) => Finding::ok(Check::STREAM_DISCARD, "refuses new messages, so that they wait"),
        (DiscardPolicy::Old, false) => Finding::ok(Check::STREAM_DISCARD, "it has no limit to be full at"),
        (DiscardPolicy::Old, true) => Finding::warning(
            Check::STREAM_DISCARD,
            "when it is full it removes its oldest messages, read or not",
            edit(config, "--discard=new"),
        ),
    }
}

fn room(seen: &StreamSeen) -> Finding {
    let StreamSeen { config, messages, bytes: used, .. } = seen;
    let by_bytes = limit(config.max_bytes).map(|max| {
        (*used, max, format!("{} of {}", bytes(*used), bytes(max)), format!("--max-bytes={}", max.saturating_mul(2)))
    });
    let by_count = limit(config.max_messages).map(|max| {
        (
            *messages,
            max,
            format!("{} of {} messages", grouped(*messages), grouped(max)),
            format!("--max-msgs={}", max.saturating_mul(2)),
        )
    });
    let fullest = by_bytes.into_iter().chain(by_count).max_by_key(|(used, max, ..)| used.saturating_mul(1000) / max);
    let Some((used, max, found, change)) = fullest else {
        return Finding::ok(Check::STREAM_ROOM, format!("{}, no limit", bytes(*used)));
    };
    let remedy = format!("{}, or let it forget sooner (`--max-age`)", edit(config, &change));
    match (fill(used, max), config.discard) {
        (Fill::Roomy, _) => Finding::ok(Check::STREAM_ROOM, found),
        // What happens then is told by the check of it.
        (_, DiscardPolicy::Old) => Finding::ok(Check::STREAM_ROOM, found),
        (Fill::Filling, _) => Finding::warning(Check::STREAM_ROOM, found, remedy),
        (Fill::Full, _) => Finding::critical(Check::STREAM_ROOM, found, remedy).with_code(Code::STREAM_FULL),
    }
}

fn age(config: &Config) -> Finding {
    if config.max_age.is_zero() {
        return Finding::ok(Check::STREAM_AGE, "never");
    }
    if config.max_age < SHORT_AGE {
        return Finding::warning(
            Check::STREAM_AGE,
            format!("after {}", span(config.max_age)),
            edit(config, "--max-age=30d"),
        );
    }
    Finding::ok(Check::STREAM_AGE, format!("after {}", span(config.max_age)))
}

fn per_subject(config: &Config) -> Finding {
    match limit(config.max_messages_per_subject) {
        None => Finding::ok(Check::STREAM_PER_SUBJECT, "all"),
        Some(max) => Finding::warning(
            Check::STREAM_PER_SUBJECT,
            format!("it keeps only {} of each subject", grouped(max)),
            edit(config, "--max-msgs-per-subject=-1"),
        ),
    }
}

fn message_size(config: &Config, server: &ServerSaid) -> Finding {
    match limit(config.max_message_size.into()) {
        Some(max) if max < USUAL_BYTES && max < server.max_payload_bytes as u64 => Finding::warning(
            Check::STREAM_MESSAGE_SIZE,
            format!("it takes messages of {} at most", bytes(max)),
            edit(config, "--max-msg-size=-1"),
        ),
        Some(max) => Finding::ok(Check::STREAM_MESSAGE_SIZE, bytes(max)),
        None => Finding::ok(Check::STREAM_MESSAGE_SIZE, "as the server"),
    }
}

fn window(config: &Config, is_shared: bool) -> Finding {
    let found = span(config.duplicate_window);
    if is_shared && config.duplicate_window < USUAL_WINDOW {
        return Finding::warning(Check::STREAM_WINDOW, format!("{found} only"), edit(config, "--dupe-window=2m"));
    }
    Finding::ok(
        Check::STREAM_WINDOW,
        if is_shared { found } else { format!("{found}; order alone keeps repetitions out") },
    )
}
