//! What NATS answers.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Scope, Silence,
    answer::{Answer, within},
    watch::Watch,
};
use crate::{
    plan::Plan,
    postgres::is_loopback,
    publish::{AccountUse, Broker, Denied, ServerSaid, StreamSeen, StreamTail, denied},
};

/// NATS.
#[derive(Debug)]
pub struct NatsSide {
    /// The servers of the configuration, without what is secret.
    pub address: String,
    /// Whether all of them are on this machine.
    pub is_local: bool,
    /// What the server answers; none of it if it lets nobody in.
    pub answers: Answer<Box<NatsAnswers>>,
}

/// What the server answers, question by question.
#[derive(Debug)]
pub struct NatsAnswers {
    /// How long it took to be let in.
    pub connected_in: Duration,
    /// What it says of itself.
    pub server: ServerSaid,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// What we may not do of what we need.
    pub rights: Answer<Vec<Right>>,
    /// The stream; none if there is none.
    pub stream: Answer<Option<StreamSeen>>,
    /// Where it ends.
    pub tail: Answer<StreamTail>,
    /// How many dead letters it holds.
    pub dead_letters: Answer<u64>,
    /// What the account uses of what it may.
    pub account: Answer<AccountUse>,
}

/// Something that the NATS user must be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The subjects, as they stand in the server's configuration.
    pub subjects: String,
    /// Whether it is to listen; otherwise it is to publish.
    pub is_to_listen: bool,
    /// Whether only `walpost setup` needs it.
    pub is_for_setup: bool,
}

impl NatsSide {
    pub(super) async fn ask(plan: &Plan, scope: Scope, watch: Watch) -> Self {
        let begun = Instant::now();
        let servers = &plan.broker.servers;
        let answers = match within(watch.connection(), Broker::connect(&plan.broker)).await {
            Ok(broker) => Ok(Box::new(NatsAnswers::ask(&broker, plan, (scope, watch), begun.elapsed()).await)),
            Err(silence) => Err(silence),
        };
        let names: Vec<_> = servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
        let is_local = servers.iter().all(|server| is_loopback(server.host()));
        Self { address: names.join(","), is_local, answers }
    }
}

impl NatsAnswers {
    async fn ask(broker: &Broker, plan: &Plan, (scope, watch): (Scope, Watch), connected_in: Duration) -> Self {
        let server = broker.server();
        let is_encrypted = plan.broker.tls.required
            || server.is_tls_required
            || plan.broker.servers.iter().any(async_nats::ServerAddr::tls_required);
        let rights = match scope {
            Scope::Whole => missing(plan, needed(plan), watch).await,
            Scope::Glance => Err(Silence::unasked()),
        };
        let inspector = broker.inspector();
        // A question that may not be asked gets no answer: rather say so than wait for it.
        let refused = |api: &str| rights.as_ref().ok().and_then(|rights| refusal(rights, api));
        let may_look = refused("$JS.API.STREAM.INFO.");
        let may_read = refused("$JS.API.STREAM.MSG.GET.");
        let may_count = refused("$JS.API.INFO");
        let stream = match &may_look {
            Some(silence) => Err(silence.clone()),
            None => within(watch.answer(), inspector.seen()).await,
        };
        let is_there = matches!(stream, Ok(Some(_)));
        let absent = || Silence { code: None, why: "there is no stream".to_owned(), remedy: None };
        let (tail, dead_letters) = match (may_look, may_read) {
            (Some(silence), _) => (Err(silence.clone()), Err(silence)),
            _ if !is_there => (Err(absent()), Err(absent())),
            (None, may_read) => {
                let dead = plan.template.dead_letter_subjects();
                let tail = match may_read {
                    Some(silence) => Err(silence),
                    None => within(watch.answer(), inspector.tail()).await,
                };
                (tail, within(watch.answer(), inspector.count(&dead)).await)
            }
        };
        let account = match may_count {
            _ if scope == Scope::Glance => Err(Silence::unasked()),
            Some(silence) => Err(silence),
            None => within(watch.answer(), inspector.account()).await,
        };
        Self { connected_in, server, is_encrypted, rights, stream, tail, dead_letters, account }
    }
}

/// Everything that the NATS user needs, and what doctor itself would like to ask.
fn needed(plan: &Plan) -> Vec<Right> {
    let stream = &plan.stream.name;
    let right = |subjects: String| Right { subjects, is_to_listen: false, is_for_setup: false };
    let events = plan.stream.subjects.iter().cloned().map(right);
    let api = ["$JS.API.STREAM.INFO", "$JS.API.STREAM.MSG.GET"].map(|api| right(format!("{api}.{stream}")));
    let setup = Right { is_for_setup: true, ..right(format!("$JS.API.STREAM.CREATE.{stream}")) };
    events.chain(api).chain([setup, right(ACCOUNT.to_owned())]).collect()
}

/// What of these rights is denied.
pub(super) async fn missing(plan: &Plan, needed: Vec<Right>, watch: Watch) -> Answer<Vec<Right>> {
    let probes: Vec<String> = needed.iter().map(|right| one_of(&right.subjects)).collect();
    let Denied { publish, inbox } = within(watch.answer(), denied(&plan.broker, &probes)).await?;
    let mut missing: Vec<_> =
        needed.into_iter().zip(probes).filter(|(_, probe)| publish.contains(probe)).map(|(right, _)| right).collect();
    if inbox {
        let subjects = format!("{}.>", plan.broker.inbox_prefix);
        missing.push(Right { subjects, is_to_listen: true, is_for_setup: false });
    }
    Ok(missing)
}

/// One subject of those that a pattern stands for.
fn one_of(pattern: &str) -> String {
    let token = |token| if token == "*" || token == ">" { "walpost-doctor" } else { token };
    pattern.split('.').map(token).collect::<Vec<_>>().join(".")
}

/// Why a question need not be asked.
pub(super) fn refusal(missing: &[Right], api: &str) -> Option<Silence> {
    let is_missing = missing.iter().any(|right| right.is_to_listen || right.subjects.starts_with(api));
    let why = || format!("the NATS user may not ask ({})", api.trim_end_matches('.'));
    is_missing.then(|| Silence { code: None, why: why(), remedy: None })
}

impl Right {
    /// Whether nothing but doctor would like to have it.
    pub fn is_only_to_look(&self) -> bool {
        self.subjects == ACCOUNT
    }
}

/// Asks what the account uses.
const ACCOUNT: &str = "$JS.API.INFO";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_probed_by_one_of_its_subjects() {
        assert_eq!(one_of("outbox.>"), "outbox.walpost-doctor");
        assert_eq!(one_of("a.*.b.*"), "a.walpost-doctor.b.walpost-doctor");
        assert_eq!(one_of("$JS.API.STREAM.INFO.OUTBOX"), "$JS.API.STREAM.INFO.OUTBOX");
    }
}
