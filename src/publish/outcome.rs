//! What the broker's answer to a publish means; pure.
//!
//! An answer counts as storage only if it names our stream and a sequence above zero and no error. A cluster of an old
//! version may call a message a duplicate with sequence 0 while its first copy is not stored yet.

use std::fmt;

use serde::Deserialize;

/// The fate of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored in our stream under this sequence.
    Stored {
        /// Its sequence; above 0.
        sequence: u64,
    },
    /// Not stored, because a message with its id is in the stream already.
    Duplicate {
        /// The sequence of that message; above 0.
        sequence: u64,
    },
    /// Refused by JetStream.
    Refused {
        /// HTTP-like class.
        code: u16,
        /// JetStream's own error number.
        err_code: u32,
        /// The broker's words.
        description: String,
    },
    /// Nobody takes this subject: no stream does, or its cluster has no leader.
    NoResponders,
    /// Stored, but in a stream of another name.
    WrongStream {
        /// That stream.
        stream: String,
    },
    /// An answer that says nothing certain.
    Unclear,
}

impl Outcome {
    /// JetStream's error for a message whose expected last sequence does not hold.
    const WRONG_LAST_SEQUENCE: u32 = 10071;
    /// JetStream's error for a message whose subject another stream takes than the one that it names.
    const ANOTHER_STREAM: u32 = 10060;

    /// Reads the JSON of an answer to a message that should go to `stream`.
    pub fn read(answer: &[u8], stream: &str) -> Self {
        match plainly_stored(answer, stream) {
            Some(sequence) => Self::Stored { sequence },
            None => Self::parse(answer, stream),
        }
    }

    /// Reads any answer.
    fn parse(answer: &[u8], stream: &str) -> Self {
        // A list of the right values would pass for the object that has them by name.
        let is_object = answer.trim_ascii_start().starts_with(b"{");
        let Some(ack) = is_object.then(|| serde_json::from_slice::<Ack>(answer).ok()).flatten() else {
            return Self::Unclear;
        };
        if let Some(Fault { code, err_code, description }) = ack.error {
            return Self::Refused { code, err_code, description };
        }
        match (ack.seq, ack.stream) {
            (1.., Some(name)) if name != stream => Self::WrongStream { stream: name.into_owned() },
            (sequence @ 1.., Some(_)) if ack.duplicate => Self::Duplicate { sequence },
            (sequence @ 1.., Some(_)) => Self::Stored { sequence },
            _ => Self::Unclear,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { err_code: 10_002 | 10_023 | 10_028 | 10_047 | 10_077 | 10_122, .. } => Some(
                "make room: raise the limits of the stream (`nats stream edit`), the account or the server, or remove old \
                 messages (`nats stream purge --keep`)",
            ),
            Self::Refused { err_code: Self::WRONG_LAST_SEQUENCE, .. } => {
                Some("find out who else publishes to the subjects of the stream: walpost should be its only writer")
            }
            Self::Refused { err_code: Self::ANOTHER_STREAM, .. } | Self::WrongStream { .. } => Some(
                "another stream takes the subject (`nats stream ls --subject`): give the subjects to the stream that \
                 nats.stream names",
            ),
            Self::Refused { err_code: 10_054 | 10_097, .. } => Some(
                "nothing: the limits are read again, and what is too large for them is treated as delivery.on_poison says",
            ),
            Self::NoResponders | Self::Refused { code: 429 | 503, .. } => Some(
                "see whether the stream exists, and its cluster has a leader and keeps up (`nats stream info`, `nats server \
                 report jetstream`)",
            ),
            Self::Refused { .. } => {
                Some("see what `nats stream info` and the log of nats-server say to the broker's words")
            }
            Self::Duplicate { .. } | Self::Unclear | Self::Stored { .. } => {
                Some("nothing: the stream is read again, and tells what it holds")
            }
        }
    }

    /// Whether the broker says that the stream does not end where we think it does.
    pub fn is_wrong_last_sequence(&self) -> bool {
        matches!(self, Self::Refused { err_code: Self::WRONG_LAST_SEQUENCE, .. })
    }
}

/// The sequence, if this is byte for byte how a server says that it stored the message, and nothing besides. All but a few
/// answers are, and to see that takes a fraction of what reading JSON does.
fn plainly_stored(answer: &[u8], stream: &str) -> Option<u64> {
    let rest =
        answer.strip_prefix(br#"{"stream":""#)?.strip_prefix(stream.as_bytes())?.strip_prefix(br#"", "seq":"#)?;
    // A name with one of these is written otherwise in JSON, and so is not the one that stands here.
    if stream.bytes().any(|byte| matches!(byte, b'"' | b'\\') || byte.is_ascii_control()) {
        return None;
    }
    let digits = rest.strip_suffix(b"}")?;
    if digits.first() == Some(&b'0') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[derive(Deserialize)]
struct Ack<'a> {
    #[serde(borrow)]
    stream: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored { sequence } => write!(f, "stored under sequence {sequence}"),
            Self::Duplicate { sequence } => write!(f, "its id is in the stream already, under sequence {sequence}"),
            Self::Refused { err_code, description, .. } => write!(f, "JetStream error {err_code}: {description}"),
            Self::NoResponders => f.write_str("no stream takes the subject, or the stream has no leader"),
            Self::WrongStream { stream } => write!(f, "stream {stream:?} took it"),
            Self::Unclear => f.write_str("the answer says nothing certain"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(answer: &str) -> Outcome {
        Outcome::read(answer.as_bytes(), "OUTBOX")
    }

    #[test]
    fn answers_of_real_servers_are_understood() {
        assert_eq!(read(r#"{"stream":"OUTBOX", "seq":7}"#), Outcome::Stored { sequence: 7 });
        assert_eq!(read(r#"{"stream":"OUTBOX","domain":"hub","seq":7}"#), Outcome::Stored { sequence: 7 });
        assert_eq!(read(r#"{"stream":"OUTBOX","seq":1,"duplicate": true}"#), Outcome::Duplicate { sequence: 1 });
        let refused = read(
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"},"stream":"OUTBOX","seq":0}"#,
        );
        assert!(refused.is_wrong_last_sequence(), "{refused:?}");
    }

    #[test]
    fn dup_seq0_is_not_success() {
        assert_eq!(read(r#"{"stream":"OUTBOX","seq":0,"duplicate":true}"#), Outcome::Unclear);
        assert_eq!(read(r#"{"stream":"OUTBOX","seq":0}"#), Outcome::Unclear);
    }

    #[test]
    fn another_stream_is_not_success() {
        assert_eq!(read(r#"{"stream":"OTHER","seq":7}"#), Outcome::WrongStream { stream: "OTHER".into() });
    }

    #[test]
    fn an_error_wins_over_a_sequence() {
        let outcome = read(r#"{"stream":"OUTBOX","seq":9,"error":{"code":503,"err_code":10077,"description":"x"}}"#);
        assert_eq!(outcome, Outcome::Refused { code: 503, err_code: 10077, description: "x".into() });
    }

    proptest! {
        #[test]
        fn no_answer_that_is_not_an_ack_counts_as_stored(answer: Vec<u8>) {
            let outcome = Outcome::read(&answer, "OUTBOX");
            let confirms = matches!(outcome, Outcome::Stored { .. } | Outcome::Duplicate { .. });
            prop_assert!(!confirms, "{:?}", outcome);
        }
    }

    proptest! {
        #[test]
        fn the_short_way_to_read_an_answer_says_what_the_long_one_does(
            said in r#"[A-Z"\\\n]{0,3}"#,
            expected in r#"[A-Z"\\\n]{0,3}"#,
            sequence in "[0-9]{0,21}|-1|1e3| 1|1 |1.0",
            end in r#"\}|\} |,"duplicate":true\}|"#,
            is_right: bool,
        ) {
            let expected = if is_right { &said } else { &expected };
            let answer = format!(r#"{{"stream":"{said}", "seq":{sequence}{end}"#);
            let long = Outcome::parse(answer.as_bytes(), expected);
            prop_assert_eq!(Outcome::read(answer.as_bytes(), expected), long, "{}", answer);
        }
    }

    #[test]
    fn nonsense_is_unclear() {
        for answer in [
            "",
            "{}",
            "null",
            "[]",
            r#"{"stream":"OUTBOX"}"#,
            r#"{"seq":3}"#,
            r#"{"stream":"OUTBOX","seq":-1}"#,
            r#"["OUTBOX", 5, false, null]"#,
        ] {
            assert_eq!(read(answer), Outcome::Unclear, "{answer}");
        }
    }
}
