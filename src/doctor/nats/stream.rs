//! The stream: what it is, who writes to it, how safe it is.

use async_nats::jetstream::stream::{Config, PersistenceMode};

use super::limits;
use crate::{
    code::Code,
    doctor::{check::Check, finding::Finding},
    plan::Plan,
    preflight::Problem,
    publish::{Frailty, Replica, StreamEnd, StreamProblem, StreamSeen, StreamTail},
    survey::{Answer, NatsAnswers, OutboxLag},
    words::{grouped, span},
};

/// What is judged of a stream that is there.
const CHECKS: [Check; 12] = [
    Check::STREAM,
    Check::STREAM_SUBJECTS,
    Check::STREAM_ALONE,
    Check::STREAM_STORAGE,
    Check::STREAM_WRITES,
    Check::STREAM_REPLICAS,
    Check::STREAM_DISCARD,
    Check::STREAM_ROOM,
    Check::STREAM_AGE,
    Check::STREAM_PER_SUBJECT,
    Check::STREAM_MESSAGE_SIZE,
    Check::STREAM_WINDOW,
];

pub(super) fn judge(plan: &Plan, answers: &NatsAnswers, lag: Option<&OutboxLag>, findings: &mut Vec<Finding>) {
    let seen = match &answers.stream {
        Ok(Some(seen)) => seen,
        Ok(None) => {
            let problem = Problem::Stream(StreamProblem::Missing(plan.stream.name.clone()));
            findings.push(Finding::problem(Check::STREAM, &problem, problem.remedy()));
            return;
        }
        Err(silence) if silence.code == Some(Code::NATS_WITHOUT_JETSTREAM) => {
            let remedy = silence.remedy.clone().unwrap_or_default();
            findings
                .push(Finding::critical(Check::STREAM, &silence.why, remedy).with_code(Code::NATS_WITHOUT_JETSTREAM));
            return;
        }
        Err(silence) => {
            findings.extend(CHECKS.map(|check| Finding::silent(check, silence)));
            return;
        }
    };
    usable(plan, seen, findings);
    findings.push(alone(plan, seen));
    let config = &seen.config;
    findings.push(storage(plan, seen));
    findings.push(writes(plan, config));
    findings.push(replicas(seen));
    limits::judge(plan, seen, &answers.server, findings);
    findings.push(end(&answers.tail));
    findings.push(match lag {
        Some(lag) => undecided(plan, lag.dead),
        None => dead_letters(plan, &answers.dead_letters),
    });
}

/// What keeps it from being used at all: judged by `publish`, in its words.
fn usable(plan: &Plan, seen: &StreamSeen, findings: &mut Vec<Finding>) {
    let problems = seen.problems(&plan.stream);
    let name = &plan.stream.name;
    let lacking: Vec<&str> = problems.iter().filter_map(lacks).collect();
    for problem in &problems {
        let problem = Problem::Stream(problem.clone());
        findings.push(match &problem {
            Problem::Stream(StreamProblem::Subject { .. }) => {
                let all = seen.config.subjects.iter().map(String::as_str).chain(lacking.iter().copied());
                let all = all.collect::<Vec<_>>().join(",");
                let remedy = format!("run `nats stream edit {name} --subjects={all} --force`");
                Finding::problem(Check::STREAM_SUBJECTS, &problem, remedy)
            }
            _ => Finding::problem(Check::STREAM, &problem, problem.remedy()),
        });
    }
    let found = format!("{name}, {} messages, up to sequence {}", grouped(seen.messages), seen.last_sequence);
    for (check, found) in [(Check::STREAM, found), (Check::STREAM_SUBJECTS, seen.config.subjects.join(", "))] {
        if !findings.iter().any(|finding| finding.check == check) {
            findings.push(Finding::ok(check, found));
        }
    }
}

fn lacks(problem: &StreamProblem) -> Option<&str> {
    if let StreamProblem::Subject { subject, .. } = problem { Some(subject) } else { None }
}

fn alone(plan: &Plan, seen: &StreamSeen) -> Finding {
    match seen.sharing(&plan.stream) {
        None => Finding::ok(Check::STREAM_ALONE, "it is walpost's alone"),
        Some(why) => Finding::warning(
            Check::STREAM_ALONE,
            format!("the stream is shared: {why}"),
            "give walpost a stream of its own (choose another name as `nats.stream`, and run `walpost setup`), and let others take \
             from that by sourcing; see docs/guides/consuming.md",
        ),
    }
}

/// What a stream was made with and cannot be changed.
fn make_anew(plan: &Plan) -> String {
    let name = &plan.stream.name;
    format!(
        "it cannot be changed in place: when all consumers have read everything, stop walpost, run `nats stream rm {name} --force`, \
         then `walpost setup`; if walpost had delivered before, it says once more what to do about the watermark (WP0507)"
    )
}

fn storage(plan: &Plan, seen: &StreamSeen) -> Finding {
    if seen.frailties().contains(&Frailty::Memory) {
        return Finding::warning(Check::STREAM_STORAGE, "the stream is kept in memory", make_anew(plan));
    }
    Finding::ok(Check::STREAM_STORAGE, "on disk")
}

fn writes(plan: &Plan, config: &Config) -> Finding {
    if config.persist_mode == Some(PersistenceMode::Async) {
        let found = "messages are acknowledged before they are written (persist mode async)";
        return Finding::critical(Check::STREAM_WRITES, found, make_anew(plan));
    }
    Finding::ok(Check::STREAM_WRITES, "written, then acknowledged")
}

fn replicas(seen: &StreamSeen) -> Finding {
    let wanted = seen.config.num_replicas;
    let is_behind = |replica: &&Replica| replica.is_offline || !replica.is_current;
    let behind: Vec<_> = seen.replicas.iter().filter(is_behind).collect();
    if !behind.is_empty() {
        let told = |replica: &&Replica| {
            let state = if replica.is_offline { "offline" } else { "behind" };
            format!(
                "{} {state} for {}, {} operations to catch up",
                replica.name,
                span(replica.silent_for),
                grouped(replica.behind)
            )
        };
        let found = behind.iter().map(told).collect::<Vec<_>>().join("; ");
        return Finding::warning(
            Check::STREAM_REPLICAS,
            format!("{} of {wanted} replicas are not up to date: {found}", behind.len()),
            "start the servers that are away, and see `nats server report jetstream`",
        );
    }
    if seen.frailties().contains(&Frailty::Alone) {
        let cluster = seen.cluster.as_deref().unwrap_or_default();
        return Finding::warning(
            Check::STREAM_REPLICAS,
            format!("one replica, although the servers form cluster {cluster}"),
            format!("run `nats stream edit {} --replicas=3 --force`", seen.config.name),
        );
    }
    match wanted {
        1 => Finding::ok(Check::STREAM_REPLICAS, "one, on a single server"),
        replicas => {
            let leader = seen.leader.as_deref().unwrap_or("nobody");
            Finding::ok(Check::STREAM_REPLICAS, format!("{replicas}, led by {leader}"))
        }
    }
}

fn end(tail: &Answer<StreamTail>) -> Finding {
    match tail {
        Err(silence) if silence.code == Some(Code::STREAM_FOREIGN) || silence.code == Some(Code::NEWER_VERSION) => {
            let remedy = silence.remedy.clone().unwrap_or_default();
            Finding { code: silence.code, ..Finding::critical(Check::STREAM_END, &silence.why, remedy) }
        }
        Err(silence) => Finding::silent(Check::STREAM_END, silence),
        Ok(StreamTail { foreign, .. }) if *foreign > 0 => Finding::warning(
            Check::STREAM_END,
            format!("the last {} messages are not walpost's", grouped(*foreign)),
            "find out who publishes to the stream's subjects, and take the permission away; walpost passes over these messages",
        )
        .with_code(Code::STREAM_FOREIGN),
        Ok(StreamTail { end: StreamEnd::Empty, .. }) => Finding::ok(Check::STREAM_END, "nothing stored yet"),
        Ok(StreamTail { end: StreamEnd::Removed { sequence }, .. }) => {
            Finding::ok(Check::STREAM_END, format!("message {sequence} was removed; the watermark knows the place"))
        }
        Ok(StreamTail { end: StreamEnd::At { sequence, position }, .. }) => {
            Finding::ok(Check::STREAM_END, format!("message {sequence}, of the commit at {}", position.place.commit_lsn))
        }
    }
}

/// Where the database keeps what was decided about them.
fn undecided(plan: &Plan, dead: u64) -> Finding {
    if dead == 0 {
        return Finding::ok(Check::DEAD_LETTERS, "none that nobody has decided about");
    }
    let table = plan.needs.dead_letters();
    let plural = if dead == 1 { "" } else { "s" };
    Finding::warning(
        Check::DEAD_LETTERS,
        format!("{} dead letter{plural} that nobody has decided about", grouped(dead)),
        format!(
            "see why with `walpost dlq list` (or in {table}), mend what made them (docs/guides/dead-letters.md), and decide for \
             each: `walpost dlq retry <event id>` or `walpost dlq discard <event id>`"
        ),
    )
    .with_code(Code::EVENT_UNPUBLISHABLE)
}

fn dead_letters(plan: &Plan, answer: &Answer<u64>) -> Finding {
    match answer {
        Err(silence) => Finding::silent(Check::DEAD_LETTERS, silence),
        Ok(0) => Finding::ok(Check::DEAD_LETTERS, "none"),
        Ok(count) => {
            let subjects = plan.template.dead_letter_subjects();
            let plural = if *count == 1 { "" } else { "s" };
            Finding::warning(
                Check::DEAD_LETTERS,
                format!("{} dead letter{plural}", grouped(*count)),
                format!(
                    "read why with `nats stream view {name} --subject={subjects}`, mend what made them (docs/guides/dead-letters.md), \
                     and remove what is dealt with: `nats stream purge {name} --subject={subjects} --force`",
                    name = plan.stream.name
                ),
            )
            .with_code(Code::EVENT_UNPUBLISHABLE)
        }
    }
}
