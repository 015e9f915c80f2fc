//! Poison: which events no message can carry, and why; the one place where that is classified.
//!
//! All of it is known before anything is sent, and none of it passes by waiting: the same row gives the same answer
//! tomorrow. What a broker or a server does is never poison, and neither is a table that has changed: those stop the line.
//!
//! Invariant: nothing here holds a value of a row. Names of columns and headers, kinds and sizes do.

use std::{fmt, str::FromStr};

use super::message::MessageError;
use crate::outbox::{BadColumn, MAX_SUBJECT_BYTES, RowFault};

/// What to do about an event that no message can carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPoison {
    /// A small record takes its place in the stream, and the line moves on.
    #[default]
    DeadLetter,
    /// The line stops until somebody has decided.
    Halt,
}

impl OnPoison {
    /// Both, by their names.
    pub const ALL: [(&'static str, Self); 2] = [("dead-letter", Self::DeadLetter), ("halt", Self::Halt)];
}

/// Why an event is poison: a closed set, whose names others rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoisonReason {
    /// A value that every event needs is null.
    NullValue,
    /// The id is empty.
    EmptyId,
    /// A value that is shown or routed on is not UTF-8.
    InvalidUtf8,
    /// A value is not of the form that its type has.
    UnreadableValue,
    /// A value that no header can carry: with a line end, for example.
    UnsendableValue,
    /// The subject would be too long.
    SubjectTooLong,
    /// All headers together are larger than a server takes.
    HeadersTooLarge,
    /// The message is larger than the server or the stream takes.
    MessageTooLarge,
}

impl PoisonReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NullValue,
        Self::EmptyId,
        Self::InvalidUtf8,
        Self::UnreadableValue,
        Self::UnsendableValue,
        Self::SubjectTooLong,
        Self::HeadersTooLarge,
        Self::MessageTooLarge,
    ];

    /// The name in headers, metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NullValue => "null-value",
            Self::EmptyId => "empty-id",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::UnreadableValue => "unreadable-value",
            Self::UnsendableValue => "unsendable-value",
            Self::SubjectTooLong => "subject-too-long",
            Self::HeadersTooLarge => "headers-too-large",
            Self::MessageTooLarge => "message-too-large",
        }
    }

    /// What would let such an event through, other than a change of the row, which the log does not take back.
    pub(super) const fn way_through(self) -> Option<&'static str> {
        match self {
            Self::MessageTooLarge => {
                Some("raise max_payload of the NATS server (and max_msg_size of the stream, if it has one)")
            }
            Self::SubjectTooLong => Some("choose a nats.subject without that column"),
            _ => None,
        }
    }
}

impl fmt::Display for PoisonReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for PoisonReason {
    type Err = ();

    fn from_str(code: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|reason| reason.code() == code).ok_or(())
    }
}

/// What is wrong with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// The kind of it.
    pub reason: PoisonReason,
    /// A sentence for people, without a value of the row.
    pub detail: String,
    /// The size of what is too large, in bytes.
    pub size_bytes: Option<usize>,
    /// The size that it may have, in bytes.
    pub limit_bytes: Option<usize>,
}

impl From<&BadColumn> for Poison {
    fn from(bad: &BadColumn) -> Self {
        let reason = match bad.fault {
            RowFault::Null => PoisonReason::NullValue,
            RowFault::Empty => PoisonReason::EmptyId,
            RowFault::NotUtf8 => PoisonReason::InvalidUtf8,
            RowFault::Unchanged | RowFault::Malformed { .. } => PoisonReason::UnreadableValue,
        };
        Self { reason, detail: bad.to_string(), size_bytes: None, limit_bytes: None }
    }
}

impl From<&MessageError> for Poison {
    fn from(error: &MessageError) -> Self {
        use MessageError as E;
        let (reason, size_bytes, limit_bytes) = match *error {
            E::Subject(_) => (PoisonReason::SubjectTooLong, None, Some(MAX_SUBJECT_BYTES)),
            E::HeaderValue { .. } => (PoisonReason::UnsendableValue, None, None),
            E::HeadersTooLarge { headers_bytes, max_bytes } => {
                (PoisonReason::HeadersTooLarge, Some(headers_bytes), Some(max_bytes))
            }
            E::TooLarge { message_bytes, max_bytes } | E::TooLargeForStream { message_bytes, max_bytes } => {
                (PoisonReason::MessageTooLarge, Some(message_bytes), Some(max_bytes))
            }
        };
        Self { reason, detail: error.to_string(), size_bytes, limit_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{DropReason, SubjectError};

    #[test]
    fn codes_are_words_with_hyphens_and_read_back() {
        for reason in PoisonReason::ALL {
            let code = reason.code();
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{code}");
            assert_eq!(code.parse(), Ok(reason));
        }
    }

    #[test]
    fn every_fault_of_a_message_has_its_reason_and_its_sizes() {
        use PoisonReason as R;
        for (error, reason, sizes) in [
            (MessageError::Subject(SubjectError), R::SubjectTooLong, (None, Some(1024))),
            (
                MessageError::HeaderValue { header: "Nats-Msg-Id", reason: DropReason::EdgeBlank },
                R::UnsendableValue,
                (None, None),
            ),
            (
                MessageError::HeadersTooLarge { headers_bytes: 70_000, max_bytes: 65_535 },
                R::HeadersTooLarge,
                (Some(70_000), Some(65_535)),
            ),
            (MessageError::TooLarge { message_bytes: 3, max_bytes: 2 }, R::MessageTooLarge, (Some(3), Some(2))),
            (
                MessageError::TooLargeForStream { message_bytes: 3, max_bytes: 2 },
                R::MessageTooLarge,
                (Some(3), Some(2)),
            ),
        ] {
            let poison = Poison::from(&error);
            assert_eq!((poison.reason, (poison.size_bytes, poison.limit_bytes)), (reason, sizes));
            assert_eq!(poison.detail, error.to_string());
        }
    }
}
