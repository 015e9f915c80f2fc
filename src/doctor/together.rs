//! What only both sides together tell: where to continue, and what the walpost on this host says.

use serde_json::Value;

use super::{check::Check, finding::Finding};
use crate::{
    plan::Plan,
    position::Source,
    publish::StreamTail,
    relay::{Start, WatermarkError},
    supervisor,
    survey::Survey,
    words::span,
};

/// Judges what needs both sides.
pub(super) fn judge(plan: &Plan, survey: &Survey, findings: &mut Vec<Finding>) {
    findings.extend(place(plan, survey));
    findings.push(running(survey));
}

/// Whether a start would find its place, as the supervisor decides it.
fn place(plan: &Plan, survey: &Survey) -> Option<Finding> {
    let (postgres, nats) = (survey.postgres.answers.as_ref().ok()?, survey.nats.answers.as_ref().ok()?);
    let (facts, logged_in) = (postgres.facts.as_ref().ok()?, postgres.replication.as_ref().ok()?);
    let (tail, stream) = (nats.tail.as_ref().ok()?, nats.stream.as_ref().ok()?.as_ref()?);
    let slot = facts.slot.as_ref()?;
    if slot.active_pid.is_some() {
        // Both sides move, and were looked at one after the other.
        return Some(Finding::ok(Check::PLACE, "somebody leads, who has found it"));
    }
    let is_shared = stream.sharing(&plan.stream).is_some();
    let source = Source {
        system_id: logged_in.identity.system_id,
        timeline: logged_in.identity.timeline,
        slot: plan.needs.slot.clone(),
    };
    let history = &logged_in.history;
    let StreamTail { identity, end, .. } = tail;
    let mut known = end.clone();
    if let Some(watermark) = facts.watermark.as_ref().filter(|watermark| watermark.is_of(&source)) {
        let confirmed = slot.confirmed_flush.unwrap_or_default();
        let admitted = watermark
            .check_slot(&source, history, confirmed)
            .and_then(|()| watermark.check_stream(identity, end))
            // The end of a shared stream says nothing about what it holds of ours.
            .and_then(|()| if is_shared { Ok(known) } else { watermark.end_of(identity, end.clone()) });
        match admitted {
            Ok(admitted) => known = admitted,
            Err(error) => return Some(refused(plan, &error)),
        }
    }
    if is_shared {
        return Some(Finding::ok(Check::PLACE, "from the slot's position on"));
    }
    Some(match Start::after(&known, &source, history, logged_in.identity.wal_end) {
        Ok(start) if start.lsn.is_valid() => Finding::ok(Check::PLACE, format!("behind the commit at {}", start.lsn)),
        Ok(_) => Finding::ok(Check::PLACE, "from the slot's position on"),
        Err(error) => {
            Finding::critical(Check::PLACE, error.to_string(), error.remedy()).with_code(supervisor::of_resume(&error))
        }
    })
}

fn refused(plan: &Plan, error: &WatermarkError) -> Finding {
    let remedy = error.remedy(&plan.needs.watermark().to_string(), &plan.needs.slot);
    Finding::critical(Check::PLACE, error.to_string(), remedy).with_code(supervisor::of_watermark(error))
}

/// What the walpost on this host says.
fn running(survey: &Survey) -> Finding {
    let status = match &survey.service {
        Ok(Some(status)) => status,
        Ok(None) => return Finding::ok(Check::RUNNING, format!("none on this host ({})", survey.admin)),
        Err(silence) => return Finding::silent(Check::RUNNING, silence),
    };
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let phase = text(status, "phase");
    let Some(trouble) = status.get("trouble").filter(|trouble| trouble.is_object()) else {
        return Finding::ok(Check::RUNNING, phase);
    };
    let seconds = trouble.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let since = span(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let found = format!("{phase}, and for {since}: {} {}", text(trouble, "code"), text(trouble, "cause"));
    let action = text(trouble, "action");
    Finding::critical(Check::RUNNING, found, if action.is_empty() { "see its log".to_owned() } else { action })
}
