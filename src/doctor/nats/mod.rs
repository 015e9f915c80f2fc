//! The side of NATS.

pub(super) mod limits;
pub(super) mod server;
mod stream;

use super::{check::Check, finding::Finding};
use crate::{
    code::Code,
    plan::Plan,
    survey::{NatsSide, OutboxLag},
    words::duration,
};

/// Judges everything that NATS answered.
pub(super) fn judge(plan: &Plan, side: &NatsSide, lag: Option<&OutboxLag>, findings: &mut Vec<Finding>) {
    let answers = match &side.answers {
        Ok(answers) => answers,
        Err(silence) => {
            let remedy = silence.remedy.clone().unwrap_or_else(|| NOT_REACHED.to_owned());
            let code = silence.code.unwrap_or(Code::NATS_UNREACHABLE);
            findings.push(Finding::critical(Check::NATS, &silence.why, remedy).with_code(code));
            return;
        }
    };
    findings
        .push(Finding::ok(Check::NATS, format!("{} lets us in, in {}", side.address, duration(answers.connected_in))));
    server::judge(side, answers, findings);
    stream::judge(plan, answers, lag, findings);
}

/// What to do where nobody knows better.
const NOT_REACHED: &str = "check nats.url, that the server runs, and the way to it";
