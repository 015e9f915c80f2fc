//! What a session must be able to do, so that a host is the right one among several: libpq's `target_session_attrs`.
//!
//! A server tells both facts by itself while one logs in, from version 14 on
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC>), so nothing has to be asked. What a pooler
//! keeps to itself counts as fit; preflight asks the server again.

use std::{fmt, str::FromStr};

use super::EndpointError;

/// What a host must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionAttrs {
    /// Whatever lets us in.
    Any,
    /// Not a standby, and transactions may write unless they say otherwise.
    ReadWrite,
    /// Not a standby.
    Primary,
}

/// What a server reported of the session while we logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    in_hot_standby: bool,
    is_read_only: bool,
}

/// Why a session will not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The server only replays what another one sends it.
    #[error("it is a standby, and target_session_attrs asks for {0}")]
    Standby(SessionAttrs),
    /// Transactions may not write.
    #[error("its sessions are read-only (default_transaction_read_only), and target_session_attrs asks for {0}")]
    ReadOnly(SessionAttrs),
}

impl SessionAttrs {
    /// Those that walpost can work with, by the names that libpq gives them.
    pub const WORDS: [(&'static str, Self); 3] =
        [("any", Self::Any), ("read-write", Self::ReadWrite), ("primary", Self::Primary)];
    /// Those that lead to a standby, which has no log for walpost to read.
    const OF_STANDBYS: [&'static str; 3] = ["read-only", "standby", "prefer-standby"];

    /// Whether a session like this will do.
    pub(crate) fn judge(self, reported: Reported) -> Result<(), Misfit> {
        match self {
            Self::Any => Ok(()),
            Self::ReadWrite | Self::Primary if reported.in_hot_standby => Err(Misfit::Standby(self)),
            Self::ReadWrite if reported.is_read_only => Err(Misfit::ReadOnly(self)),
            Self::ReadWrite | Self::Primary => Ok(()),
        }
    }
}

impl Reported {
    /// The names of the parameters that matter.
    pub(crate) const NAMES: [&'static str; 2] = ["in_hot_standby", "default_transaction_read_only"];

    /// Takes in what the server says of a parameter.
    pub(crate) fn note(&mut self, name: &str, value: &str) {
        let [in_hot_standby, is_read_only] = Self::NAMES;
        if name == in_hot_standby {
            self.in_hot_standby = value == "on";
        } else if name == is_read_only {
            self.is_read_only = value == "on";
        }
    }
}

impl FromStr for SessionAttrs {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if Self::OF_STANDBYS.contains(&text) {
            return Err(EndpointError::AsksForStandby);
        }
        let known = Self::WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, attrs)| *attrs).ok_or(EndpointError::SessionAttrs)
    }
}

impl fmt::Display for SessionAttrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::WORDS.iter().find(|(_, attrs)| attrs == self);
        f.write_str(known.map_or("", |(word, _)| word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(values: [&str; 2]) -> Reported {
        let mut reported = Reported::default();
        for (name, value) in Reported::NAMES.into_iter().zip(values) {
            reported.note(name, value);
        }
        reported
    }

    #[test]
    fn words_are_libpqs_and_those_for_standbys_are_refused_for_what_they_are() {
        for (word, attrs) in SessionAttrs::WORDS {
            assert_eq!((word.parse(), attrs.to_string()), (Ok(attrs), word.to_owned()));
        }
        for word in SessionAttrs::OF_STANDBYS {
            assert_eq!(word.parse::<SessionAttrs>(), Err(EndpointError::AsksForStandby), "{word}");
        }
        assert_eq!("master".parse::<SessionAttrs>(), Err(EndpointError::SessionAttrs));
    }

    #[test]
    fn a_standby_is_neither_primary_nor_for_writing() {
        use SessionAttrs::{Any, Primary, ReadWrite};
        let [primary, standby, read_only] = [["off", "off"], ["on", "off"], ["off", "on"]].map(reported);
        for attrs in [Any, ReadWrite, Primary] {
            assert_eq!(attrs.judge(primary), Ok(()), "{attrs}");
            assert_eq!(attrs.judge(Reported::default()), Ok(()), "{attrs}");
        }
        assert_eq!(Any.judge(standby), Ok(()));
        assert_eq!(Primary.judge(standby), Err(Misfit::Standby(Primary)));
        assert_eq!(ReadWrite.judge(standby), Err(Misfit::Standby(ReadWrite)));
        assert_eq!(Primary.judge(read_only), Ok(()));
        assert_eq!(ReadWrite.judge(read_only), Err(Misfit::ReadOnly(ReadWrite)));
    }
}
