//! The record that takes the place of an event that no message can carry.
//!
//! It is a message of the chain like any other: same expected sequence, same position, so that order and exactly-once
//! hold across it, and a restart continues behind it. It says which event it stands for and why, and nothing of the
//! payload. Making one never fails, and whatever the row holds it is smaller than [`MAX_DEAD_LETTER_BYTES`].

use async_nats::Subject;
use bytes::Bytes;
use serde::Serialize;

use super::{
    header_block::HeaderBlock,
    message::{AGGREGATE_ID, AGGREGATE_TYPE, CREATED_AT, Chain, EVENT_TYPE, Message, MessageBuilder},
    poison::Poison,
};
use crate::outbox::{HeaderName, HeaderText, Identity};

/// The header that tells a dead letter from an event; its value is the reason's code.
const DEAD_LETTER: HeaderName<'static> = HeaderName::own("Walpost-Dead-Letter");

/// What stands at the beginning of a dead letter's message id, before the event's id and its place, or before its position
/// if it has no id to use. Not the event's id alone: a broker that has seen an id takes no other message of it for a while, and
/// the event may be sent again, and may be a dead letter again. No application knows the place of a row before it is
/// committed, so no row has such an id.
const ID_PREFIX: &str = "dead-letter:";

/// How large a dead letter may be, headers included: small beside any `max_payload` that somebody would choose.
pub const MAX_DEAD_LETTER_BYTES: usize = 8 * 1024;

/// How much of an id is kept, in bytes; real ones have a few dozen.
const MAX_ID_BYTES: usize = 1024;

/// How much of another value that names the event is kept, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// The body, as JSON.
#[derive(Serialize)]
struct Record<'a> {
    event_id: Option<&'a str>,
    aggregate_type: Option<&'a str>,
    aggregate_id: Option<&'a str>,
    event_type: Option<&'a str>,
    position: &'a str,
    reason: &'a str,
    detail: &'a str,
    sizes: Sizes,
    /// Whether one of the texts above is only the beginning of the value.
    truncated: bool,
}

/// What is known of sizes, in bytes.
#[derive(Serialize)]
struct Sizes {
    /// The row in the log.
    row: usize,
    /// The payload, if it can be read.
    payload: Option<usize>,
    /// What the reason is about.
    found: Option<usize>,
    /// What that may have.
    limit: Option<usize>,
}

impl MessageBuilder {
    /// Makes the record for a row of `row_bytes` bytes.
    pub(super) fn dead_letter(
        &mut self,
        row: &Identity<'_>,
        row_bytes: usize,
        poison: &Poison,
        chain: Chain,
    ) -> Message {
        let mut subject = String::new();
        self.template.render_dead_letter(row.aggregate_type.as_deref(), &mut subject);
        let position = self.position(chain.place);
        let payload = Bytes::from(body(row, row_bytes, poison, &position));
        let id = match sendable(row.id.as_deref(), MAX_ID_BYTES) {
            Some(id) => format!("{ID_PREFIX}{}:{}", id.as_str(), chain.place),
            None => [ID_PREFIX, &position].concat(),
        };
        let id = HeaderText::from_data(&id).expect("what can be sent can be with a word and a place around it");
        let mut headers = HeaderBlock::new(id);
        self.add_chain(chain, &mut headers);
        let reason = HeaderText::from_data(poison.reason.code()).expect("codes are words");
        headers.add(DEAD_LETTER, reason);
        let created_at = row.created_at.map(|moment| moment.to_string());
        for (name, text) in [
            (AGGREGATE_TYPE, row.aggregate_type.as_deref()),
            (AGGREGATE_ID, row.aggregate_id.as_deref()),
            (EVENT_TYPE, row.event_type.as_deref()),
            (CREATED_AT, created_at.as_deref()),
        ] {
            if let Some(value) = sendable(text, MAX_NAME_BYTES) {
                headers.add(name, value);
            }
        }
        Message { subject: Subject::from(subject), headers, payload }
    }
}

/// The event's id in the message id of an event or a dead letter; a dead letter of an event without a usable one has more than an id.
pub fn event_id(message_id: &str) -> &str {
    let Some(dead) = message_id.strip_prefix(ID_PREFIX) else { return message_id };
    dead.rsplitn(3, ':').nth(2).unwrap_or(dead)
}

/// A value from the row as that of a header, if it is known, can be one, and is not too long for a record.
fn sendable(text: Option<&str>, max_bytes: usize) -> Option<HeaderText<&str>> {
    text.filter(|text| text.len() <= max_bytes).and_then(|text| HeaderText::from_data(text).ok())
}

/// The body.
fn body(row: &Identity<'_>, row_bytes: usize, poison: &Poison, position: &str) -> Vec<u8> {
    let mut truncated = false;
    let mut shown = |text: Option<&'_ str>, max_bytes| {
        let text = text?;
        let beginning = beginning(text, max_bytes);
        truncated |= beginning.len() < text.len();
        Some(beginning.to_owned())
    };
    let event_id = shown(row.id.as_deref(), MAX_ID_BYTES);
    let aggregate_type = shown(row.aggregate_type.as_deref(), MAX_NAME_BYTES);
    let aggregate_id = shown(row.aggregate_id.as_deref(), MAX_NAME_BYTES);
    let event_type = shown(row.event_type.as_deref(), MAX_NAME_BYTES);
    let record = Record {
        event_id: event_id.as_deref(),
        aggregate_type: aggregate_type.as_deref(),
        aggregate_id: aggregate_id.as_deref(),
        event_type: event_type.as_deref(),
        position,
        reason: poison.reason.code(),
        detail: &poison.detail,
        sizes: Sizes {
            row: row_bytes,
            payload: row.payload_bytes,
            found: poison.size_bytes,
            limit: poison.limit_bytes,
        },
        truncated,
    };
    serde_json::to_vec(&record).expect("texts and numbers have a form in JSON")
}

/// As much of a text, in whole characters, as has at most `max_bytes` in JSON.
fn beginning(text: &str, max_bytes: usize) -> &str {
    let mut room = max_bytes;
    for (at, c) in text.char_indices() {
        let width = match c {
            '"' | '\\' => 2,
            '\0'..='\u{1f}' => 6,
            other => other.len_utf8(),
        };
        match room.checked_sub(width) {
            Some(left) => room = left,
            None => return text.get(..at).unwrap_or_default(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_beginning_of_a_text_fits_and_no_more_of_it_would(text: String, max_bytes in 0_usize..40) {
            let begun = beginning(&text, max_bytes);
            let written = |text: &str| serde_json::to_string(text).unwrap().len() - 2;
            prop_assert!(text.starts_with(begun) && written(begun) <= max_bytes);
            if let Some(next) = text[begun.len()..].chars().next() {
                // Five of the control characters have a shorter form than is reckoned with.
                prop_assert!(written(begun) + 6 > max_bytes || next.is_control() || begun.contains(char::is_control));
            }
        }
    }

    #[test]
    fn the_events_id_is_read_out_of_the_id_of_its_record() {
        for (id, event) in [
            ("a", "a"),
            ("dead-letter:a:0/1:2", "a"),
            ("dead-letter:a:b:c:0/1:2", "a:b:c"),
            ("dead-letter:1:7:3:walpost:1/2B:4", "1:7:3:walpost"),
        ] {
            assert_eq!(event_id(id), event, "{id}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, max_bytes, begun) in
            [("abc", 3, "abc"), ("abc", 2, "ab"), ("żó", 3, "ż"), ("a\"b", 2, "a"), ("\n\n", 6, "\n"), ("abc", 0, "")]
        {
            assert_eq!(beginning(text, max_bytes), begun, "{text:?}");
        }
    }
}
