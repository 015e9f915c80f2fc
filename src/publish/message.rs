//! What goes on the wire: subject, headers, body.
//!
//! The body is the payload's bytes as they stood in the log, not copied. Every value that becomes a header was checked
//! before, or is checked here: nothing that comes out of a row can end a header line.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use async_nats::{HeaderMap, HeaderName, HeaderValue, Subject};
use bytes::Bytes;

use super::stream::POSITION_HEADER;
use crate::{
    outbox::{DropReason, Dropped, Event, SubjectError, Template, check_value, for_each_header},
    position::{Place, Source},
};

const MSG_ID: HeaderName = HeaderName::from_static("Nats-Msg-Id");
const EXPECTED_STREAM: HeaderName = HeaderName::from_static("Nats-Expected-Stream");
const EXPECTED_LAST_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Expected-Last-Sequence");
const POSITION: HeaderName = HeaderName::from_static(POSITION_HEADER);
const AGGREGATE_TYPE: HeaderName = HeaderName::from_static("Walpost-Aggregate-Type");
const AGGREGATE_ID: HeaderName = HeaderName::from_static("Walpost-Aggregate-Id");
const EVENT_TYPE: HeaderName = HeaderName::from_static("Walpost-Event-Type");
const CREATED_AT: HeaderName = HeaderName::from_static("Walpost-Created-At");

/// `NATS/1.0` and the two line ends that frame the headers.
const HEADER_FRAME_BYTES: usize = 12;
/// `: ` and the line end of each header.
const HEADER_LINE_BYTES: usize = 4;

/// A message that is ready to go.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where to.
    pub(super) subject: Subject,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body.
    pub(super) payload: Bytes,
}

/// Where a message stands in both logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The sequence of the message before it in the stream; `None` where the order of the stream is not ours.
    pub expected_last_sequence: Option<u64>,
    /// Its place in the log of Postgres.
    pub place: Place,
}

/// What an event became.
#[derive(Clone, Debug)]
pub struct Built {
    /// The message.
    pub message: Message,
    /// What had to be left out of the event's own headers.
    pub dropped_headers: Dropped,
}

/// Makes messages of events.
#[derive(Clone, Debug)]
pub struct MessageBuilder {
    template: Arc<Template>,
    source: Source,
    stream: HeaderValue,
    max_payload_bytes: usize,
    scratch: String,
}

impl MessageBuilder {
    /// For events of one log and one stream, on a server that takes `max_payload_bytes`.
    pub fn new(
        template: Arc<Template>,
        source: Source,
        stream: &str,
        max_payload_bytes: usize,
    ) -> Result<Self, MessageError> {
        let stream = value("Nats-Expected-Stream", stream)?;
        Ok(Self { template, source, stream, max_payload_bytes, scratch: String::new() })
    }

    /// Makes messages for a server that takes `max_payload_bytes`.
    pub fn limit(&mut self, max_payload_bytes: usize) {
        self.max_payload_bytes = max_payload_bytes;
    }

    /// Makes the message. `data` is the piece of log that the event was read from; the body stays a slice of it.
    pub fn build(&mut self, event: &Event<'_>, data: &Bytes, chain: Chain) -> Result<Built, MessageError> {
        self.scratch.clear();
        self.template.render(event, &mut self.scratch)?;
        let subject = Subject::from(self.scratch.as_str());
        let mut headers = HeaderMap::new();
        let dropped = event.headers.map(|json| for_each_header(json, |name, text| add(&mut headers, name, text)));
        self.add_own_headers(event, chain, &mut headers)?;
        let payload = match &event.payload {
            Cow::Borrowed(bytes) => data.slice_ref(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes.clone()),
        };
        let message_bytes = headers_bytes(&headers) + payload.len();
        if message_bytes > self.max_payload_bytes {
            return Err(MessageError::TooLarge { message_bytes, max_bytes: self.max_payload_bytes });
        }
        let dropped_headers = dropped.unwrap_or_default();
        Ok(Built { message: Message { subject, headers, payload }, dropped_headers })
    }

    fn add_own_headers(&mut self, event: &Event<'_>, chain: Chain, out: &mut HeaderMap) -> Result<(), MessageError> {
        out.insert(MSG_ID, value("Nats-Msg-Id", &event.id)?);
        out.insert(EXPECTED_STREAM, self.stream.clone());
        if let Some(sequence) = chain.expected_last_sequence {
            out.insert(EXPECTED_LAST_SEQUENCE, HeaderValue::from(sequence));
        }
        self.scratch.clear();
        self.source.write_position(chain.place, &mut self.scratch);
        out.insert(POSITION, own_value(POSITION_HEADER, &self.scratch)?);
        out.insert(AGGREGATE_TYPE, value("Walpost-Aggregate-Type", &event.aggregate_type)?);
        out.insert(AGGREGATE_ID, value("Walpost-Aggregate-Id", &event.aggregate_id)?);
        out.insert(EVENT_TYPE, value("Walpost-Event-Type", &event.event_type)?);
        if let Some(created_at) = event.created_at {
            out.insert(CREATED_AT, own_value("Walpost-Created-At", &created_at.to_string())?);
        }
        Ok(())
    }
}

/// Adds one of the event's own headers. The reader lets only such names and values through as the client takes.
fn add(headers: &mut HeaderMap, name: &str, text: &str) {
    match (HeaderName::from_str(name), HeaderValue::from_str(text)) {
        (Ok(name), Ok(text)) => headers.append(name, text),
        _ => debug_assert!(false, "a header passed the reader that the client refuses"),
    }
}

/// A value out of a row, which may hold anything: line ends, or names that old servers look for in values too.
fn value(header: &'static str, text: &str) -> Result<HeaderValue, MessageError> {
    check_value(text).map_err(|reason| MessageError::HeaderValue { header, reason })?;
    own_value(header, text)
}

/// A value that we made.
fn own_value(header: &'static str, text: &str) -> Result<HeaderValue, MessageError> {
    HeaderValue::from_str(text).map_err(|_| MessageError::HeaderValue { header, reason: DropReason::ControlCharacter })
}

/// The size of the headers on the wire.
fn headers_bytes(headers: &HeaderMap) -> usize {
    let line = |name: &HeaderName, text: &HeaderValue| {
        let name: &[u8] = name.as_ref();
        name.len() + text.as_str().len() + HEADER_LINE_BYTES
    };
    let lines = headers.iter().flat_map(|(name, texts)| texts.iter().map(move |text| line(name, text)));
    HEADER_FRAME_BYTES + lines.sum::<usize>()
}

/// An event that no message can carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// No subject can be made of it.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A value that no header can carry.
    #[error("its value for the header {header} cannot be sent: {reason}")]
    HeaderValue {
        /// The header.
        header: &'static str,
        /// Why.
        reason: DropReason,
    },
    /// Larger than the server takes. It would close the connection, so such a message is never sent.
    #[error("the message has {message_bytes} bytes and the NATS server takes {max_bytes} (its max_payload)")]
    TooLarge {
        /// Headers and body.
        message_bytes: usize,
        /// The server's `max_payload`.
        max_bytes: usize,
    },
}
