//! What may stand in a message's headers when it comes from data.
//!
//! A header block is lines, `Name: value`, each ended by CR LF (ADR-4 in <https://github.com/nats-io/nats-architecture-and-design>).
//! The rules below are those of the wire, of the broker that acts on some names, and of the clients that read the block:
//! what passes them arrives as it was sent, and means nothing to anyone but the consumer.

use std::fmt;

/// Why a header was left out, a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The name is the broker's or walpost's: it begins with `Nats-` or `Walpost-` in any case, or is `Status`.
    Reserved,
    /// The name or the value contains the name of a header that the broker acts on.
    BrokerName,
    /// The name is empty, or has a character other than visible ASCII, or a colon.
    InvalidName,
    /// The value has a line break, a NUL or another control character.
    ControlCharacter,
    /// The value begins or ends with a blank, which readers take off.
    EdgeBlank,
    /// The value, or all headers together, would be too large.
    TooLarge,
    /// There are too many headers.
    TooMany,
    /// The value, or all from here on, is not valid JSON.
    Malformed,
    /// The column is JSON, but no object; all of it is left out.
    NotAnObject,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Reserved,
        Self::BrokerName,
        Self::InvalidName,
        Self::ControlCharacter,
        Self::EdgeBlank,
        Self::TooLarge,
        Self::TooMany,
        Self::Malformed,
        Self::NotAnObject,
    ];

    /// A name for a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::BrokerName => "broker_name",
            Self::InvalidName => "invalid_name",
            Self::ControlCharacter => "control_character",
            Self::EdgeBlank => "edge_blank",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::Malformed => "malformed",
            Self::NotAnObject => "not_an_object",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "a reserved name",
            Self::BrokerName => "contains the name of a broker header",
            Self::InvalidName => "a name that is not visible ASCII without colon",
            Self::ControlCharacter => "a control character in the value",
            Self::EdgeBlank => "a blank at an end of the value",
            Self::TooLarge => "too large",
            Self::TooMany => "too many headers",
            Self::Malformed => "not valid JSON",
            Self::NotAnObject => "not a JSON object",
        })
    }
}

/// Whether a value from data can be the value of a header, and would be read back as it is.
///
/// This is for every value that comes from a row, be it from the `headers` column or an id. Text beyond ASCII passes.
pub fn check_value(value: &str) -> Result<(), DropReason> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(DropReason::TooLarge);
    }
    // One look at each byte answers nearly every question, eight or more bytes at a time.
    let (mut is_printable, mut has_initial) = (true, false);
    for byte in value.bytes() {
        is_printable &= matches!(byte, b' '..=b'~');
        has_initial |= byte == BROKER_PREFIX_INITIAL;
    }
    if !is_printable && value.chars().any(char::is_control) {
        return Err(DropReason::ControlCharacter);
    }
    // A reader takes off whatever Unicode calls white space, not only what ASCII does.
    if value.starts_with(char::is_whitespace) || value.ends_with(char::is_whitespace) {
        return Err(DropReason::EdgeBlank);
    }
    if has_initial && has_broker_name(value) { Err(DropReason::BrokerName) } else { Ok(()) }
}

/// Whether a name from data can be the name of a header that only consumers care for.
pub(super) fn check_name(name: &str) -> Result<(), DropReason> {
    if RESERVED_PREFIXES.iter().any(|prefix| begins_with(name, prefix)) || name == STATUS {
        return Err(DropReason::Reserved);
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        return Err(DropReason::InvalidName);
    }
    let has_initial = name.as_bytes().contains(&BROKER_PREFIX_INITIAL);
    if has_initial && has_broker_name(name) { Err(DropReason::BrokerName) } else { Ok(()) }
}

/// Whether a text begins with a prefix, in any ASCII case.
fn begins_with(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Whether a text contains the name of a header that the broker acts on.
///
/// Servers look for `Nats-Msg-Id` and the like by searching the whole header block. Before 2.9.7 they took a hit anywhere,
/// so a value could give an order to the broker (<https://github.com/nats-io/nats-server/pull/3649>); before 2.12.2 they
/// gave up if the first hit was not at the start of a line, so a value could hide the real header, and with it the
/// compare-and-set that order rests on (<https://github.com/nats-io/nats-server/pull/7465>). The search minds the case.
fn has_broker_name(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BROKER_PREFIX) {
        if BROKER_NAMES.iter().any(|name| after.starts_with(name)) {
            return true;
        }
        rest = after;
    }
    false
}

/// Names that begin like this are not for data. In any case of letters, because some clients ignore it.
const RESERVED_PREFIXES: [&str; 2] = [BROKER_PREFIX, "Walpost-"];

/// Where clients keep the status of a reply, such as 404 for an empty stream: the Python client takes any message that
/// carries it for one, and never hands it to the consumer. It minds the case, so `status` remains free.
const STATUS: &str = "Status";

/// What the names of headers begin with that servers act on, and its first letter: most texts do not even have that.
const BROKER_PREFIX: &str = "Nats-";
const BROKER_PREFIX_INITIAL: u8 = b'N';

/// What follows `Nats-` in the names of headers that servers act on when a message is stored
/// (`server/stream.go` in <https://github.com/nats-io/nats-server>).
const BROKER_NAMES: [&str; 8] = ["Msg-Id", "Expected-", "Rollup", "TTL", "Schedule", "Batch-", "Incr", "Stream-Source"];

/// How long the value of one header may be, in bytes. The server refuses messages with more than 64 KiB of headers (error
/// 10097); a quarter of that is far more than any id or trace context needs.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use DropReason as R;

    #[test]
    fn names_that_mean_something_to_others_are_refused() {
        for (name, expected) in [
            ("traceparent", Ok(())),
            ("X-Correlation-Id", Ok(())),
            ("status", Ok(())),
            ("Natsy", Ok(())),
            ("X-Nats-Cluster", Ok(())),
            ("!#$%&'*+-.^_`|~()<>@,;\\\"/[]?={}", Ok(())),
            ("Nats-Rollup", Err(R::Reserved)),
            ("nats-anything", Err(R::Reserved)),
            ("NATS-TTL", Err(R::Reserved)),
            ("Nats-", Err(R::Reserved)),
            ("wAlPoSt-Position", Err(R::Reserved)),
            ("Status", Err(R::Reserved)),
            ("Nats-Msg-Id: x\r\ny", Err(R::Reserved)),
            ("Original-Nats-Msg-Id", Err(R::BrokerName)),
            ("X-Nats-Expected-Last-Sequence", Err(R::BrokerName)),
            ("", Err(R::InvalidName)),
            (" Nats-Rollup", Err(R::InvalidName)),
            ("a b", Err(R::InvalidName)),
            ("a:b", Err(R::InvalidName)),
            ("a\r\nNats-Rollup", Err(R::InvalidName)),
            ("a\0", Err(R::InvalidName)),
            ("\u{7f}", Err(R::InvalidName)),
            ("ключ", Err(R::InvalidName)),
            // The Kelvin sign is an upper-case k in Unicode's eyes.
            ("\u{212a}ey", Err(R::InvalidName)),
        ] {
            assert_eq!(check_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn values_that_would_not_survive_are_refused() {
        for (value, expected) in [
            ("", Ok(())),
            ("a b: c", Ok(())),
            ("zażółć 🦀", Ok(())),
            ("nats-msg-id", Ok(())),
            ("Nats-Cluster-7", Ok(())),
            ("a\rb", Err(R::ControlCharacter)),
            ("a\nb", Err(R::ControlCharacter)),
            ("a\0b", Err(R::ControlCharacter)),
            ("a\tb", Err(R::ControlCharacter)),
            ("a\u{1b}[0m", Err(R::ControlCharacter)),
            ("ż\u{85}", Err(R::ControlCharacter)),
            (" a", Err(R::EdgeBlank)),
            ("a ", Err(R::EdgeBlank)),
            (" ", Err(R::EdgeBlank)),
            ("a\u{a0}", Err(R::EdgeBlank)),
            ("\u{3000}a", Err(R::EdgeBlank)),
            ("Nats-Rollup:all", Err(R::BrokerName)),
            ("see Nats-Msg-Id", Err(R::BrokerName)),
            ("Nats-Nats-Expected-Stream", Err(R::BrokerName)),
            ("Nats-x Nats-TTL", Err(R::BrokerName)),
        ] {
            assert_eq!(check_value(value), expected, "{value:?}");
        }
        assert_eq!(check_value(&"x".repeat(MAX_VALUE_BYTES)), Ok(()));
        assert_eq!(check_value(&"x".repeat(MAX_VALUE_BYTES + 1)), Err(R::TooLarge));
    }

    #[test]
    fn every_reason_has_a_place_and_a_label_of_its_own() {
        for (place, reason) in R::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            assert_eq!(R::ALL.iter().filter(|other| other.label() == reason.label()).count(), 1);
        }
    }
}
