//! What is known of everything that is served, for whoever looks: the counters of each endpoint, and of where they come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use super::{endpoint::EndpointName, stats::EndpointStats};

/// The counters of one process. Endpoints come and go.
#[derive(Debug, Default)]
pub struct Board {
    endpoints: Mutex<BTreeMap<EndpointName, Arc<EndpointStats>>>,
    /// Whether it is known which endpoints there are.
    is_known: AtomicBool,
    refused: AtomicU64,
    /// When the table was read, in milliseconds since 1970; 0 if there is none, or it never was.
    table_read_ms: AtomicU64,
}

impl Board {
    /// The counters of an endpoint, which begin when it is first asked for.
    pub fn of(&self, endpoint: &EndpointName) -> Arc<EndpointStats> {
        let mut endpoints = self.lock();
        let counters =
            endpoints.entry(endpoint.clone()).or_insert_with(|| Arc::new(EndpointStats::new(endpoint.clone())));
        Arc::clone(counters)
    }

    /// From now on it is known that these are served, and no others.
    pub(super) fn keep_only(&self, served: &BTreeSet<EndpointName>) {
        self.lock().retain(|name, _| served.contains(name));
        self.is_known.store(true, Relaxed);
    }

    /// The table of endpoints was read at this moment, in milliseconds since 1970.
    pub fn table_was_read(&self, at_ms: u64) {
        self.table_read_ms.store(at_ms, Relaxed);
    }

    /// So many rows of the table are no endpoints.
    pub fn set_refused(&self, count: usize) {
        self.refused.store(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
    }

    /// The counters of each endpoint.
    pub(super) fn all(&self) -> Vec<Arc<EndpointStats>> {
        self.lock().values().map(Arc::clone).collect()
    }

    /// Whether it is known which endpoints there are.
    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Relaxed)
    }

    /// How many rows of the table are no endpoints.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// When the table was read, in milliseconds since 1970.
    pub(super) fn table_read_ms(&self) -> Option<u64> {
        Some(self.table_read_ms.load(Relaxed)).filter(|ms| *ms > 0)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EndpointName, Arc<EndpointStats>>> {
        // Nobody who holds it panics, and a map that was being changed is still a map.
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
