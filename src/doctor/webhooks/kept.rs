//! What webhooks are kept in: the streams, and the rights of the NATS user.

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::{
    doctor::{
        check::Check,
        finding::{Finding, Verdict},
        nats::{
            limits::{edit, limit},
            server::{Fill, fill, rights},
        },
    },
    publish::StreamSeen,
    survey::WebhooksSide,
    webhooks::{Condition, OwnStream, SetupError, Standing},
    words::{bytes, span},
};

pub(super) fn judge(side: &WebhooksSide, outbox: Option<&StreamSeen>, findings: &mut Vec<Finding>) {
    let kept = &side.kept;
    findings.push(match &kept.rights {
        Ok(missing) => match rights(Check::WEBHOOKS_RIGHTS, missing) {
            finding if finding.verdict != Verdict::Ok && is_delivered(side) => {
                Finding::ok(Check::WEBHOOKS_RIGHTS, "not all that run needs, but whoever delivers has it")
            }
            finding => finding,
        },
        Err(silence) => Finding::silent(Check::WEBHOOKS_RIGHTS, silence),
    });
    let [state, log] = match &kept.streams {
        Ok(streams) => streams,
        Err(silence) => return findings.push(Finding::silent(Check::WEBHOOKS_STREAMS, silence)),
    };
    let mut wrong: Vec<_> = [state, log].into_iter().flat_map(unfit).collect();
    wrong.extend(forgetful(state));
    if let Some(seen) = outbox.filter(|seen| seen.config.retention != RetentionPolicy::Limits) {
        let error = SetupError::Retention(seen.config.name.clone());
        wrong.push(Finding::critical(Check::WEBHOOKS_STREAMS, error.to_string(), error.hint()));
    }
    let found = format!("{} and {}", state.plan.name, log.plan.name);
    findings.extend(super::all_or(Check::WEBHOOKS_STREAMS, found, wrong));
}

/// Whether somebody delivers to some endpoint, with whatever rights.
fn is_delivered(side: &WebhooksSide) -> bool {
    let delivers = |standing: &Standing| matches!(standing.condition, Condition::Delivering | Condition::Failing);
    side.standings().iter().any(delivers)
}

/// What is wrong with either stream.
fn unfit(stream: &OwnStream) -> Option<Finding> {
    let OwnStream { plan, there } = stream;
    let Some(there) = there else {
        let error = SetupError::Missing(plan.name.clone());
        return Some(Finding::critical(Check::WEBHOOKS_STREAMS, error.to_string(), error.hint()));
    };
    let lacking: Vec<_> = plan.subjects.iter().filter(|subject| !there.config.subjects.contains(subject)).collect();
    let all = there.config.subjects.iter().chain(lacking.iter().copied()).map(String::as_str).collect::<Vec<_>>();
    let lacking = lacking.first()?;
    Some(Finding::critical(
        Check::WEBHOOKS_STREAMS,
        format!("stream {:?} does not take subject {lacking:?}", plan.name),
        edit(&there.config, &format!("--subjects={}", all.join(","))),
    ))
}

/// How the stream of the state may lose it. What is forgotten there is forgotten for ever: an endpoint begins anew, and dead
/// letters are gone.
fn forgetful(OwnStream { there, .. }: &OwnStream) -> Vec<Finding> {
    let Some(info) = there else { return Vec::new() };
    let Config { name, max_age, max_bytes, discard, storage, max_messages_per_subject, .. } = &info.config;
    let (max_bytes, is_limited) = (limit(*max_bytes), limit(info.config.max_messages).is_some());
    let critical = |found: String, change: &str| {
        Finding::critical(Check::WEBHOOKS_STREAMS, format!("stream {name:?} {found}"), edit(&info.config, change))
    };
    let mut wrong = Vec::new();
    if !max_age.is_zero() {
        wrong.push(critical(format!("forgets where endpoints stand after {}", span(*max_age)), "--max-age=0s"));
    }
    if *discard == DiscardPolicy::Old && (max_bytes.is_some() || is_limited) {
        wrong.push(critical("forgets where endpoints stand when it is full".to_owned(), "--discard=new"));
    }
    if let Some(max) =
        max_bytes.filter(|max| *discard == DiscardPolicy::New && fill(info.state.bytes, *max) > Fill::Roomy)
    {
        let found =
            format!("is nearly full ({} of {}): nothing more is delivered then", bytes(info.state.bytes), bytes(max));
        wrong.push(critical(found, &format!("--max-bytes={}", max.saturating_mul(2))));
    }
    let warning = |found: &str, remedy: String| {
        Finding::warning(Check::WEBHOOKS_STREAMS, format!("stream {name:?} {found}"), remedy)
    };
    if *max_messages_per_subject != 1 {
        let remedy = edit(&info.config, "--max-msgs-per-subject=1");
        wrong.push(warning("keeps every version of what is written, and grows without end", remedy));
    }
    if *storage == StorageType::Memory {
        let remedy = "it cannot be changed in place, and whoever makes it anew lets endpoints begin anew: stop the workers when \
                      nothing waits (`walpost webhooks list`), remove it, and let `walpost webhooks setup` make it";
        wrong.push(warning(
            "is kept in memory: where endpoints stand is gone when its servers restart",
            remedy.to_owned(),
        ));
    }
    wrong
}
