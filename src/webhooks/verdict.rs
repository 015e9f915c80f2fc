//! What an attempt came to, and what follows from it.

use std::time::Duration;

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, whatever its body.
    Answered {
        /// The HTTP status.
        status: u16,
        /// How long the receiver wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// No answer within the time.
    TimedOut,
    /// The name has no address.
    Unresolved,
    /// No address of the name may be connected to.
    AddressRefused,
    /// No connection.
    Unreachable,
    /// The encrypted connection cannot be set up; a certificate that is not trusted is here.
    TlsFailed,
    /// The connection broke, or what came over it is no HTTP.
    Broken,
}

/// What became of it, as metrics and the log of attempts name it: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutcomeClass {
    /// 2xx.
    Delivered,
    /// 3xx: redirects are not followed.
    Redirect,
    /// 4xx, but for 410.
    ClientError,
    /// 410: the endpoint does not want anything any more.
    Gone,
    /// 5xx, and what is no status of HTTP.
    ServerError,
    /// No answer in time.
    Timeout,
    /// The name has no address.
    Unresolved,
    /// An address that is not public.
    AddressRefused,
    /// No connection.
    Unreachable,
    /// No encrypted connection.
    Tls,
    /// The connection broke.
    Broken,
}

impl OutcomeClass {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Delivered,
        Self::Redirect,
        Self::ClientError,
        Self::Gone,
        Self::ServerError,
        Self::Timeout,
        Self::Unresolved,
        Self::AddressRefused,
        Self::Unreachable,
        Self::Tls,
        Self::Broken,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Redirect => "redirect",
            Self::ClientError => "client_error",
            Self::Gone => "gone",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Unresolved => "unresolved",
            Self::AddressRefused => "address_refused",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Broken => "broken",
        }
    }
}

impl Outcome {
    /// What became of it.
    pub const fn class(&self) -> OutcomeClass {
        match self {
            Self::Answered { status: 200..=299, .. } => OutcomeClass::Delivered,
            Self::Answered { status: 300..=399, .. } => OutcomeClass::Redirect,
            Self::Answered { status: 410, .. } => OutcomeClass::Gone,
            Self::Answered { status: 400..=499, .. } => OutcomeClass::ClientError,
            Self::Answered { .. } => OutcomeClass::ServerError,
            Self::TimedOut => OutcomeClass::Timeout,
            Self::Unresolved => OutcomeClass::Unresolved,
            Self::AddressRefused => OutcomeClass::AddressRefused,
            Self::Unreachable => OutcomeClass::Unreachable,
            Self::TlsFailed => OutcomeClass::Tls,
            Self::Broken => OutcomeClass::Broken,
        }
    }

    /// The HTTP status, if there was an answer.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// What follows from an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The event is delivered.
    Settle,
    /// It is tried again as the schedule has it, not before this.
    Retry {
        /// How long the receiver wants to be left alone.
        not_before: Option<Duration>,
    },
    /// The endpoint wants no more events; this one stays where it is.
    Disable,
}

/// Only 2xx is delivery. Everything else may pass, even a 404 while something is being deployed; only 410 says for itself
/// that it will not. So the schedule decides how long is long enough, not the kind of the error.
pub fn judge(outcome: &Outcome) -> Verdict {
    match (outcome.class(), outcome) {
        (OutcomeClass::Delivered, _) => Verdict::Settle,
        (OutcomeClass::Gone, _) => Verdict::Disable,
        (_, Outcome::Answered { retry_after, .. }) => Verdict::Retry { not_before: *retry_after },
        _ => Verdict::Retry { not_before: None },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_status_decides() {
        let wait = Some(Duration::from_secs(7));
        for (status, class, verdict) in [
            (200, OutcomeClass::Delivered, Verdict::Settle),
            (204, OutcomeClass::Delivered, Verdict::Settle),
            (299, OutcomeClass::Delivered, Verdict::Settle),
            (301, OutcomeClass::Redirect, Verdict::Retry { not_before: wait }),
            (307, OutcomeClass::Redirect, Verdict::Retry { not_before: wait }),
            (400, OutcomeClass::ClientError, Verdict::Retry { not_before: wait }),
            (404, OutcomeClass::ClientError, Verdict::Retry { not_before: wait }),
            (410, OutcomeClass::Gone, Verdict::Disable),
            (429, OutcomeClass::ClientError, Verdict::Retry { not_before: wait }),
            (500, OutcomeClass::ServerError, Verdict::Retry { not_before: wait }),
            (503, OutcomeClass::ServerError, Verdict::Retry { not_before: wait }),
            (999, OutcomeClass::ServerError, Verdict::Retry { not_before: wait }),
            (100, OutcomeClass::ServerError, Verdict::Retry { not_before: wait }),
        ] {
            let outcome = Outcome::Answered { status, retry_after: wait };
            assert_eq!((outcome.class(), judge(&outcome)), (class, verdict), "{status}");
        }
    }

    #[test]
    fn what_has_no_answer_is_tried_again() {
        for outcome in [
            Outcome::TimedOut,
            Outcome::Unresolved,
            Outcome::AddressRefused,
            Outcome::Unreachable,
            Outcome::TlsFailed,
            Outcome::Broken,
        ] {
            assert_eq!((judge(&outcome), outcome.status()), (Verdict::Retry { not_before: None }, None));
        }
    }

    #[test]
    fn each_class_has_a_word_of_its_own() {
        let words: BTreeSet<_> = OutcomeClass::ALL.map(OutcomeClass::name).into();
        assert_eq!(words.len(), OutcomeClass::ALL.len());
    }
}
