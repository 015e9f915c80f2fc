//! One attempt: fetch the event if it is not at hand, send it, judge the answer, and bury it if that was the last.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::Worker;
use crate::webhooks::{
    compose::compose,
    event::Event,
    store::{DeadLetter, LoggedAttempt, StoreError},
    verdict::{Outcome, Verdict, judge},
};

/// What a dead letter says of an event that the stream does not hold any more.
const NOT_THERE: &str = "not_in_stream";
/// How long to wait before trying again to store a dead letter.
const PAUSE: Duration = Duration::from_secs(1);

/// What came of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempted {
    /// The event.
    pub(super) sequence: u64,
    /// What follows.
    pub(super) result: Follows,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Follows {
    /// It is delivered.
    Delivered,
    /// It failed, and is due again.
    Failed {
        /// When, in milliseconds since 1970.
        due_ms: u64,
    },
    /// It failed for the last time; a dead letter is stored.
    Dead,
    /// The endpoint wants nothing any more.
    Gone,
    /// The event could not be read.
    NotTried,
}

/// Makes an attempt, `failed` of which came to nothing before.
pub(super) async fn attempt(worker: Arc<Worker>, sequence: u64, failed: u32, at_hand: Option<Event>) -> Attempted {
    let event = match at_hand {
        Some(event) => Some(event),
        None => match find(&worker, sequence).await {
            Ok(event) => event,
            Err(_) => return Attempted { sequence, result: Follows::NotTried },
        },
    };
    let Some(event) = event else {
        bury(&worker, sequence, None, failed, NOT_THERE).await;
        return Attempted { sequence, result: Follows::Dead };
    };
    let result = tried(&worker, &event, failed).await;
    Attempted { sequence, result }
}

/// The event as the stream has it, or a dead letter of it.
pub(super) async fn find(worker: &Worker, sequence: u64) -> Result<Option<Event>, StoreError> {
    match worker.store.event(sequence).await? {
        Some(event) => Ok(Some(event)),
        None => worker.store.buried(&worker.endpoint.name, sequence).await,
    }
}

async fn tried(worker: &Worker, event: &Event, failed: u32) -> Follows {
    let (at, began) = (Timestamp::now(), Instant::now());
    let delivery = compose(&worker.endpoint, event, &worker.stream, failed.saturating_add(1), at);
    let outcome = worker.client.post(&delivery).await;
    let took = began.elapsed();
    worker.stats.attempted(outcome.class(), took);
    let attempts = failed.saturating_add(1);
    let result = match judge(&outcome) {
        Verdict::Settle => Follows::Delivered,
        Verdict::Disable => Follows::Gone,
        Verdict::Retry { not_before } => {
            match worker.endpoint.schedule.pause(attempts, not_before, dice(event, attempts)) {
                Some(pause) => Follows::Failed { due_ms: now_ms().saturating_add(millis(pause)) },
                None => Follows::Dead,
            }
        }
    };
    let due_ms = if let Follows::Failed { due_ms } = result { Some(due_ms) } else { None };
    let line = LoggedAttempt {
        endpoint: worker.endpoint.name.to_string(),
        event: event.id.clone(),
        sequence: event.sequence,
        attempt: attempts,
        at: at.to_string(),
        outcome: outcome.class().name().to_owned(),
        status: outcome.status(),
        ms: millis(took),
        next_ms: due_ms,
        dead: matches!(result, Follows::Dead),
    };
    worker.store.log_attempt(&worker.endpoint.name, &line).await;
    if !matches!(result, Follows::Delivered) {
        told(worker, event, &outcome, attempts, result);
    }
    if matches!(result, Follows::Dead) {
        bury(worker, event.sequence, Some(event), attempts, outcome.class().name()).await;
    }
    result
}

fn told(worker: &Worker, event: &Event, outcome: &Outcome, attempt: u32, result: Follows) {
    let (endpoint, sequence, status) = (&worker.endpoint.name, event.sequence, outcome.status());
    let outcome = outcome.class().name();
    match result {
        Follows::Dead => {
            tracing::warn!(%endpoint, sequence, attempt, outcome, status, "an event was tried for the last time; it becomes a dead letter");
        }
        _ => tracing::debug!(%endpoint, sequence, attempt, outcome, status, "an attempt failed"),
    }
}

/// Stores a dead letter, however long that takes: before it is stored, the event is not settled.
async fn bury(worker: &Worker, sequence: u64, event: Option<&Event>, attempts: u32, reason: &'static str) {
    let letter = DeadLetter { sequence, event, attempts, reason, at_ms: now_ms() };
    while let Err(error) = worker.store.bury(&worker.endpoint.name, &letter).await {
        tracing::warn!(endpoint = %worker.endpoint.name, sequence, %error, "a dead letter is not stored yet");
        sleep(PAUSE).await;
    }
    worker.stats.buried();
}

/// A number in `0.0..1.0` that another event, or another attempt, does not share.
fn dice(event: &Event, attempt: u32) -> f64 {
    let mixed = (event.sequence ^ u64::from(attempt) << 48).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    f64::from(u32::try_from(mixed >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Now, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
