//! What one schedule is made of: sizes, times, and which faults may happen. Drawn from the seed.

use walpost::relay::Mode;

use crate::{chance::Chance, mutation::Mutation};

/// How long the broker takes to put on disk what it acknowledged.
pub(crate) const SYNC_MS: u64 = 1200;
/// The hold-back of schedules in which the broker loses power; longer, by more than the publish timeout.
const HOLD_BACK_MS: u64 = 1500;

/// One schedule. Faults are weights: how often each happens beside ordinary steps.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) steps: u64,
    pub(crate) max_in_flight: usize,
    pub(crate) max_in_flight_bytes: usize,
    pub(crate) hold_back_ms: u64,
    pub(crate) dedup_ms: u64,
    pub(crate) largest_transaction: u64,
    /// Whether an id may be used by more than one event.
    pub(crate) repeats_ids: bool,
    /// Whether a message names the one before it, as in a stream with one replica.
    pub(crate) is_linked: bool,
    /// Whether there are long waits.
    pub(crate) is_slow: bool,
    /// Whether the connection to Postgres may be half open after its daemon is gone.
    pub(crate) half_open: bool,
    pub(crate) faults: Faults,
}

/// Weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) kill: u64,
    pub(crate) pause: u64,
    pub(crate) stop: u64,
    pub(crate) postgres_crash: u64,
    pub(crate) postgres_stop: u64,
    pub(crate) disconnect: u64,
    pub(crate) broker_restart: u64,
    pub(crate) break_link: u64,
    pub(crate) power_loss: u64,
    pub(crate) silent_loss: u64,
    pub(crate) mood: u64,
    pub(crate) full: u64,
    pub(crate) disturb: u64,
    pub(crate) foreign: u64,
    pub(crate) remove_oldest: u64,
    pub(crate) purge: u64,
    pub(crate) stale_end: u64,
}

impl Plan {
    pub(crate) fn draw(chance: &mut Chance, mutation: Option<Mutation>) -> Self {
        let mode = match mutation {
            Some(Mutation::ConfirmOutOfOrder | Mutation::RetryOutOfOrder) => Mode::Shared,
            Some(_) => Mode::Chain,
            None if chance.one_in(3) => Mode::Shared,
            None => Mode::Chain,
        };
        let is_chain = mode == Mode::Chain;
        let loses_power = is_chain && chance.one_in(4);
        let purges = is_chain && !loses_power && chance.one_in(6);
        let repeats_ids = !loses_power && !purges && chance.one_in(6);
        // Where messages are not linked, an id that is passed over shortens the chain, and what an old connection delivers
        // late may fit into it.
        let is_linked = !is_chain || mutation.is_some() || repeats_ids || chance.one_in(2);
        let mut some = |weight| if chance.one_in(2) { weight } else { 0 };
        let faults = Faults {
            kill: some(2),
            pause: some(2),
            stop: some(1),
            postgres_crash: some(1),
            postgres_stop: some(1),
            disconnect: some(1),
            broker_restart: some(1),
            break_link: some(2),
            power_loss: if loses_power { 2 } else { 0 },
            silent_loss: if loses_power { some(1) } else { 0 },
            mood: some(2),
            full: some(1),
            disturb: some(3),
            // Where power is lost, messages of others could take the very sequences of those that were forgotten; where ids
            // are not unique, the one before is not known for sure. That is two broken conditions at once.
            foreign: match some(1) {
                _ if loses_power || repeats_ids => 0,
                _ if !is_linked => 1,
                weight => weight,
            },
            // Where messages are not linked, those that displaced events must not go before somebody has looked at them.
            remove_oldest: if is_linked { some(1) } else { 0 },
            purge: u64::from(purges && is_linked),
            stale_end: some(1),
        };
        Self {
            mode,
            steps: chance.between(60, 260),
            max_in_flight: chance.pick(if is_linked { &[1, 2, 3, 5, 8, 16, 64] } else { &[3, 5, 8, 16, 64] }),
            max_in_flight_bytes: chance.pick(&[1, 300, 100_000]),
            hold_back_ms: if loses_power { HOLD_BACK_MS } else { chance.pick(&[0, 0, 0, 50]) },
            dedup_ms: chance.pick(&[1, 100, 5000]),
            largest_transaction: chance.pick(&[1, 3, 3, 12]),
            repeats_ids,
            is_linked,
            is_slow: chance.one_in(2),
            half_open: chance.one_in(2),
            faults,
        }
    }
}
