//! How long events were under way: a histogram of fixed size, whatever their number.

use std::time::Duration;

/// Buckets for each doubling: a quantile is at most an eighth too high.
const PER_DOUBLING: u64 = 8;

/// Latencies, in buckets that grow with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    /// How many there are in each bucket.
    buckets: Vec<u64>,
    /// How many there are.
    count: u64,
    /// The highest.
    highest: Duration,
}

impl Latencies {
    /// One more.
    pub(super) fn add(&mut self, latency: Duration) {
        let bucket = bucket_of(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.highest = self.highest.max(latency);
    }

    /// So many in a hundred took no longer than this; none if there are no latencies.
    pub(super) fn percentile(&self, percent: u64) -> Option<Duration> {
        let wanted = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted && wanted > 0
        })?;
        Some(Duration::from_micros(end_of(bucket)).min(self.highest))
    }

    /// The longest; none if there are no latencies.
    pub(super) fn highest(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.highest)
    }
}

/// The bucket of a number: itself if it is small, else by its highest bit and the three bits below.
fn bucket_of(micros: u64) -> usize {
    let Some(doubling) = micros.checked_ilog2().map(u64::from).filter(|bits| *bits > 3) else {
        return usize::try_from(micros).unwrap_or_default();
    };
    let step = (micros >> (doubling - 3)) - PER_DOUBLING;
    usize::try_from((doubling - 2) * PER_DOUBLING + step).unwrap_or_default()
}

/// The highest number in a bucket.
fn end_of(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let (doubling, step) = (bucket / PER_DOUBLING, bucket % PER_DOUBLING);
    if doubling < 2 {
        return bucket;
    }
    let width = 1_u64.checked_shl(u32::try_from(doubling - 1).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
    (PER_DOUBLING + step).saturating_mul(width).saturating_add(width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_its_bucket_and_hardly_below_its_end() {
        let mut last = 0;
        for micros in (0..5000).chain([1 << 20, (1 << 40) + 12345]) {
            let bucket = bucket_of(micros);
            assert!(bucket >= last, "{micros}");
            last = bucket;
            let end = end_of(bucket);
            assert!(end >= micros && end - micros <= micros / 8, "{micros} in a bucket up to {end}");
            assert_eq!(bucket_of(end), bucket, "{micros}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_numbers() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        for millis in 1..=100 {
            latencies.add(Duration::from_millis(millis));
        }
        let p50 = latencies.percentile(50).unwrap().as_secs_f64();
        assert!((0.050..0.0563).contains(&p50), "{p50}");
        assert_eq!(latencies.percentile(100), Some(Duration::from_millis(100)));
        assert_eq!(latencies.highest(), Some(Duration::from_millis(100)));
    }
}
