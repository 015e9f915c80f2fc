//! The connection: TLS, login, password, pooler, replication.

use std::time::Duration;

use super::provider::quoted;
use crate::{
    doctor::{check::Check, finding::Finding},
    plan::Plan,
    postgres::SslMode,
    replication::Authentication,
    survey::{Answer, Link, LoggedIn, PostgresAnswers, PostgresSide},
    words::span,
};

/// A password that ends sooner is to be renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub(super) fn judge(plan: &Plan, side: &PostgresSide, answers: &PostgresAnswers, findings: &mut Vec<Finding>) {
    match &answers.link {
        Ok(link) => {
            findings.push(tls(plan, side, link));
            findings.push(password(plan, link));
        }
        Err(silence) => {
            findings.extend([Check::TLS, Check::PASSWORD].map(|check| Finding::silent(check, silence)));
        }
    }
    replication(side, answers, findings);
}

fn tls(plan: &Plan, side: &PostgresSide, link: &Link) -> Finding {
    let mode = plan.endpoint.ssl_mode();
    let version = link.tls_version.as_deref().unwrap_or("TLS");
    if !link.is_encrypted {
        if side.is_local {
            return Finding::ok(Check::TLS, "not encrypted, on this machine");
        }
        let remedy =
            "turn on `ssl` at the server, and set `sslmode = \"verify-full\"` and `sslrootcert` under [postgres]";
        return Finding::warning(Check::TLS, format!("not encrypted (sslmode {mode})"), remedy);
    }
    let is_verified = mode == SslMode::VerifyFull;
    if is_verified || side.is_local {
        let verified = if is_verified { "certificate and name verified" } else { "on this machine" };
        return Finding::ok(Check::TLS, format!("{version}, {verified}"));
    }
    let remedy =
        "set `sslmode = \"verify-full\"` under [postgres], and `sslrootcert` if the server's authority is your own";
    Finding::warning(Check::TLS, format!("{version}, but the server's name is not verified (sslmode {mode})"), remedy)
}

fn password(plan: &Plan, link: &Link) -> Finding {
    let role = quoted(plan.endpoint.user());
    match link.password_valid_for {
        None => Finding::ok(Check::PASSWORD, "has no end"),
        Some(valid_for) if valid_for.is_zero() => Finding::critical(
            Check::PASSWORD,
            format!("the password of role {} has expired", plan.endpoint.user()),
            format!("run `ALTER ROLE {role} VALID UNTIL 'infinity';`, or give it a new password and a new end"),
        ),
        Some(valid_for) if valid_for < RENEW_BEFORE => Finding::warning(
            Check::PASSWORD,
            format!("the password of role {} expires in {}", plan.endpoint.user(), span(valid_for)),
            format!("run `ALTER ROLE {role} VALID UNTIL 'infinity';`, or give it a new password and a new end"),
        ),
        Some(valid_for) => Finding::ok(Check::PASSWORD, format!("valid for another {}", span(valid_for))),
    }
}

fn replication(side: &PostgresSide, answers: &PostgresAnswers, findings: &mut Vec<Finding>) {
    let logged_in = match &answers.replication {
        Ok(logged_in) => logged_in,
        Err(silence) => {
            let remedy = silence.remedy.clone().unwrap_or_else(|| {
                "connect to Postgres itself, or through a pooler that passes replication (PgBouncer from 1.23 on)"
                    .to_owned()
            });
            // A role without the right, or a server without room, is told by its own check.
            let finding = if is_told_elsewhere(answers) || silence.is_untimely() {
                Finding::unknown(Check::REPLICATION, &silence.why)
            } else {
                Finding::critical(Check::REPLICATION, &silence.why, remedy)
            };
            findings.push(Finding { code: silence.code, ..finding });
            findings.extend([Check::LOGIN, Check::DIRECT].map(|check| Finding::unknown(check, NO_REPLICATION)));
            return;
        }
    };
    let LoggedIn { authentication, is_pooled, identity, .. } = logged_in;
    findings.push(Finding::ok(
        Check::REPLICATION,
        format!("system {}, timeline {}", identity.system_id, identity.timeline),
    ));
    findings.push(login(*authentication, side, &answers.link));
    findings.push(if *is_pooled {
        Finding::warning(
            Check::DIRECT,
            "a pooler stands between walpost and Postgres",
            "let postgres.url lead to Postgres itself: the pooler shares nothing between walpost's sessions, and its own time-outs \
             and restarts interrupt delivery",
        )
    } else {
        Finding::ok(Check::DIRECT, "no pooler between")
    });
}

/// Whether the reason why there is no replication connection is a finding of its own.
fn is_told_elsewhere(answers: &PostgresAnswers) -> bool {
    answers.facts.as_ref().is_ok_and(|facts| {
        let server = &facts.server;
        !server.may_replicate || server.used_senders >= server.max_senders
    })
}

fn login(authentication: Authentication, side: &PostgresSide, link: &Answer<Link>) -> Finding {
    let is_safe = side.is_local || link.as_ref().is_ok_and(|link| link.is_encrypted);
    let scram = "let the role log in by scram-sha-256: set `password_encryption = scram-sha-256`, give the role its password \
                 anew, and write scram-sha-256 in its line of pg_hba.conf";
    match authentication {
        Authentication::Scram => Finding::ok(Check::LOGIN, "scram-sha-256"),
        Authentication::ScramPlus => Finding::ok(Check::LOGIN, "scram-sha-256-plus, bound to the server's certificate"),
        Authentication::Unasked if side.is_local => Finding::ok(Check::LOGIN, "no password asked, on this machine"),
        Authentication::Unasked => Finding::warning(
            Check::LOGIN,
            "the server asks for no password",
            "unless it asks for a certificate instead, write scram-sha-256 in the role's line of pg_hba.conf, and run \
             `SELECT pg_reload_conf();`",
        ),
        Authentication::Md5 => Finding::warning(Check::LOGIN, "by md5, which later servers drop", scram),
        Authentication::Cleartext if is_safe => Finding::warning(Check::LOGIN, "by a cleartext password", scram),
        Authentication::Cleartext => {
            Finding::critical(Check::LOGIN, "by a cleartext password over a connection that is not encrypted", scram)
        }
    }
}

/// What depends on a replication connection.
const NO_REPLICATION: &str = "there is no replication connection";
