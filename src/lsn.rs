//! Log sequence numbers: byte positions in the write-ahead log.
//!
//! An [`Lsn`] counts bytes since the cluster was made. Postgres prints it as two hexadecimal halves, `16/B374D848`
//! (<https://www.postgresql.org/docs/current/datatype-pg-lsn.html>). Two LSNs compare only within one cluster and along
//! one timeline history; [`crate::position`] carries that identity.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A byte position in the write-ahead log; 0 is what Postgres calls invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The invalid position: before everything, never the place of a record.
    pub const ZERO: Self = Self(0);

    /// An LSN from its 64-bit value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The 64-bit value, in bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whether this is a real position, not [`Lsn::ZERO`].
    pub const fn is_valid(self) -> bool {
        self.0 != 0
    }

    /// The position that many bytes later; the last one of all if there is none.
    pub const fn saturating_add(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// Appends its text: what `to_string` gives, without the machinery of formatting.
    pub fn write(self, out: &mut String) {
        write_half(self.0 >> 32, out);
        out.push('/');
        write_half(self.0 & 0xFFFF_FFFF, out);
    }

    /// How many bytes of log lie between `earlier` and this position; 0 if it is not earlier.
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Appends one hexadecimal half: digits from the first that is not zero on, and at least one.
fn write_half(half: u64, out: &mut String) {
    let digits = (u64::BITS - half.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = u32::try_from(half >> (4 * place) & 0xF).unwrap_or_default();
        out.extend(char::from_digit(digit, 16).map(|digit| digit.to_ascii_uppercase()));
    }
}

impl Serialize for Lsn {
    /// As Postgres writes it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let (high, low) = text.split_once('/').ok_or(LsnError)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

/// One hexadecimal half: 1 to 8 digits and nothing else (no sign, no blank).
fn half(digits: &str) -> Result<u64, LsnError> {
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(LsnError);
    }
    u64::from_str_radix(digits, 16).map_err(|_| LsnError)
}

/// Text that is not an LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log position (expected two hexadecimal numbers, such as 16/B374D848)")]
pub struct LsnError;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_value_agree(value: u64) {
            prop_assert_eq!(Lsn::new(value).to_string().parse(), Ok(Lsn::new(value)));
        }

        #[test]
        fn both_ways_to_write_one_agree(value: u64, shift in 0..64u32) {
            let lsn = Lsn::new(value >> shift);
            let mut appended = String::from("at ");
            lsn.write(&mut appended);
            prop_assert_eq!(appended, format!("at {lsn}"));
        }

        #[test]
        fn any_text_gives_a_position_or_an_error(text: String) {
            let _outcome: Result<Lsn, _> = text.parse();
        }
    }

    #[test]
    fn what_postgres_never_prints_is_refused() {
        for text in ["", "/", "1", "1/", "/1", "+1/0", "1/ 2", "123456789/0", "0/123456789", "g/0", "1/2/3"] {
            assert_eq!(text.parse::<Lsn>(), Err(LsnError), "{text}");
        }
    }
}
