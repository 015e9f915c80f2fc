//! The NATS server and the account: TLS, login, rights, sizes.

use crate::{
    code::Code,
    doctor::{check::Check, finding::Finding},
    publish::{AccountUse, ServerSaid},
    survey::{Answer, NatsAnswers, NatsSide, Right},
    words::bytes,
};

/// The first release that checks which message a message expects before it.
const OLDEST: (u32, u32) = (2, 9);
/// Events larger than this are no rarity.
pub(super) const USUAL_BYTES: u64 = 64 * 1024;

pub(super) fn judge(side: &NatsSide, answers: &NatsAnswers, findings: &mut Vec<Finding>) {
    let server = &answers.server;
    findings.push(match (answers.is_encrypted, side.is_local) {
        (true, _) => Finding::ok(Check::NATS_TLS, "encrypted, certificate verified"),
        (false, true) => Finding::ok(Check::NATS_TLS, "not encrypted, on this machine"),
        (false, false) => Finding::warning(
            Check::NATS_TLS,
            "not encrypted",
            "turn on `tls` at the server, and set `tls_required = true` under [nats], with `tls_ca` if its authority is your own",
        ),
    });
    findings.push(match (server.is_login_required, side.is_local) {
        (true, _) => Finding::ok(Check::NATS_LOGIN, "asked for"),
        (false, true) => Finding::ok(Check::NATS_LOGIN, "nobody is asked, on this machine"),
        (false, false) => Finding::warning(
            Check::NATS_LOGIN,
            "the server lets everybody in",
            "give the server users with permissions (docs/guides/your-own-database.md), and set `creds_file`, `nkey_file` or `user` \
             under [nats]",
        ),
    });
    findings.push(version(server));
    findings.push(match &answers.rights {
        Ok(missing) => rights(Check::NATS_RIGHTS, missing),
        Err(silence) => Finding::silent(Check::NATS_RIGHTS, silence),
    });
    findings.push(max_payload(server.max_payload_bytes as u64));
    findings.push(account(&answers.account));
}

fn version(server: &ServerSaid) -> Finding {
    let cluster = server.cluster.as_deref().map_or_else(String::new, |cluster| format!(", cluster {cluster}"));
    let leaving = if server.is_leaving { ", about to shut down" } else { "" };
    let found = format!("nats-server {}, {}{cluster}{leaving}", server.version, server.name);
    match server.release() {
        Some(release) if release < OLDEST => {
            Finding::critical(Check::NATS_VERSION, found, "update nats-server to 2.9 or later, best to the newest")
        }
        _ => Finding::ok(Check::NATS_VERSION, found),
    }
}

/// What is missing of the rights that one check looks at.
pub(in crate::doctor) fn rights(check: Check, missing: &[Right]) -> Finding {
    let (setup, run): (Vec<_>, Vec<_>) =
        missing.iter().filter(|right| !right.is_only_to_look()).partition(|right| right.is_for_setup);
    if run.is_empty() {
        let found =
            if setup.is_empty() { "all that run and setup need" } else { "all that run needs, not what setup needs" };
        return Finding::ok(check, found);
    }
    let list = |listen: bool| {
        let wanted = run.iter().filter(|right| right.is_to_listen == listen);
        wanted.map(|right| format!("\"{}\"", right.subjects)).collect::<Vec<_>>().join(", ")
    };
    let (publish, subscribe) = (list(false), list(true));
    let told = |what: &str, list: &str| (!list.is_empty()).then(|| format!("{what} {list}"));
    let found: Vec<_> = [told("may not publish to", &publish), told("may not subscribe to", &subscribe)]
        .into_iter()
        .flatten()
        .collect();
    let allow = |what: &str, list: &str| (!list.is_empty()).then(|| format!("`{what}: [{list}]`"));
    let lines: Vec<_> = [allow("publish", &publish), allow("subscribe", &subscribe)].into_iter().flatten().collect();
    Finding::critical(
        check,
        format!("the NATS user {}", found.join(" and ")),
        format!("allow it {} in the `permissions` of the user, and reload the server", lines.join(" and ")),
    )
    .with_code(Code::NATS_REFUSED)
}

fn max_payload(max: u64) -> Finding {
    if max < USUAL_BYTES {
        let remedy = "raise `max_payload = 1MB` in the configuration of the NATS server, and reload it";
        return Finding::warning(
            Check::MAX_PAYLOAD,
            format!("the server takes messages of {} at most", bytes(max)),
            remedy,
        );
    }
    Finding::ok(Check::MAX_PAYLOAD, bytes(max))
}

fn account(answer: &Answer<AccountUse>) -> Finding {
    let AccountUse { storage_bytes: used, max_storage_bytes: max } = match answer {
        Ok(account) => *account,
        Err(silence) => return Finding::silent(Check::ACCOUNT, silence),
    };
    let Some(max) = max else {
        return Finding::ok(Check::ACCOUNT, format!("{} on disk, no limit", bytes(used)));
    };
    let found = format!("{} of {} on disk in use", bytes(used), bytes(max));
    let remedy = "raise the account's JetStream limit (`max_file` under jetstream of the account, or `max_file_store` of the server), \
                  or shorten what its streams keep";
    match fill(used, max) {
        Fill::Full => Finding::critical(Check::ACCOUNT, found, remedy).with_code(Code::STREAM_FULL),
        Fill::Filling => Finding::warning(Check::ACCOUNT, found, remedy),
        Fill::Roomy => Finding::ok(Check::ACCOUNT, found),
    }
}

/// How full something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::doctor) enum Fill {
    /// Below four fifths.
    Roomy,
    /// From there on.
    Filling,
    /// From nineteen twentieths on.
    Full,
}

pub(in crate::doctor) fn fill(used: u64, max: u64) -> Fill {
    match used.saturating_mul(100) / max.max(1) {
        95.. => Fill::Full,
        80.. => Fill::Filling,
        _ => Fill::Roomy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_server_that_cannot_chain_is_refused() {
        let verdict = |text: &str| version(&ServerSaid { version: text.into(), ..ServerSaid::default() }).verdict;
        assert_eq!(
            (verdict("2.8.4"), verdict("2.9.0"), verdict("2.15.1")),
            (Verdict::Critical, Verdict::Ok, Verdict::Ok)
        );
    }

    #[test]
    fn what_fills_is_told_before_it_is_full() {
        assert_eq!(
            [79, 80, 94, 95, 200].map(|used| fill(used, 100)),
            [Fill::Roomy, Fill::Filling, Fill::Filling, Fill::Full, Fill::Full]
        );
    }
}
