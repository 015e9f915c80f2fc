//! The delivery status in the database, and what it says: rows that wait.

use std::time::Duration;

use super::provider::quoted;
use crate::{
    doctor::{check::Check, finding::Finding},
    plan::Plan,
    preflight::Facts,
    survey::{OutboxLag, PostgresAnswers},
    words::{grouped, span},
};

/// Rows that wait for so long are late.
const LATE: Duration = Duration::from_secs(60);
/// Rows that wait for so long are nobody's plan.
const STUCK: Duration = Duration::from_secs(15 * 60);

pub(super) fn judge(plan: &Plan, answers: &PostgresAnswers, findings: &mut Vec<Finding>) {
    if let Ok(facts) = &answers.facts {
        findings.push(kept(plan, facts));
    }
    findings.push(match &answers.outbox_lag {
        Ok(Some(lag)) => pending(lag),
        Ok(None) => Finding::ok(Check::PENDING, "not known before walpost has led"),
        // Nobody answered; a right would not help.
        Err(silence) if silence.code.is_none() => Finding::silent(Check::PENDING, silence),
        Err(silence) => {
            let view = plan.needs.mapping.table.beside("walpost_lag");
            let grant = format!("run `GRANT SELECT ON {view} TO {};`", quoted(plan.endpoint.user()));
            Finding { remedy: Some(grant), ..Finding::silent(Check::PENDING, silence) }
        }
    });
}

fn kept(plan: &Plan, facts: &Facts) -> Finding {
    let objects = &facts.status_objects;
    let table = &plan.needs.mapping.table;
    if facts.table.is_none() {
        return Finding::unknown(Check::STATUS, "there is no outbox table");
    }
    if !facts.has_xid() {
        return Finding::ok(Check::STATUS, format!("not kept: {table} has no column xid"));
    }
    let is_whole = objects.has_columns && objects.has_dead_letters && objects.has_view && objects.form.is_some();
    if !is_whole {
        let found = "the delivery status is not kept, or looks at another table than the outbox";
        return Finding::warning(Check::STATUS, found, "run `walpost setup`, which makes it, then restart walpost");
    }
    if !objects.may_use_dead_letters {
        let letters = plan.needs.dead_letters();
        let role = quoted(&facts.server.role);
        return Finding::warning(
            Check::STATUS,
            format!("role {} may not keep dead letters in {letters}", facts.server.role),
            format!("run `GRANT SELECT, INSERT, DELETE ON {letters} TO {role};`, then restart walpost"),
        );
    }
    Finding::ok(Check::STATUS, "kept")
}

fn pending(lag: &OutboxLag) -> Finding {
    let Some(pending) = lag.pending else { return Finding::ok(Check::PENDING, "not known yet") };
    let known = lag.known_for.map_or_else(String::new, |time| format!(", as of {} ago", span(time)));
    let more = if pending >= MOST_COUNTED { " or more" } else { "" };
    let count = format!("{}{more} pending", grouped(pending));
    match lag.oldest_for.filter(|_| pending > 0) {
        Some(age) if age >= LATE => {
            let found = format!("{count}, the oldest for {}", span(age));
            let remedy = "see what the other checks say of slot, stream and walpost; if all is well there, walpost is catching up, as \
                          `walpost status` shows";
            if age >= STUCK {
                Finding::critical(Check::PENDING, found, remedy)
            } else {
                Finding::warning(Check::PENDING, found, remedy)
            }
        }
        _ => Finding::ok(Check::PENDING, format!("{count}{known}")),
    }
}

/// Where the view ends counting.
const MOST_COUNTED: u64 = 10_000;
