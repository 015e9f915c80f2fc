//! Chance for the example: cheap and good enough to choose customers with, and nothing else.

use uuid::Uuid;

/// A SplitMix64 generator.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice that nobody has thrown yet.
    pub(super) fn new() -> Self {
        Self(Uuid::new_v4().as_u64_pair().0)
    }

    /// Any number.
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    /// `true` so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    /// One of these.
    pub(super) fn one_of<T: Copy, const N: usize>(&mut self, choice: [T; N]) -> T {
        const { assert!(N > 0, "there is nothing to choose from") };
        let index = usize::try_from(self.roll() % (N as u64)).unwrap_or_default();
        choice.into_iter().cycle().nth(index).expect("a cycle of at least one never ends")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_stay_in_their_bounds_and_reach_them() {
        let mut dice = Dice::new();
        let rolls: Vec<u64> = (0..1000).map(|_| dice.between(1, 3)).collect();
        assert_eq!((rolls.iter().min(), rolls.iter().max()), (Some(&1), Some(&3)));
        assert!((0..100).all(|_| !dice.chance(0) && dice.chance(100)));
        assert!((0..100).any(|_| dice.one_of(["a", "b"]) == "b"));
    }
}
