//! What the sandbox is asked for.

use std::path::PathBuf;
use std::str::FromStr;

use super::servers::Places;

/// How to run the sandbox.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// End after so many committed events; without it, when told to.
    pub events: Option<u64>,
    /// How fast to write events.
    pub rate: Rate,
    /// Where to look for the servers.
    pub places: Places,
    /// The walpost program, which is run as `walpost setup` and `walpost run`.
    pub program: PathBuf,
    /// How to show it.
    pub show: Show,
}

/// What the output is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Show {
    /// Whether a person looks at it on a terminal: then a part of it is drawn again and again.
    pub is_terminal: bool,
    /// Whether colours may be used.
    pub is_coloured: bool,
    /// How many characters fit in a line; 80 if that is not known. A terminal that is narrower cuts what is too long.
    pub width: usize,
}

/// How many events a second, or as many as possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(Option<f64>);

impl Rate {
    /// As many as possible.
    pub const MAX: Self = Self(None);

    /// The slowest: longer waits look like a standstill.
    const SLOWEST: f64 = 0.1;

    /// The fastest that is worth pacing; nothing writes a million events a second.
    const FASTEST: f64 = 1_000_000.0;

    /// Events a second, from 0.1 to a million; none if there is no limit.
    #[must_use]
    pub fn per_second(self) -> Option<f64> {
        self.0
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "max" {
            return Ok(Self::MAX);
        }
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Self::MAX),
            Ok(rate) if (Self::SLOWEST..=Self::FASTEST).contains(&rate) => Ok(Self(Some(rate))),
            _ => Err(RateError),
        }
    }
}

/// Text that is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number of events a second from 0.1 to 1000000, or `max` (or 0) for as many as possible")]
pub struct RateError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!("200".parse(), Ok(Rate(Some(200.0))));
        assert_eq!("0.5".parse(), Ok(Rate(Some(0.5))));
        assert_eq!("max".parse(), Ok(Rate::MAX));
        assert_eq!("0".parse(), Ok(Rate::MAX));
        for wrong in ["", "-1", "NaN", "inf", "1e99", "0.0001", "fast"] {
            assert_eq!(wrong.parse::<Rate>(), Err(RateError), "{wrong}");
        }
    }
}
