//! What is counted of each endpoint, for whoever looks.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{endpoint::EndpointName, verdict::OutcomeClass};

/// The upper bounds of the buckets of how long attempts take, in seconds. The last one has none.
pub(super) const ATTEMPT_BUCKETS_SECONDS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// The counters of one endpoint.
#[derive(Debug)]
pub struct EndpointStats {
    name: EndpointName,
    is_held: AtomicBool,
    is_in_trouble: AtomicBool,
    is_disabled: AtomicBool,
    read: AtomicU64,
    open: AtomicU64,
    behind: AtomicU64,
    oldest_ms: AtomicU64,
    dead: AtomicU64,
    attempts: [AtomicU64; OutcomeClass::ALL.len()],
    took_counts: [AtomicU64; ATTEMPT_BUCKETS_SECONDS.len() + 1],
    took_us: AtomicU64,
}

/// The counters of one endpoint at a moment.
#[derive(Clone, Debug)]
pub struct EndpointSeen {
    /// Its name.
    pub name: EndpointName,
    /// Whether this instance delivers to it.
    pub is_held: bool,
    /// Whether JetStream keeps it from being served.
    pub is_in_trouble: bool,
    /// Whether it is disabled.
    pub is_disabled: bool,
    /// Up to which sequence the stream is read.
    pub read: u64,
    /// How many events are read and not settled.
    pub open: u64,
    /// How many events of the stream are not read yet.
    pub behind: u64,
    /// When the oldest event that is open was stored, in milliseconds since 1970; none if that is not known.
    pub oldest_ms: Option<u64>,
    /// How many dead letters were stored.
    pub dead: u64,
    /// How many attempts came to what.
    pub attempts: Vec<(OutcomeClass, u64)>,
    /// How many attempts took how long.
    pub took_counts: Vec<u64>,
    /// How long they took together.
    pub took: Duration,
}

impl EndpointStats {
    /// Of an endpoint that nothing is known of yet.
    pub fn new(name: EndpointName) -> Self {
        Self {
            name,
            is_held: AtomicBool::default(),
            is_in_trouble: AtomicBool::default(),
            is_disabled: AtomicBool::default(),
            read: AtomicU64::default(),
            open: AtomicU64::default(),
            behind: AtomicU64::default(),
            oldest_ms: AtomicU64::default(),
            dead: AtomicU64::default(),
            attempts: std::array::from_fn(|_| AtomicU64::default()),
            took_counts: std::array::from_fn(|_| AtomicU64::default()),
            took_us: AtomicU64::default(),
        }
    }

    pub(super) fn name(&self) -> &EndpointName {
        &self.name
    }

    pub(super) fn hold(&self) {
        self.is_held.store(true, Relaxed);
        self.is_in_trouble.store(false, Relaxed);
    }

    pub(super) fn let_go(&self) {
        self.is_held.store(false, Relaxed);
        self.is_disabled.store(false, Relaxed);
        self.open.store(0, Relaxed);
        self.behind.store(0, Relaxed);
        self.oldest_ms.store(0, Relaxed);
    }

    pub(super) fn trouble(&self) {
        self.is_in_trouble.store(true, Relaxed);
    }

    pub(super) fn show(&self, read: u64, open: usize, is_disabled: bool) {
        self.read.store(read, Relaxed);
        self.open.store(u64::try_from(open).unwrap_or(u64::MAX), Relaxed);
        self.is_disabled.store(is_disabled, Relaxed);
    }

    /// How many events are not read yet, as far as the reader knows.
    pub(super) fn set_behind(&self, behind: u64) {
        self.behind.store(behind, Relaxed);
    }

    /// When the oldest open event was stored.
    pub(super) fn set_oldest(&self, stored_ms: Option<u64>) {
        self.oldest_ms.store(stored_ms.unwrap_or(0), Relaxed);
    }

    pub(super) fn buried(&self) {
        self.dead.fetch_add(1, Relaxed);
    }

    pub(super) fn attempted(&self, class: OutcomeClass, took: Duration) {
        let counter = OutcomeClass::ALL.iter().position(|one| *one == class).and_then(|at| self.attempts.get(at));
        counter.into_iter().for_each(|counter| {
            counter.fetch_add(1, Relaxed);
        });
        let bucket = ATTEMPT_BUCKETS_SECONDS.iter().take_while(|bound| took.as_secs_f64() > **bound).count();
        if let Some(counter) = self.took_counts.get(bucket) {
            counter.fetch_add(1, Relaxed);
        }
        self.took_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The counters now.
    pub fn seen(&self) -> EndpointSeen {
        EndpointSeen {
            name: self.name.clone(),
            is_held: self.is_held.load(Relaxed),
            is_in_trouble: self.is_in_trouble.load(Relaxed),
            is_disabled: self.is_disabled.load(Relaxed),
            read: self.read.load(Relaxed),
            open: self.open.load(Relaxed),
            behind: self.behind.load(Relaxed),
            oldest_ms: Some(self.oldest_ms.load(Relaxed)).filter(|ms| *ms > 0),
            dead: self.dead.load(Relaxed),
            attempts: OutcomeClass::ALL
                .into_iter()
                .zip(self.attempts.iter().map(|counter| counter.load(Relaxed)))
                .collect(),
            took_counts: self.took_counts.iter().map(|counter| counter.load(Relaxed)).collect(),
            took: Duration::from_micros(self.took_us.load(Relaxed)),
        }
    }
}
