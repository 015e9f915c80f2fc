//! Names and values of headers that were looked at: whoever has one need not look again.
//!
//! None of them ends a line, so what is written of them is the header that it seems to be and no other.

use super::rules::{DropReason, check_name, check_value};
use crate::outbox::Text;

/// The name of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderName<'a>(&'a str);

/// The value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderText<T>(T);

impl<'a> HeaderName<'a> {
    /// A name from data, if only consumers care for it.
    pub fn from_data(name: &'a str) -> Result<Self, DropReason> {
        check_name(name).map(|()| Self(name))
    }

    /// The name.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl HeaderName<'static> {
    /// A name of the broker's or of walpost's own, for a constant: what is no name does not compile.
    pub const fn own(name: &'static str) -> Self {
        let mut rest = name.as_bytes();
        assert!(!rest.is_empty(), "a header has a name");
        while let Some((first, after)) = rest.split_first() {
            assert!(
                first.is_ascii_alphanumeric() || *first == b'-',
                "the name of a header is letters, digits and hyphens"
            );
            rest = after;
        }
        Self(name)
    }
}

impl<'a> HeaderText<&'a str> {
    /// A value from data, if it can be the value of a header.
    pub fn from_data(text: &'a str) -> Result<Self, DropReason> {
        check_value(text).map(|()| Self(text))
    }

    /// The beginning of a text that was made of nothing else.
    pub(crate) const fn again(text: &'a str) -> Self {
        Self(text)
    }

    /// The same in a place of its own, if it is short.
    pub fn inline(self) -> Option<HeaderText<Text<'static>>> {
        Text::inline(self.0).map(HeaderText)
    }

    /// The same, copied.
    pub fn to_owned(self) -> HeaderText<String> {
        HeaderText(self.0.to_owned())
    }
}

impl HeaderText<String> {
    /// The same of a text that is kept.
    pub fn keep(text: String) -> Result<Self, DropReason> {
        check_value(&text).map(|()| Self(text))
    }
}

impl<T: AsRef<str>> HeaderText<T> {
    /// The characters.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The same, without copying it.
    pub fn borrowed(&self) -> HeaderText<&str> {
        HeaderText(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_value_ends_a_line() {
        for bad in ["a\rb", "\n", "a\r\n", "x\r\nNats-Msg-Id: 8"] {
            assert!(HeaderName::from_data(bad).is_err() && HeaderText::from_data(bad).is_err(), "{bad:?}");
            assert!(HeaderText::keep(bad.to_owned()).is_err(), "{bad:?}");
            assert!(std::panic::catch_unwind(|| HeaderName::own(bad)).is_err(), "{bad:?}");
        }
    }
}
