//! How each endpoint stands, and whether it can get anything.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::all_or;
use crate::{
    doctor::{check::Check, finding::Finding},
    publish::StreamSeen,
    survey::{Way, WebhooksSide},
    webhooks::{Condition, Endpoint, Outcome, Standing, filters_overlap},
    words::{grouped, span},
};

/// An endpoint that has failed for so long does not mend itself in a moment.
const FAILING: Duration = Duration::from_secs(5 * 60);

pub(super) fn judge(
    side: &WebhooksSide,
    endpoints: &[Arc<Endpoint>],
    outbox: Option<&StreamSeen>,
    findings: &mut Vec<Finding>,
) {
    if let Err(silence) = &side.kept.look {
        findings.push(Finding::silent(Check::WEBHOOKS_ENDPOINTS, silence));
    } else {
        let standings = side.standings();
        let mut troubled: Vec<_> = standings.iter().filter_map(|standing| troubled(standing, side.at)).collect();
        troubled.extend(strangers(side));
        findings.extend(all_or(Check::WEBHOOKS_ENDPOINTS, summary(&standings), troubled));
        let dead = standings.iter().filter(|standing| standing.dead_letters > 0).map(dead).collect();
        findings.extend(all_or(Check::WEBHOOKS_DEAD_LETTERS, "none", dead));
    }
    if let Some(outbox) = outbox {
        let deaf = endpoints.iter().filter_map(|endpoint| deaf(endpoint, &outbox.config.subjects)).collect();
        findings.extend(all_or(Check::WEBHOOKS_SUBJECTS, "each is among those that the stream takes", deaf));
    }
    let lost = side.ways.iter().filter_map(lost).collect();
    let found =
        if side.ways.is_empty() { "none to look up".to_owned() } else { format!("{} looked up", side.ways.len()) };
    findings.extend(all_or(Check::WEBHOOKS_ADDRESSES, found, lost));
}

fn summary(standings: &[Standing]) -> String {
    let count = |condition| standings.iter().filter(|standing| standing.condition == condition).count();
    let told = [
        (Condition::Delivering, "delivering"),
        (Condition::NotServed, "not enabled"),
        (Condition::NotBegun, "not begun"),
    ];
    let parts = told.map(|(condition, word)| (count(condition), word)).into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// An endpoint that gets nothing.
fn troubled(standing: &Standing, now: Timestamp) -> Option<Finding> {
    let Standing { endpoint, state, .. } = standing;
    let waiting = standing.oldest_seconds.map_or_else(String::new, |age| {
        format!("; events wait for it, the oldest for {}", span(Duration::from_secs_f64(age)))
    });
    let remedy = match standing.condition {
        Condition::Delivering | Condition::NotServed | Condition::NotBegun => return None,
        Condition::Failing if !has_failed_long(standing, now) => return None,
        Condition::Failing => format!(
            "see what comes of `walpost webhooks test {endpoint}`, and let whoever runs the endpoint mend it \
             (docs/runbook.md#walpostwebhookfails)"
        ),
        Condition::Disabled => {
            format!("mend what `walpost webhooks test {endpoint}` finds, then run `walpost webhooks enable {endpoint}`")
        }
        Condition::Unserved => {
            "start `walpost webhooks run`, or see why those that run are not ready: `/ready`, and their logs".to_owned()
        }
    };
    Some(Finding::warning(Check::WEBHOOKS_ENDPOINTS, format!("{endpoint}: {state}{waiting}"), remedy))
}

/// Endpoints that stand in another stream of the same name.
fn strangers(side: &WebhooksSide) -> Vec<Finding> {
    let (Ok(listing), Ok(look), Ok([state, _])) = (&side.listing, &side.kept.look, &side.kept.streams) else {
        return Vec::new();
    };
    let seen = listing.endpoints.iter().zip(&look.endpoints);
    let strange = seen.filter(|(_, seen)| seen.is_strange);
    let told = |(endpoint, _): (&Arc<Endpoint>, _)| {
        let name = &endpoint.name;
        let subjects = state.plan.subjects.first().map(|subject| subject.trim_end_matches('>')).unwrap_or_default();
        Finding::critical(
            Check::WEBHOOKS_ENDPOINTS,
            format!("{name}: the outbox stream was made anew, and where the endpoint stands means nothing in it"),
            format!(
                "to let it begin anew, stop the workers and run `nats stream purge {} --subject={subjects}state.{name} --force`",
                state.plan.name
            ),
        )
    };
    strange.map(told).collect()
}

fn has_failed_long(standing: &Standing, now: Timestamp) -> bool {
    let since = standing.failing_since.as_deref().and_then(|since| since.parse::<Timestamp>().ok());
    since.is_some_and(|since| now.duration_since(since).unsigned_abs() >= FAILING)
}

fn dead(standing: &Standing) -> Finding {
    let Standing { endpoint, dead_letters: count, .. } = standing;
    let plural = if *count == 1 { "" } else { "s" };
    Finding::warning(
        Check::WEBHOOKS_DEAD_LETTERS,
        format!("{endpoint}: {} dead letter{plural}", grouped(*count)),
        format!(
            "see why with `walpost webhooks dead {endpoint}`, mend the endpoint, and have them sent again: \
             `walpost webhooks replay {endpoint} --all`; what nobody needs is given up by `walpost webhooks discard`"
        ),
    )
}

/// An endpoint that waits for what never comes.
fn deaf(endpoint: &Endpoint, taken: &[String]) -> Option<Finding> {
    let is_heard = |wanted: &&String| taken.iter().any(|taken| filters_overlap(taken, wanted));
    let (heard, unheard): (Vec<_>, Vec<_>) = endpoint.subjects.iter().partition(is_heard);
    let first = unheard.first()?;
    let all = if heard.is_empty() { ", and so nothing comes to it" } else { "" };
    Some(Finding::warning(
        Check::WEBHOOKS_SUBJECTS,
        format!("{}: the stream takes nothing that is {first}{all}", endpoint.name),
        format!("correct `subjects` of the endpoint: the stream takes {}", taken.join(", ")),
    ))
}

/// An endpoint that cannot be found, or must not be.
fn lost(Way { endpoint, url, trouble }: &Way) -> Option<Finding> {
    let trouble = match trouble {
        Ok(trouble) => trouble.as_ref()?,
        Err(silence) => return Some(Finding::silent(Check::WEBHOOKS_ADDRESSES, silence)),
    };
    let (found, remedy) = match trouble {
        Outcome::AddressRefused => (
            "leads to no address that may be connected to",
            "correct `url` of the endpoint; if that network is your own, and endpoints may be in it, add it to \
             `webhooks.allow_addresses`",
        ),
        _ => ("cannot be resolved here", "correct `url` of the endpoint, or the resolver of this host"),
    };
    Some(Finding::warning(Check::WEBHOOKS_ADDRESSES, format!("{endpoint}: {url} {found}"), remedy))
}
