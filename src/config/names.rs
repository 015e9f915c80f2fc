//! Names that Postgres and NATS give rules for: right if they exist.

use std::fmt;

use super::problem::{Reason, quoted};

/// Writes a name type: a text that only its parser makes.
macro_rules! name {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a replication slot: 1 to 63 of a-z, 0-9 and `_`
    /// (<https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION>).
    SlotName
}

impl SlotName {
    /// Parses a slot name.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let is_right = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty() || text.len() > LONGEST_IDENTIFIER_BYTES || !text.bytes().all(is_right) {
            let reason = Reason::new(format!("{} is not a slot name", quoted(text)));
            return Err(reason.hint("Postgres takes 1 to 63 of a-z, 0-9 and _"));
        }
        Ok(Self(text.to_owned()))
    }
}

name! {
    /// A name that Postgres takes when it is quoted, for a publication or a column: 1 to 63 bytes without a zero byte.
    Identifier
}

impl Identifier {
    /// Parses an identifier.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        if text.trim().is_empty() || text.contains('\0') {
            return Err(Reason::new(format!("{} is not a name", quoted(text))));
        }
        if text.len() > LONGEST_IDENTIFIER_BYTES {
            let reason = Reason::new(format!("{} is too long for a name", quoted(text)));
            return Err(reason.hint("Postgres cuts names after 63 bytes"));
        }
        Ok(Self(text.to_owned()))
    }
}

name! {
    /// The name of a stream: no dots, wildcards, blanks or path separators, at most 255 bytes
    /// (<https://docs.nats.io/nats-concepts/jetstream/streams>, ADR-6 of NATS).
    StreamName
}

impl StreamName {
    /// Parses a stream name.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
        if text.is_empty() || text.len() > LONGEST_STREAM_BYTES || text.contains(is_wrong) {
            let reason = Reason::new(format!("{} is not a stream name", quoted(text)));
            return Err(reason.hint("NATS takes 1 to 255 bytes without . * > / \\ and blanks"));
        }
        Ok(Self(text.to_owned()))
    }
}

name! {
    /// What the subjects of an inbox begin with: a subject without wildcards, at most 128 bytes. Characters that could end
    /// a line of the protocol are in none.
    InboxPrefix
}

impl InboxPrefix {
    /// Parses a prefix.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>';
        if text.len() > LONGEST_PREFIX_BYTES || text.split('.').any(str::is_empty) || text.contains(is_wrong) {
            let reason = Reason::new(format!("{} is not a subject", quoted(text)));
            return Err(reason.hint("words with dots between them, without * > and blanks, such as _INBOX_walpost"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Text that is not blank.
pub(super) fn not_blank(text: &str) -> Result<String, Reason> {
    if text.trim().is_empty() { Err(Reason::new("must not be blank")) } else { Ok(text.to_owned()) }
}

/// `NAMEDATALEN` less the closing zero byte.
const LONGEST_IDENTIFIER_BYTES: usize = 63;

/// Long enough for any name, short enough for a reply subject.
const LONGEST_PREFIX_BYTES: usize = 128;

/// The longest stream name that the server takes (`JSMaxNameLen` in its source).
const LONGEST_STREAM_BYTES: usize = 255;
