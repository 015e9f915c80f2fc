//! What is written down of one endpoint.

use serde::{Deserialize, Serialize};

use crate::webhooks::ledger::Saved;

/// The version of the form; a later one is refused.
const VERSION: u8 = 1;

/// The record of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u8,
    /// Who delivers; nobody if the last one ended in order.
    pub owner: Option<String>,
    /// Rises with each write of one owner, so that each write is another one.
    pub beat: u64,
    /// What is read and open.
    #[serde(flatten)]
    pub ledger: Saved,
    /// Since when there was no success, in milliseconds since 1970.
    pub failing_since_ms: Option<u64>,
    /// Why nothing is sent, if that is so.
    pub disabled: Option<Disabled>,
    /// The wish that was granted last.
    pub wish: u64,
    /// Events that were opened again and whose dead letters are still there.
    #[serde(default)]
    pub again: Vec<u64>,
    /// Up to where nothing stood unread when somebody looked. Only what is told of messages that are gone depends on it.
    #[serde(default)]
    pub clear: u64,
    /// When the outbox stream was made, in nanoseconds since 1970: sequences of another stream mean nothing.
    pub stream_created_ns: i64,
    /// When the message was stored up to which is read, in nanoseconds since 1970, if that is known: it tells the stream, too.
    #[serde(default)]
    pub read_stored_ns: Option<i64>,
}

impl Record {
    /// Of an endpoint that begins behind this sequence, which was stored then, of a stream that was made then.
    pub fn begin(read: u64, read_stored_ns: Option<i64>, stream_created_ns: i64) -> Self {
        Self {
            version: VERSION,
            owner: None,
            beat: 0,
            ledger: Saved { read, open: Vec::new() },
            failing_since_ms: None,
            disabled: None,
            wish: 0,
            again: Vec::new(),
            clear: 0,
            stream_created_ns,
            read_stored_ns,
        }
    }

    /// Whether it is of a form that is known.
    pub fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// Whether this is what `other` wrote.
    pub(super) fn is_write_of(&self, other: &Self) -> bool {
        self.owner == other.owner && self.beat == other.beat
    }
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Who or what decided so.
    pub by: DisabledBy,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether the log tells of it.
    pub is_told: bool,
}

/// Who or what disables an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    /// The endpoint answered 410.
    Gone,
    /// Nothing was delivered for too long.
    Failing,
    /// Somebody wished it.
    Wish,
}

impl DisabledBy {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Gone => "it answered 410 Gone",
            Self::Failing => "nothing was delivered for too long",
            Self::Wish => "by `walpost webhooks disable`",
        }
    }
}

/// What people wish for an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Whether events are to be sent; nothing if that stays as it is.
    pub enabled: Option<bool>,
    /// The dead letters whose events are to be sent again.
    #[serde(default)]
    pub again: Vec<u64>,
}

impl Wish {
    /// Both wishes in one; of two that contradict each other the later.
    pub(super) fn and_then(mut self, later: Self) -> Self {
        self.again.extend(later.again);
        self.again.sort_unstable();
        self.again.dedup();
        Self { enabled: later.enabled.or(self.enabled), again: self.again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::ledger::SavedEvent;

    #[test]
    fn a_record_is_read_as_it_was_written_and_stays_small() {
        let mut record = Record::begin(7, None, 1);
        record.owner = Some("a".to_owned());
        record.ledger.open = vec![SavedEvent(3, 1, 1_790_000_000_000)];
        record.disabled = Some(Disabled { by: DisabledBy::Gone, at_ms: 5, is_told: false });
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert!(text.contains(r#""read":7,"open":[[3,1,1790000000000]]"#), "{text}");
        record.ledger.open = (0..10_000).map(|n| SavedEvent(u64::MAX - n, u32::MAX, u64::MAX)).collect();
        // The default largest message of NATS is 1 MiB.
        assert!(serde_json::to_vec(&record).unwrap().len() < 1_000_000);
    }

    #[test]
    fn wishes_add_up() {
        let wish = |enabled, again: &[u64]| Wish { enabled, again: again.to_vec() };
        assert_eq!(wish(Some(true), &[3]).and_then(wish(None, &[1, 3])), wish(Some(true), &[1, 3]));
        assert_eq!(wish(Some(true), &[]).and_then(wish(Some(false), &[])), wish(Some(false), &[]));
    }
}
