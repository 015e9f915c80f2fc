//! What is done to everybody: drawn from the seed, and dealt like cards, so that nothing is left out for long.

mod servers;
mod strike;

use crate::chance::Chance;

/// One fault, and what comes before and after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// How long everything is well before, in milliseconds.
    pub(crate) rest_ms: u64,
    /// The fault.
    pub(crate) fault: Fault,
    /// Whether the next one comes before anybody has recovered from this one.
    pub(crate) piles_up: bool,
}

/// A server, as an instance reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Postgres.
    Postgres,
    /// NATS.
    Nats,
}

/// A fault. The leader is whoever leads when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; it comes back after another leads.
    KillLeader { again_ms: u64 },
    /// SIGKILL for whoever stands by.
    KillStandby,
    /// SIGKILL for both.
    KillBoth,
    /// SIGTERM.
    StopLeader,
    /// SIGSTOP for a while, mostly too short for a takeover.
    Freeze { ms: u64 },
    /// SIGSTOP until another leads and is ahead; what it had sent last may arrive only then.
    Zombie { is_held: bool },
    /// SIGKILL for Postgres and all its processes.
    PostgresKill,
    /// Immediate shutdown.
    PostgresImmediate,
    /// Fast shutdown.
    PostgresRestart,
    /// The walsender is terminated.
    Walsender,
    /// SIGKILL for the broker, or the stream's leader among three.
    BrokerKill { ms: u64 },
    /// SIGKILL for a server of a cluster that follows, which then has to catch up; for the only one otherwise.
    FollowerKill { ms: u64 },
    /// SIGTERM for it.
    BrokerRestart,
    /// SIGSTOP for it.
    BrokerPause { ms: u64 },
    /// The stream's leader steps down.
    StepDown,
    /// Nothing arrives any more, and nobody is told.
    Blackhole { way: Way, ms: u64 },
    /// Connections are reset.
    Reset { way: Way },
    /// Connections are reset after so many bytes.
    CutAfter { way: Way, bytes: u64 },
    /// Everything takes longer.
    Latency { way: Way, by_ms: u64, ms: u64 },
    /// The broker's answers are lost.
    AnswersLost { ms: u64 },
    /// They are late.
    AnswersLate { by_ms: u64, ms: u64 },
    /// They come twice.
    AnswersTwice { ms: u64 },
    /// What the leader says arrives late.
    Held { way: Way, ms: u64 },
    /// The stream takes no more, for a while.
    StreamFull { ms: u64 },
    /// Somebody else writes to the stream, now and then.
    Intruder { messages: u64, every_ms: u64 },
    /// The outbox gets a column.
    AddColumn,
    /// A transaction that stays open for a while.
    LongTransaction { ms: u64 },
}

type Card = fn(&mut Chance) -> Fault;

/// What a run must have seen to mean anything: dealt first.
const NEEDED: [Card; 7] = [
    |chance| Fault::KillLeader { again_ms: chance.below(1000) },
    |_| Fault::PostgresKill,
    |chance| Fault::BrokerKill { ms: chance.below(1500) },
    |_| Fault::Zombie { is_held: true },
    |chance| Fault::Blackhole { way: way(chance), ms: 3000 + chance.below(5000) },
    |chance| Fault::AnswersLost { ms: 1000 + chance.below(5000) },
    |chance| Fault::Reset { way: way(chance) },
];

/// Everything else; some more often than others.
const OTHERS: [Card; 23] = [
    |chance| Fault::KillLeader { again_ms: chance.below(1000) },
    |chance| Fault::KillLeader { again_ms: chance.below(100) },
    |_| Fault::KillStandby,
    |_| Fault::KillBoth,
    |_| Fault::StopLeader,
    |chance| Fault::Freeze { ms: 100 + chance.below(3000) },
    |chance| Fault::Zombie { is_held: chance.percent(50) },
    |_| Fault::PostgresImmediate,
    |_| Fault::PostgresRestart,
    |_| Fault::Walsender,
    |chance| Fault::BrokerKill { ms: chance.below(3000) },
    |chance| Fault::FollowerKill { ms: chance.below(3000) },
    |_| Fault::BrokerRestart,
    |chance| Fault::BrokerPause { ms: 500 + chance.below(8000) },
    |chance| Fault::CutAfter { way: way(chance), bytes: 1 + chance.below(4096) },
    |chance| {
        let bits = chance.below(18);
        Fault::CutAfter { way: way(chance), bytes: 1 + chance.below(1 << bits) }
    },
    |chance| Fault::Latency { way: way(chance), by_ms: 5 + chance.below(200), ms: 2000 },
    |chance| Fault::AnswersLate { by_ms: 200 + chance.below(4000), ms: 500 + chance.below(2000) },
    |chance| Fault::AnswersTwice { ms: 200 + chance.below(1000) },
    |chance| Fault::Held { way: way(chance), ms: 500 + chance.below(7000) },
    |chance| Fault::StreamFull { ms: 500 + chance.below(3000) },
    |_| Fault::AddColumn,
    |chance| Fault::LongTransaction { ms: 1000 + chance.below(8000) },
];

/// Somebody else writes to the stream.
const INTRUDERS: [Card; 2] = [
    |chance| Fault::Intruder { messages: 1 + chance.below(20), every_ms: 10 + chance.below(200) },
    |chance| Fault::Intruder { messages: 1 + chance.below(100), every_ms: chance.below(5) },
];

fn way(chance: &mut Chance) -> Way {
    if chance.percent(50) { Way::Postgres } else { Way::Nats }
}

/// So many steps, all of which follow from the seed.
pub(crate) fn plan(seed: u64, steps: usize, replicas: usize) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    let mut steps_of = |deck: Vec<Card>| -> Vec<Step> {
        let mut deck = deck;
        let mut dealt = Vec::new();
        while !deck.is_empty() {
            let card = deck.swap_remove(usize::try_from(chance.below(deck.len() as u64)).unwrap());
            let rest_ms = chance.below(1200);
            let fault = card(&mut chance);
            dealt.push(Step { rest_ms, fault, piles_up: chance.percent(20) });
        }
        dealt
    };
    let elections: &[Card] = if replicas > 1 { &[|_| Fault::StepDown, |_| Fault::StepDown] } else { &[] };
    let mut plan = steps_of([&NEEDED[..], &elections[..elections.len() / 2]].concat());
    while plan.len() < steps {
        plan.extend(steps_of([&OTHERS[..], &INTRUDERS, elections].concat()));
        plan.extend(steps_of(NEEDED.to_vec()));
    }
    plan.truncate(steps);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_begins_with_what_is_needed() {
        let shown = |seed| format!("{:?}", plan(seed, 60, 1));
        assert_eq!(shown(7), shown(7));
        assert_ne!(shown(7), shown(8));
        let first: Vec<Fault> = plan(7, NEEDED.len(), 1).into_iter().map(|step| step.fault).collect();
        assert!(first.contains(&Fault::PostgresKill) && first.contains(&Fault::Zombie { is_held: true }), "{first:?}");
        assert!(!shown(7).contains("StepDown"), "there is nobody else to lead");
        assert!(format!("{:?}", plan(7, 60, 3)).contains("StepDown"));
    }
}
