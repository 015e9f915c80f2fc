//! The side of Postgres.

mod connection;
mod failover;
mod log;
mod objects;
pub(super) mod provider;
mod server;
mod status;

use super::{check::Check, finding::Finding};
use crate::{
    code::Code,
    plan::Plan,
    survey::{PostgresSide, Provider},
    words::duration,
};

/// Judges everything that Postgres answered.
pub(super) fn judge(plan: &Plan, side: &PostgresSide, findings: &mut Vec<Finding>) {
    let answers = match &side.answers {
        Ok(answers) => answers,
        Err(silence) => {
            let remedy = silence.remedy.clone().unwrap_or_else(|| NOT_REACHED.to_owned());
            let code = silence.code.unwrap_or(Code::POSTGRES_UNREACHABLE);
            findings.push(Finding::critical(Check::POSTGRES, &silence.why, remedy).with_code(code));
            return;
        }
    };
    findings.push(match (&answers.link, &answers.facts) {
        (Err(first), Err(_)) if first.is_late() => {
            let found = format!("{} lets us in, and then says nothing: {}", side.address, first.why);
            Finding::critical(Check::POSTGRES, found, STUCK).with_code(Code::POSTGRES_UNREACHABLE)
        }
        _ => {
            let found = format!("{} lets us in, in {}", side.address, duration(answers.connected_in));
            Finding::ok(Check::POSTGRES, found)
        }
    });
    let provider = answers.link.as_ref().map_or(Provider::SelfHosted, |link| link.provider);
    connection::judge(plan, side, answers, findings);
    match &answers.facts {
        Ok(facts) => {
            server::judge(facts, provider, findings);
            objects::judge(plan, facts, provider, findings);
        }
        Err(silence) => {
            let all = [&server::CHECKS[..], &objects::CHECKS[..]].concat();
            findings.extend(all.into_iter().map(|check| Finding::silent(check, silence)));
        }
    }
    status::judge(plan, answers, findings);
    log::judge(plan, answers, provider, findings);
    failover::judge(plan, answers, provider, findings);
}

/// What to do where it takes connections and answers nobody.
const STUCK: &str = "see whether its disk, its processors or a lock on its catalogs hold it up, and whether a pooler before it has \
                     connections left";
/// What to do where nobody knows better.
const NOT_REACHED: &str = "check host and port in postgres.url, that Postgres runs, and the way to it";
