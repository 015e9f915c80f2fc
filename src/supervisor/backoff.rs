//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The first wait: a connection that was cut is mostly back at once.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait: what comes back is taken up within seconds.
const LONGEST: Duration = Duration::from_secs(5);

/// The wait before attempt number `attempts`, counted from 0: it doubles up to [`LONGEST`], and is spread over its
/// upper half so that many instances do not come all at once.
pub(super) fn wait(attempts: u32) -> Duration {
    spread(FIRST.saturating_mul(2u32.saturating_pow(attempts.min(16))).min(LONGEST), chance())
}

fn spread(whole: Duration, chance: u8) -> Duration {
    whole / 2 + whole / 2 * u32::from(chance) / u32::from(u8::MAX)
}

/// Chance enough for spreading: the standard library's own seed for hash tables.
fn chance() -> u8 {
    let [byte, ..] = RandomState::new().hash_one(0u8).to_be_bytes();
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_never_below_half() {
        for attempts in [0, 1, 5, 7, 100, u32::MAX] {
            let wait = wait(attempts);
            assert!(wait >= FIRST / 2 && wait <= LONGEST, "{wait:?}");
        }
        assert_eq!(spread(LONGEST, 0), LONGEST / 2);
        assert_eq!(spread(LONGEST, u8::MAX), LONGEST);
        assert!(wait(20) >= LONGEST / 2);
    }
}
