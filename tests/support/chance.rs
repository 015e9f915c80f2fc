//! Random choices from a seed, the same on every run with that seed (SplitMix64, after Steele, Lea and Flood, 2014).

/// Chooses.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// All choices follow from the seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that is given as `WALPOST_TEST_SEED` or new for each run; printed, so that a failure can be repeated.
    pub(crate) fn seed(test: &str) -> u64 {
        let given = std::env::var("WALPOST_TEST_SEED").ok();
        let seed = given.map_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0, |text| text.parse().unwrap());
        println!("{test}: WALPOST_TEST_SEED={seed}");
        seed
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// One of these.
    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = self.below(all.len().try_into().unwrap());
        &all[usize::try_from(index).unwrap()]
    }

    /// True in this many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
