//! What goes on the wire: subject, headers, body.
//!
//! The body is the payload's bytes as they stood in the log, not copied. Every value that becomes a header was checked
//! before, or is checked here: nothing that comes out of a row can end a header line.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use async_nats::{HeaderMap, HeaderName, HeaderValue, Subject};
use bytes::Bytes;

use super::stream::{DISPLACED_HEADER, POSITION_HEADER, PREVIOUS_HEADER};
use crate::{
    outbox::{DropReason, Dropped, Event, SubjectError, Template, check_value, for_each_header},
    position::{Place, Source},
};

pub(super) const MSG_ID: HeaderName = HeaderName::from_static("Nats-Msg-Id");
pub(super) const EXPECTED_STREAM: HeaderName = HeaderName::from_static("Nats-Expected-Stream");
pub(super) const EXPECTED_LAST_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Expected-Last-Sequence");
const EXPECTED_LAST_MSG_ID: HeaderName = HeaderName::from_static("Nats-Expected-Last-Msg-Id");
pub(super) const POSITION: HeaderName = HeaderName::from_static(POSITION_HEADER);
const DISPLACED: HeaderName = HeaderName::from_static(DISPLACED_HEADER);
const PREVIOUS: HeaderName = HeaderName::from_static(PREVIOUS_HEADER);
pub(super) const AGGREGATE_TYPE: HeaderName = HeaderName::from_static("Walpost-Aggregate-Type");
pub(super) const AGGREGATE_ID: HeaderName = HeaderName::from_static("Walpost-Aggregate-Id");
pub(super) const EVENT_TYPE: HeaderName = HeaderName::from_static("Walpost-Event-Type");
pub(super) const CREATED_AT: HeaderName = HeaderName::from_static("Walpost-Created-At");

/// `NATS/1.0` and the two line ends that frame the headers.
const HEADER_FRAME_BYTES: usize = 12;
/// `: ` and the line end of each header.
const HEADER_LINE_BYTES: usize = 4;

/// How many bytes of headers a server takes, whatever else it is told: their length must fit in 16 bits (error 10097;
/// `server/stream.go` in <https://github.com/nats-io/nats-server>).
const MAX_HEADERS_BLOCK_BYTES: usize = 65_535;

/// How large messages may be, headers included. A server closes the connection at a larger one, so none is ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// The server's `max_payload`.
    pub max_payload_bytes: usize,
    /// The stream's `max_msg_size`, if it has one.
    pub max_message_bytes: Option<usize>,
}

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

/// The id of a message, as its header carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId(HeaderValue);

impl Message {
    /// The id that the broker knows it by.
    pub fn id(&self) -> Option<MessageId> {
        self.headers.get(MSG_ID).cloned().map(MessageId)
    }
}

/// Where a message stands in both logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The sequence of the message before it in the stream; `None` where the order of the stream is not ours.
    pub expected_last_sequence: Option<u64>,
    /// Its place in the log of Postgres.
    pub place: Place,
    /// The stream holds everything up to here once it holds this message: its own place, or a later one if the event
    /// was displaced by somebody else's message and comes after events that it should come before.
    pub checkpoint: Place,
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
    pub(super) template: Arc<Template>,
    source: Source,
    pub(super) stream: HeaderValue,
    limits: SizeLimits,
    scratch: String,
}

impl MessageBuilder {
    /// For events of one log and one stream. The names of both must be such as a header can carry.
    pub fn new(
        template: Arc<Template>,
        source: Source,
        stream: &str,
        limits: SizeLimits,
    ) -> Result<Self, MessageError> {
        let stream = value("Nats-Expected-Stream", stream)?;
        value(POSITION_HEADER, &source.slot)?;
        Ok(Self { template, source, stream, limits, scratch: String::new() })
    }

    /// From now on messages may be this large: a server may be told another `max_payload` at any time.
    pub fn set_limits(&mut self, limits: SizeLimits) {
        self.limits = limits;
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
        self.limits.check(&headers, &payload)?;
        let dropped_headers = dropped.unwrap_or_default();
        Ok(Built { message: Message { subject, headers, payload }, dropped_headers })
    }

    fn add_own_headers(&mut self, event: &Event<'_>, chain: Chain, out: &mut HeaderMap) -> Result<(), MessageError> {
        out.insert(MSG_ID, value("Nats-Msg-Id", &event.id)?);
        out.insert(EXPECTED_STREAM, self.stream.clone());
        self.add_chain(chain, out);
        out.insert(AGGREGATE_TYPE, value("Walpost-Aggregate-Type", &event.aggregate_type)?);
        out.insert(AGGREGATE_ID, value("Walpost-Aggregate-Id", &event.aggregate_id)?);
        out.insert(EVENT_TYPE, value("Walpost-Event-Type", &event.event_type)?);
        if let Some(created_at) = event.created_at {
            out.insert(CREATED_AT, own_value("Walpost-Created-At", &created_at.to_string())?);
        }
        Ok(())
    }

    /// The headers that tie the message to its place in both logs.
    pub(super) fn add_chain(&mut self, chain: Chain, out: &mut HeaderMap) {
        if let Some(sequence) = chain.expected_last_sequence {
            out.insert(EXPECTED_LAST_SEQUENCE, HeaderValue::from(sequence));
        }
        out.insert(POSITION, self.position(chain.checkpoint));
        if chain.place != chain.checkpoint {
            out.insert(DISPLACED, self.position(chain.place));
        }
    }

    /// Whether the broker takes a message of this size.
    pub(super) fn check_size(&self, message: &Message) -> Result<(), MessageError> {
        self.limits.check(&message.headers, &message.payload)
    }

    /// Has the broker store the message only if the last one of the stream has this id, if there is room to say so.
    pub(super) fn link(&self, message: &mut Message, MessageId(before): MessageId) {
        let headers_bytes = headers_bytes(&message.headers) + line_bytes(&EXPECTED_LAST_MSG_ID, &before);
        if self.limits.check_bytes(headers_bytes, message.payload.len()).is_ok() {
            message.headers.insert(EXPECTED_LAST_MSG_ID, before);
        }
    }

    /// Says which place should stand before the message in the stream, if there is room to say so.
    pub(super) fn name_previous(&mut self, message: &mut Message, previous: Place) {
        let previous = self.position(previous);
        let headers_bytes = headers_bytes(&message.headers) + line_bytes(&PREVIOUS, &previous);
        if self.limits.check_bytes(headers_bytes, message.payload.len()).is_ok() {
            message.headers.insert(PREVIOUS, previous);
        }
    }

    /// The header that makes the stream the checkpoint.
    pub(super) fn position(&mut self, place: Place) -> HeaderValue {
        self.scratch.clear();
        self.source.write_position(place, &mut self.scratch);
        HeaderValue::from_str(&self.scratch).expect("a position is digits, colons and a slot's name that was checked")
    }
}

impl SizeLimits {
    /// Whether a message of these parts is taken.
    fn check(self, headers: &HeaderMap, payload: &[u8]) -> Result<(), MessageError> {
        self.check_bytes(headers_bytes(headers), payload.len())
    }

    fn check_bytes(self, headers_bytes: usize, payload_bytes: usize) -> Result<(), MessageError> {
        let message_bytes = headers_bytes + payload_bytes;
        if headers_bytes > MAX_HEADERS_BLOCK_BYTES {
            return Err(MessageError::HeadersTooLarge { headers_bytes, max_bytes: MAX_HEADERS_BLOCK_BYTES });
        }
        if message_bytes > self.max_payload_bytes {
            return Err(MessageError::TooLarge { message_bytes, max_bytes: self.max_payload_bytes });
        }
        match self.max_message_bytes {
            Some(max_bytes) if message_bytes > max_bytes => {
                Err(MessageError::TooLargeForStream { message_bytes, max_bytes })
            }
            _ => Ok(()),
        }
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
    let lines = headers.iter().flat_map(|(name, texts)| texts.iter().map(move |text| line_bytes(name, text)));
    HEADER_FRAME_BYTES + lines.sum::<usize>()
}

/// The size of one header on the wire.
fn line_bytes(name: &HeaderName, text: &HeaderValue) -> usize {
    let name: &[u8] = name.as_ref();
    name.len() + text.as_str().len() + HEADER_LINE_BYTES
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
    /// More headers than any server takes.
    #[error("its headers have {headers_bytes} bytes and a NATS server takes {max_bytes}")]
    HeadersTooLarge {
        /// All headers.
        headers_bytes: usize,
        /// What a server takes.
        max_bytes: usize,
    },
    /// Larger than the server takes. It would close the connection, so such a message is never sent.
    #[error("the message has {message_bytes} bytes and the NATS server takes {max_bytes} (its max_payload)")]
    TooLarge {
        /// Headers and body.
        message_bytes: usize,
        /// The server's `max_payload`.
        max_bytes: usize,
    },
    /// Larger than the stream takes.
    #[error("the message has {message_bytes} bytes and the stream takes {max_bytes} (its max_msg_size)")]
    TooLargeForStream {
        /// Headers and body.
        message_bytes: usize,
        /// The stream's `max_msg_size`.
        max_bytes: usize,
    },
}
