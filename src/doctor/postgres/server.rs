//! The server: version, role, room.

use super::provider;
use crate::{
    doctor::{check::Check, finding::Finding},
    preflight::{Facts, Problem, Server},
    survey::Provider,
};

/// What is judged here.
pub(super) const CHECKS: [Check; 7] = [
    Check::VERSION,
    Check::PRIMARY,
    Check::WAL_LEVEL,
    Check::ROLE,
    Check::SLOTS_LEFT,
    Check::SENDERS_LEFT,
    Check::ENCODING,
];

/// The first minor release of each version that decodes changes of a publication made while a transaction runs: before
/// them, rows of that transaction are left out ("Fix data loss in logical replication",
/// <https://www.postgresql.org/docs/release/17.5/>).
const DECODES_ALL: [(i32, i32); 4] = [(14, 18), (15, 13), (16, 9), (17, 5)];

/// So few places left for replication are few.
const FEW: i64 = 1;

pub(super) fn judge(facts: &Facts, provider: Provider, findings: &mut Vec<Finding>) {
    let server = &facts.server;
    findings.push(version(server.version_num, &server.version, provider));
    if server.version_num < OLDEST {
        return;
    }
    findings.push(if server.is_in_recovery {
        Finding::problem(Check::PRIMARY, &Problem::InRecovery, Problem::InRecovery.remedy())
    } else {
        Finding::ok(Check::PRIMARY, "it is the primary")
    });
    findings.push(senders_left(facts, provider));
    findings.push(encoding(server));
}

/// What preflight refuses; see there.
const OLDEST: i32 = 140_000;

fn version(number: i32, name: &str, provider: Provider) -> Finding {
    let (major, minor) = (number / 10_000, number % 10_000);
    let found = format!("PostgreSQL {name}{}", provider::place(provider));
    if number < OLDEST {
        let problem = Problem::VersionTooOld(name.to_owned());
        return Finding::problem(Check::VERSION, &problem, problem.remedy());
    }
    match DECODES_ALL.iter().find(|(version, first)| *version == major && minor < *first) {
        Some((_, first)) => Finding::warning(
            Check::VERSION,
            format!("{found} loses rows while its publication is changed"),
            format!(
                "update Postgres to {major}.{first} or later; until then change no publication while events are written"
            ),
        ),
        None => Finding::ok(Check::VERSION, found),
    }
}

fn senders_left(facts: &Facts, provider: Provider) -> Finding {
    let server = &facts.server;
    let is_led = facts.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
    let left = server.max_senders - server.used_senders;
    let found = format!("{} of {} walsenders in use", server.used_senders, server.max_senders);
    if left <= 0 && !is_led {
        let problem = Problem::NoFreeSender(server.max_senders);
        Finding::problem(Check::SENDERS_LEFT, &problem, provider::remedy(&problem, provider))
    } else if left < FEW {
        let more = (server.max_senders + 5).to_string();
        Finding::warning(Check::SENDERS_LEFT, found, provider::set_and_restart(provider, "max_wal_senders", &more))
    } else {
        Finding::ok(Check::SENDERS_LEFT, found)
    }
}

fn encoding(server: &Server) -> Finding {
    if server.encoding != "SQL_ASCII" {
        return Finding::ok(Check::ENCODING, &server.encoding);
    }
    Finding::warning(
        Check::ENCODING,
        "the database has no encoding (SQL_ASCII)",
        "see that only UTF-8 is written to the outbox, or keep the payload as bytea; for good, move to a database with encoding UTF8",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn minor_releases_that_lose_rows_are_told_from_those_that_do_not() {
        let verdict = |number| version(number, "", Provider::SelfHosted).verdict;
        for version_num in [140_017, 150_012, 160_008, 170_004] {
            assert_eq!(verdict(version_num), Verdict::Warning, "{version_num}");
        }
        for version_num in [140_018, 150_018, 160_009, 170_005, 180_000] {
            assert_eq!(verdict(version_num), Verdict::Ok, "{version_num}");
        }
        assert_eq!(verdict(130_020), Verdict::Critical);
    }
}
