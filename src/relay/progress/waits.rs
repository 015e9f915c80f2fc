//! What the time goes into: how long was waited for what.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What is waited for. Who waits for none of these works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// More log: nothing is to be delivered.
    Log,
    /// Answers to the messages that are on their way, with room for more.
    Answers,
    /// Room: the window is full, and the broker is the limit.
    Room,
    /// The broker, which is away or refuses.
    Broker,
    /// The slot, which another process has.
    Slot,
    /// The next attempt after a fault that needed everything anew.
    Retry,
}

impl Wait {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Log, Self::Answers, Self::Room, Self::Broker, Self::Slot, Self::Retry];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Answers => "answers",
            Self::Room => "room",
            Self::Broker => "broker",
            Self::Slot => "slot",
            Self::Retry => "retry",
        }
    }
}

/// The time for each kind, in microseconds, by its place in [`Wait::ALL`].
#[derive(Debug, Default)]
pub(super) struct Waits([AtomicU64; Wait::ALL.len()]);

impl Waits {
    pub(super) fn add(&self, wait: Wait, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        for (candidate, sum) in Wait::ALL.into_iter().zip(&self.0) {
            if candidate == wait {
                sum.fetch_add(us, Relaxed);
            }
        }
    }

    pub(super) fn all(&self) -> Vec<(Wait, Duration)> {
        Wait::ALL.into_iter().zip(self.0.iter().map(|sum| Duration::from_micros(sum.load(Relaxed)))).collect()
    }
}
