//! How long most of them took, and by which clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::results::rounded;

/// What is reported, in percent.
const PERCENTILES: [usize; 4] = [50, 95, 99, 100];

/// p50, p95, p99 and the largest in milliseconds, of times in microseconds that are sorted.
pub(crate) fn percentiles_ms(sorted_us: &[u64]) -> [f64; PERCENTILES.len()] {
    let at = |percent: usize| sorted_us[(sorted_us.len() * percent).div_ceil(100) - 1];
    PERCENTILES.map(|percent| rounded(f64::from(u32::try_from(at(percent)).unwrap()) / 1000.0, 2))
}

/// The clock that the servers read too, in microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}
