//! What can be wrong with a message.
//!
//! Every variant is the fault of whoever sent the bytes. Each says what was being read and at which byte of the message,
//! so that a dump of the frame shows the place at once; none repeats what the frame holds, except for a single byte of
//! protocol.

/// Bytes that are no pgoutput message of protocol version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message is over before its content is.
    #[error("cannot read the {reading} at byte {offset}: {left} of {needed} bytes are there")]
    EndsEarly {
        /// What was being read.
        reading: &'static str,
        /// Where it begins, counted from the first byte of the message.
        offset: usize,
        /// How many bytes it takes, at least.
        needed: usize,
        /// How many bytes there are from `offset` on.
        left: usize,
    },

    /// A string without the zero byte that ends it.
    #[error("cannot read the {reading} at byte {offset}: no zero byte ends it")]
    Unterminated {
        /// What was being read.
        reading: &'static str,
        /// Where it begins.
        offset: usize,
    },

    /// A string in some other encoding; see the module's words on `client_encoding`.
    #[error("cannot read the {reading} at byte {offset}: not UTF-8")]
    NotUtf8 {
        /// What was being read.
        reading: &'static str,
        /// Where it begins.
        offset: usize,
    },

    /// A length or count below zero.
    #[error("cannot read the {reading} at byte {offset}: {value} is negative")]
    Negative {
        /// What was being read.
        reading: &'static str,
        /// Where it begins.
        offset: usize,
        /// The number found.
        value: i32,
    },

    /// A byte that stands for something, but for nothing this version of the protocol has at that place.
    #[error("cannot read the {reading} at byte {offset}: 0x{byte:02x} has no meaning here")]
    Unknown {
        /// What was being read.
        reading: &'static str,
        /// Where it is.
        offset: usize,
        /// The byte found.
        byte: u8,
    },

    /// Bytes after the end of the message.
    #[error("expected the end of the message at byte {offset}, found {count} more")]
    TooLong {
        /// Where the message ought to end.
        offset: usize,
        /// How many bytes follow.
        count: usize,
    },
}
