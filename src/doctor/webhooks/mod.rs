//! Webhooks: where their endpoints are, what they are kept in, and how each endpoint stands.

mod endpoints;
mod kept;
mod retention;
mod table;

use super::{check::Check, finding::Finding};
use crate::{plan::Plan, survey::Survey};

/// Judges everything about webhooks; nothing if there are to be none.
pub(super) fn judge(plan: &Plan, survey: &Survey, findings: &mut Vec<Finding>) {
    let Some(side) = &survey.webhooks else { return };
    table::judge(plan, survey, side, findings);
    let outbox = survey.nats.answers.as_ref().ok().and_then(|answers| answers.stream.as_ref().ok()?.as_ref());
    kept::judge(side, outbox, findings);
    if let Ok(listing) = &side.listing {
        endpoints::judge(side, &listing.endpoints, outbox, findings);
    }
    if let (Ok(listing), Ok(look), Some(outbox)) = (&side.listing, &side.kept.look, outbox) {
        findings.extend(all_or(
            Check::WEBHOOKS_RETENTION,
            "the stream keeps what waits for longer than it waits",
            retention::judge(&listing.endpoints, look, outbox, side.at),
        ));
    }
}

/// What is wrong, or that nothing is.
fn all_or(check: Check, all_is_well: impl Into<String>, wrong: Vec<Finding>) -> Vec<Finding> {
    if wrong.is_empty() { vec![Finding::ok(check, all_is_well)] } else { wrong }
}
