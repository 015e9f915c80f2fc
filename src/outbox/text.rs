//! A short text that a row gave: borrowed where the row holds characters, kept in place where it holds a number or a
//! UUID, so that no event costs an allocation for either.

use super::Traceable;
use std::{fmt, ops::Deref};

/// Text from a row, read like a `&str`. Its `Debug` form is escaped and cut, so that it can be logged.
#[derive(Clone, Copy)]
pub struct Text<'a>(Repr<'a>);

/// Where the characters are.
#[derive(Clone, Copy)]
enum Repr<'a> {
    /// In the row.
    Borrowed(&'a str),
    /// Here.
    Inline {
        /// UTF-8, `len` bytes of it.
        bytes: [u8; INLINE_BYTES],
        /// 0 to [`INLINE_BYTES`].
        len: u8,
    },
}

/// Room for a UUID with its hyphens, the longest form written here; a 64-bit number needs 20.
const INLINE_BYTES: usize = 36;

impl<'a> Text<'a> {
    /// No characters.
    pub const EMPTY: Self = Self::borrowed("");

    /// Text that is somewhere else.
    pub const fn borrowed(text: &'a str) -> Self {
        Self(Repr::Borrowed(text))
    }

    /// A UUID from its 16 bytes: 36 characters, lower case, with hyphens, as Postgres prints it.
    pub(super) fn uuid(raw: [u8; 16]) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        uuid::Uuid::from_bytes(raw).as_hyphenated().encode_lower(&mut bytes);
        Self(Repr::Inline { bytes, len: 36 })
    }

    /// A whole number in decimal.
    pub(super) fn integer(value: i64) -> Self {
        let mut digits = itoa::Buffer::new();
        Self::inline(digits.format(value)).unwrap_or(Self::EMPTY)
    }

    /// A copy of characters, if they are few enough to be kept here.
    pub(super) fn inline(text: &str) -> Option<Self> {
        let mut bytes = [0; INLINE_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(Repr::Inline { bytes, len: u8::try_from(text.len()).ok()? }))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Borrowed(text) => text,
            Repr::Inline { bytes, len } => {
                let written = bytes.get(..usize::from(*len)).unwrap_or_default();
                str::from_utf8(written).expect("whole texts are kept inline")
            }
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::borrowed(text)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Traceable(self.as_str()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_written_in_decimal(value: i64) {
            let text = Text::integer(value);
            prop_assert_eq!(text.as_str(), value.to_string());
        }

        #[test]
        fn uuids_are_written_in_lower_case_with_hyphens(raw: [u8; 16]) {
            let text = Text::uuid(raw);
            prop_assert_eq!(text.as_str(), uuid::Uuid::from_bytes(raw).to_string());
        }
    }

    proptest! {
        #[test]
        fn a_text_is_kept_here_if_it_fits(text in ".{0,20}") {
            let kept = Text::inline(&text);
            prop_assert_eq!(kept.as_ref().map(Text::as_str), Some(&*text).filter(|text| text.len() <= INLINE_BYTES));
        }
    }

    #[test]
    fn the_longest_forms_fit() {
        assert_eq!(Text::integer(i64::MIN), "-9223372036854775808");
        assert_eq!(Text::uuid([0xAB; 16]), "abababab-abab-abab-abab-abababababab");
    }

    #[test]
    fn debug_is_safe_to_log() {
        assert_eq!(format!("{:?}", Text::from("a\nb")), "\"a\\nb\"");
    }
}
