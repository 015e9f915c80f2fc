//! `walpost doctor`: what is wrong on either side, or will be, and what mends it.
//!
//! ```text
//! Plan   -> Survey      asked of both sides, in `survey`
//! Survey -> Findings    pure, here
//! ```
//!
//! What keeps walpost from starting is judged by `preflight` and `publish` alone, and told here in their words; this
//! module adds what lets it start and hurts later, and what only shows while it runs.
//!
//! Invariant: every check has at least one finding, whatever could not be asked; those of webhooks only where there are any.

mod check;
mod finding;
mod nats;
mod postgres;
mod report;
mod together;
mod webhooks;

pub use self::{
    check::{Check, Side},
    finding::{Finding, Verdict},
    report::Report,
};
use crate::{plan::Plan, survey::Survey};

/// Everything that was found, in the order of the checks.
pub fn diagnose(plan: &Plan, survey: &Survey) -> Report {
    let mut findings = Vec::new();
    postgres::judge(plan, &survey.postgres, &mut findings);
    let lag = survey.postgres.answers.as_ref().ok().and_then(|answers| answers.outbox_lag.as_ref().ok()?.as_ref());
    nats::judge(plan, &survey.nats, lag, &mut findings);
    together::judge(plan, survey, &mut findings);
    webhooks::judge(plan, survey, &mut findings);
    let is_asked = |check: &&Check| check.side() != Side::Webhooks || survey.webhooks.is_some();
    for check in Check::ALL.iter().filter(is_asked) {
        // Whatever could not be looked at because of something that is told.
        if !findings.iter().any(|finding| finding.check == *check) {
            findings.push(Finding::unknown(*check, "it depends on something that is missing or was not answered"));
        }
    }
    Report::new(findings)
}
