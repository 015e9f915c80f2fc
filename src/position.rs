//! Where an event stands in the log, and in whose log.
//!
//! Every published message carries its [`Position`] in the header `Walpost-Position`, so that the stream itself is the
//! checkpoint: whoever starts next reads the last message and continues right behind it. Two positions compare only
//! within one [`Source`]. The text form is `1:<system>:<timeline>:<slot>:<commit LSN>:<index>`; the leading number is
//! the version of the form.

use std::{fmt, str::FromStr};

use crate::lsn::Lsn;

/// The version of the text form that this code writes and reads.
const VERSION: &str = "1";

/// The log that positions belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The number that `initdb` drew for the cluster.
    pub system_id: u64,
    /// The timeline that the log was read on.
    pub timeline: u32,
    /// The replication slot that it was read through. Postgres allows `[a-z0-9_]` only, hence no escaping.
    pub slot: String,
}

/// A place in one log: the transaction, by the LSN of its commit record, and the row in it.
///
/// Commit LSNs rise from one transaction to the next in the order in which they are sent, so the order of places is the
/// order of events. Rows need an index because many of them may share one LSN (`COPY`, multi-row `INSERT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where the commit record begins.
    pub commit_lsn: Lsn,
    /// Which outbox row of the transaction, from 0.
    pub index: u32,
}

/// A place and the log that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The log.
    pub source: Source,
    /// The place in it.
    pub place: Place,
}

impl Source {
    /// The text form of a position in this log.
    pub fn position(&self, place: Place) -> String {
        format!("{}{place}", self.prefix())
    }

    /// What the text form of every position in this log begins with; the place follows.
    pub fn prefix(&self) -> String {
        let Self { system_id, timeline, slot } = self;
        format!("{VERSION}:{system_id}:{timeline}:{slot}:")
    }
}

impl Place {
    /// Appends its text: what `to_string` gives, without the machinery of formatting.
    pub fn write(self, out: &mut String) {
        self.commit_lsn.write(out);
        out.push(':');
        out.push_str(itoa::Buffer::new().format(self.index));
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.commit_lsn, self.index)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source.position(self.place))
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let mut parts = text.split(':');
        let mut part = || parts.next().ok_or(PositionError::Form);
        if part()? != VERSION {
            return Err(PositionError::Version);
        }
        let position = Self {
            source: Source {
                system_id: part()?.parse().map_err(|_| PositionError::Form)?,
                timeline: part()?.parse().map_err(|_| PositionError::Form)?,
                slot: part()?.to_owned(),
            },
            place: Place {
                commit_lsn: part()?.parse().map_err(|_| PositionError::Form)?,
                index: part()?.parse().map_err(|_| PositionError::Form)?,
            },
        };
        if part().is_ok() { Err(PositionError::Form) } else { Ok(position) }
    }
}

/// Text that is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Written by a walpost that is newer than this one.
    #[error("the position is written in a form that this version of walpost does not know")]
    Version,
    /// Not written by walpost.
    #[error("the position cannot be read")]
    Form,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn positions()(
            system_id: u64, timeline: u32, slot in "[a-z0-9_]{1,63}", lsn: u64, index: u32,
        ) -> Position {
            Position {
                source: Source { system_id, timeline, slot },
                place: Place { commit_lsn: Lsn::new(lsn), index },
            }
        }
    }

    proptest! {
        #[test]
        fn text_and_position_agree(position in positions()) {
            prop_assert_eq!(position.to_string().parse(), Ok(position.clone()));
            let mut appended = position.source.prefix();
            position.place.write(&mut appended);
            prop_assert_eq!(appended, position.to_string());
        }

        #[test]
        fn any_text_gives_a_position_or_an_error(text: String) {
            let _outcome: Result<Position, _> = text.parse();
        }
    }

    #[test]
    fn a_later_form_is_told_from_nonsense() {
        assert_eq!("2:what:ever".parse::<Position>(), Err(PositionError::Version));
        assert_eq!("1:1:1:slot:0/1".parse::<Position>(), Err(PositionError::Form));
        assert_eq!("1:1:1:slot:0/1:0:0".parse::<Position>(), Err(PositionError::Form));
    }

    #[test]
    fn rows_of_one_transaction_are_ordered_by_index_and_transactions_by_commit() {
        let place = |lsn, index| Place { commit_lsn: Lsn::new(lsn), index };
        assert!(place(5, 0) < place(5, 1) && place(5, 1000) < place(6, 0));
    }
}
