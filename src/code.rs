//! Error codes: one for each thing that an operator can look up.
//!
//! A code is for ever: its number is never given to something else.

use std::fmt;

/// Makes the constants and the list of all.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal;)+) => {
        impl Code {
            $($(#[doc = $doc])+ pub const $name: Self = Self { number: $number, title: concat!($($doc),+) };)+

            /// Every code, in the order of numbers.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

/// A kind of trouble.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    number: u16,
    title: &'static str,
}

codes! {
    /// Postgres cannot be reached.
    POSTGRES_UNREACHABLE = 101;
    /// Postgres refuses the login.
    POSTGRES_LOGIN = 102;
    /// The encrypted connection to Postgres cannot be set up.
    POSTGRES_TLS = 103;
    /// The server is not fit for logical decoding.
    POSTGRES_UNFIT = 104;
    /// The server is a standby, starting or shutting down.
    POSTGRES_NOT_PRIMARY = 105;
    /// Postgres refused a statement.
    POSTGRES_REFUSED = 106;
    /// The outbox table is missing or cannot be read as an outbox.
    TABLE = 201;
    /// The publication is missing or leaves something out.
    PUBLICATION = 202;
    /// The watermark cannot be written.
    WATERMARK = 203;
    /// Delivered rows cannot be deleted.
    RETENTION = 204;
    /// The outbox table has rows that a new slot cannot send.
    EXISTING_ROWS = 205;
    /// The replication slot does not exist.
    SLOT_MISSING = 301;
    /// The replication slot is not one for walpost.
    SLOT_UNFIT = 302;
    /// The replication slot is invalidated.
    SLOT_LOST = 303;
    /// Another process reads from the replication slot.
    SLOT_IN_USE = 304;
    /// The replication slot has moved past what walpost confirmed.
    SLOT_MOVED = 305;
    /// NATS cannot be reached.
    NATS_UNREACHABLE = 401;
    /// NATS refuses the login or a permission.
    NATS_REFUSED = 402;
    /// The encrypted connection to NATS cannot be set up.
    NATS_TLS = 403;
    /// The NATS server offers no JetStream.
    NATS_WITHOUT_JETSTREAM = 404;
    /// The stream does not exist.
    STREAM_MISSING = 501;
    /// The stream cannot be used as it is.
    STREAM_UNFIT = 502;
    /// The stream, its account or its server is full.
    STREAM_FULL = 503;
    /// The stream does not answer.
    STREAM_SILENT = 504;
    /// Somebody else writes to the stream.
    STREAM_FOREIGN = 505;
    /// The broker lost events that it had confirmed to store.
    STREAM_FORGOT = 506;
    /// The stream was made anew, or emptied.
    STREAM_RECREATED = 507;
    /// The broker refused a message.
    STREAM_REFUSED = 508;
    /// An event cannot be published.
    EVENT_UNPUBLISHABLE = 601;
    /// The stream was written from another database cluster.
    OTHER_SYSTEM = 701;
    /// The stream was written through another slot.
    OTHER_SLOT = 702;
    /// The stream was written on a timeline that the server does not continue.
    OTHER_TIMELINE = 703;
    /// A failover lost committed events that the stream holds.
    ORPHANS = 704;
    /// The stream has seen log that the server does not have.
    SERVER_BEHIND = 705;
    /// Another walpost has taken over.
    OVERTAKEN = 706;
    /// What Postgres sends cannot be understood.
    POSTGRES_NONSENSE = 901;
    /// What NATS sends cannot be understood.
    NATS_NONSENSE = 902;
    /// The stream was written by a later version of walpost.
    NEWER_VERSION = 903;
}

impl Code {
    /// What it means, in one sentence.
    pub fn title(self) -> &'static str {
        self.title.trim()
    }

    /// The page about it, in the repository.
    pub fn page(self) -> String {
        format!("docs/reference/errors/{self}.md")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WP{:04}", self.number)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_titles_are_sentences() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.number < b.number));
        for code in Code::ALL {
            assert!(code.title().ends_with('.') && !code.title().contains("  "), "{code}");
        }
        assert_eq!(Code::POSTGRES_UNREACHABLE.to_string(), "WP0101");
        assert_eq!(Code::POSTGRES_UNREACHABLE.page(), "docs/reference/errors/WP0101.md");
    }
}
