//! What is known of an endpoint: right if it exists.

use std::{fmt, time::Duration};

use hyper::header::{HeaderName, HeaderValue};

use super::{body::BodyFormat, ledger::Ordering, retry::Schedule, signature::SigningSecret, target::Target};

/// The longest name.
const LONGEST_NAME_BYTES: usize = 40;
/// What an endpoint cannot set: these are ours, or HTTP's own.
const RESERVED_HEADERS: [&str; 11] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
/// What headers of ours begin with.
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "walpost-", "proxy-"];

/// Somebody who wants events.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name.
    pub name: EndpointName,
    /// Where it is.
    pub target: Target,
    /// What its requests are signed with, at least one.
    pub secrets: Vec<SigningSecret>,
    /// The subjects that it wants, at least one.
    pub subjects: Vec<String>,
    /// Headers of its own.
    pub headers: Vec<ExtraHeader>,
    /// What its requests carry.
    pub format: BodyFormat,
    /// Whether its events wait for each other.
    pub ordering: Ordering,
    /// How many requests may be on their way.
    pub concurrency: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// When an event is tried again.
    pub schedule: Schedule,
    /// How long it may fail without a success until it is disabled.
    pub disable_after: Duration,
    /// How many events may be open.
    pub max_waiting: usize,
    /// Where it begins the first time.
    pub start: Start,
    /// Whether it is served at all.
    pub is_enabled: bool,
}

/// Where an endpoint begins the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what is recorded from then on.
    #[default]
    New,
    /// With the oldest event that the stream holds.
    All,
}

/// A name: 1 to 40 of a-z, 0-9, `_` and `-`. It is a token of subjects and a label of metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(String);

impl EndpointName {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_right = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let is_name = !text.is_empty() && text.len() <= LONGEST_NAME_BYTES && text.bytes().all(is_right);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A header that an endpoint wants. Its value may be a secret, and is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ExtraHeader {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

impl ExtraHeader {
    /// A header that HTTP can carry and that is not ours; the reason else.
    pub fn new(name: &str, value: &str) -> Result<Self, &'static str> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "not the name of a header")?;
        HeaderValue::from_str(value).map_err(|_| "the value cannot stand in a header")?;
        let is_prefixed = RESERVED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        if is_prefixed || RESERVED_HEADERS.contains(&name.as_str()) {
            return Err("walpost sets this header itself");
        }
        Ok(Self { name: name.to_string(), value: value.to_owned() })
    }
}

impl fmt::Debug for ExtraHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: (hidden)", self.name)
    }
}

/// Whether `text` can filter subjects: words with dots between them, `*` for one, `>` for all that follow.
pub fn is_filter(text: &str) -> bool {
    let is_wrong = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<&str> = text.split('.').collect();
    let last = words.len().saturating_sub(1);
    !text.contains(is_wrong)
        && words.iter().enumerate().all(|(at, word)| match *word {
            "" => false,
            "*" => true,
            ">" => at == last,
            word => !word.contains(['*', '>']),
        })
}

/// Whether there is a subject that fits both filters.
pub fn filters_overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(here), Some(there)) if here == there || here == "*" || there == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_overlap_where_a_subject_fits_both() {
        for (one, other) in
            [("a.>", "a.b.c"), (">", "a"), ("a.*", "*.b"), ("a.*.>", "a.b.c"), ("a.>", "a.*"), ("a", "a")]
        {
            assert!(filters_overlap(one, other) && filters_overlap(other, one), "{one} {other}");
        }
        for (one, other) in [("a.>", "a"), ("a.*", "a.b.c"), ("a.b", "a.c"), ("a.>", "b.>"), ("*", "a.b")] {
            assert!(!filters_overlap(one, other) && !filters_overlap(other, one), "{one} {other}");
        }
    }

    #[test]
    fn names_filters_and_headers_are_read_or_refused() {
        for name in ["a", "billing-2", "x_y", &"n".repeat(40)] {
            assert!(EndpointName::parse(name).is_some(), "{name}");
        }
        for name in ["", "A", "a.b", "a b", "a*", "é", &"n".repeat(41)] {
            assert!(EndpointName::parse(name).is_none(), "{name}");
        }
        for filter in ["outbox.>", "outbox.*.placed", "outbox", ">", "*"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in ["", ".", "a..b", "a.", "a.>.b", "a.b*", "a b", "a\n"] {
            assert!(!is_filter(filter), "{filter}");
        }
        assert!(ExtraHeader::new("Authorization", "Bearer x").is_ok());
        for (name, value) in
            [("Host", "x"), ("webhook-id", "x"), ("Walpost-Sequence", "1"), ("a b", "x"), ("", "x"), ("x", "a\r\nb: c")]
        {
            assert!(ExtraHeader::new(name, value).is_err(), "{name}");
        }
        assert!(!format!("{:?}", ExtraHeader::new("x", "canary")).contains("canary"));
    }
}
