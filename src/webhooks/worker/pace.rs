//! How often a record is written.

use std::time::Duration;

use crate::webhooks::ledger::Ledger;

/// The shortest time between two writes: a hundred a second.
const SHORTEST: Duration = Duration::from_millis(10);
/// How much longer it is for each open event. All of them stand in each version of the record, and an endpoint that fails
/// changes it all the time: without this it would have the broker store megabytes a second.
const OF_AN_OPEN_EVENT: Duration = Duration::from_micros(100);

/// How long to wait behind a write before the next one.
pub(super) fn gap(ledger: &Ledger) -> Duration {
    gap_of(ledger.open(), ledger.is_waited_for())
}

fn gap_of(open: usize, is_waited_for: bool) -> Duration {
    if is_waited_for {
        return SHORTEST;
    }
    SHORTEST.max(OF_AN_OPEN_EVENT.saturating_mul(u32::try_from(open).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::ledger::{Saved, SavedEvent};

    #[test]
    fn however_many_events_fail_a_record_costs_the_broker_less_than_half_a_megabyte_a_second() {
        for open in [1_u64, 16, 100, 1_000, 10_000] {
            let event = |sequence| SavedEvent(1_000_000_000 + sequence, 8, 1_790_000_000_000);
            let saved = Saved { read: u64::MAX, open: (0..open).map(event).collect() };
            let (bytes, gap) = (serde_json::to_vec(&saved).unwrap().len(), gap_of(saved.open.len(), false));
            let a_second = bytes as u128 * 1_000_000 / gap.as_micros();
            assert!(a_second < 500_000, "{a_second} bytes a second with {open} open");
        }
        assert_eq!((gap_of(100, false), gap_of(10_000, false)), (SHORTEST, Duration::from_secs(1)));
        assert_eq!(gap_of(10_000, true), SHORTEST, "the next of an aggregate waits for the record");
    }
}
