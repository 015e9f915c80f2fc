//! What goes on the wire: subject, headers, body.
//!
//! The body is the payload's bytes as they stood in the log, not copied. Every value that becomes a header was checked
//! before, or is checked here: nothing that comes out of a row can end a header line.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    sync::Arc,
};

use async_nats::Subject;
use bytes::Bytes;

use super::{
    header_block::{HeaderBlock, LineEnd, MSG_ID},
    stream::{DISPLACED_HEADER, POSITION_HEADER, PREVIOUS_HEADER},
};
use crate::{
    outbox::{DropReason, Dropped, Event, SubjectError, Template, check_value, for_each_header},
    position::{Place, Source},
};

const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
const EXPECTED_LAST_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
const EXPECTED_LAST_MSG_ID: &str = "Nats-Expected-Last-Msg-Id";
pub(super) const AGGREGATE_TYPE: &str = "Walpost-Aggregate-Type";
pub(super) const AGGREGATE_ID: &str = "Walpost-Aggregate-Id";
pub(super) const EVENT_TYPE: &str = "Walpost-Event-Type";
pub(super) const CREATED_AT: &str = "Walpost-Created-At";

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
    pub(super) headers: HeaderBlock,
    /// Its body.
    pub(super) payload: Bytes,
}

/// The id of a message, as its header carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId(String);

impl Message {
    /// The id that the broker knows it by.
    pub fn id(&self) -> MessageId {
        MessageId(self.headers.id().to_owned())
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
    /// What every position begins with.
    position_prefix: String,
    stream: String,
    limits: SizeLimits,
    scratch: String,
}

impl MessageBuilder {
    /// For events of one log and one stream. The names of both must be such as a header can carry.
    pub fn new(
        template: Arc<Template>,
        source: &Source,
        stream: &str,
        limits: SizeLimits,
    ) -> Result<Self, MessageError> {
        check(EXPECTED_STREAM, stream)?;
        check(POSITION_HEADER, &source.slot)?;
        let position_prefix = source.prefix();
        Ok(Self { template, position_prefix, stream: stream.to_owned(), limits, scratch: String::new() })
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
        check(MSG_ID, &event.id)?;
        let mut headers = HeaderBlock::new(&event.id).map_err(|LineEnd| line_end(MSG_ID))?;
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

    fn add_own_headers(&mut self, event: &Event<'_>, chain: Chain, out: &mut HeaderBlock) -> Result<(), MessageError> {
        self.add_chain(chain, out);
        for (name, text) in [
            (AGGREGATE_TYPE, &event.aggregate_type),
            (AGGREGATE_ID, &event.aggregate_id),
            (EVENT_TYPE, &event.event_type),
        ] {
            check(name, text)?;
            out.add(name, text).map_err(|LineEnd| line_end(name))?;
        }
        if let Some(created_at) = event.created_at {
            self.add_own(out, CREATED_AT, |builder| builder.write(created_at));
        }
        Ok(())
    }

    /// The headers that tie the message to its place in both logs.
    pub(super) fn add_chain(&mut self, chain: Chain, out: &mut HeaderBlock) {
        self.add_own(out, EXPECTED_STREAM, |builder| builder.scratch.push_str(&builder.stream));
        if let Some(sequence) = chain.expected_last_sequence {
            let mut number = itoa::Buffer::new();
            self.add_own(out, EXPECTED_LAST_SEQUENCE, |builder| builder.scratch.push_str(number.format(sequence)));
        }
        self.add_own(out, POSITION_HEADER, |builder| builder.write_position(chain.checkpoint));
        if chain.place != chain.checkpoint {
            self.add_own(out, DISPLACED_HEADER, |builder| builder.write_position(chain.place));
        }
    }

    /// Whether the broker takes a message of this size.
    pub(super) fn check_size(&self, message: &Message) -> Result<(), MessageError> {
        self.limits.check(&message.headers, &message.payload)
    }

    /// Has the broker store the message only if the last one of the stream has this id, if there is room to say so.
    pub(super) fn link(&self, message: &mut Message, MessageId(before): &MessageId) {
        let headers_bytes = message.headers.bytes_with(EXPECTED_LAST_MSG_ID, before);
        if self.limits.check_bytes(headers_bytes, message.payload.len()).is_ok() {
            message.headers.add(EXPECTED_LAST_MSG_ID, before).expect("it is the id of a message");
        }
    }

    /// Says which place should stand before the message in the stream, if there is room to say so.
    pub(super) fn name_previous(&self, message: &mut Message, previous: Place) {
        let previous = self.position(previous);
        let headers_bytes = message.headers.bytes_with(PREVIOUS_HEADER, &previous);
        if self.limits.check_bytes(headers_bytes, message.payload.len()).is_ok() {
            message.headers.add(PREVIOUS_HEADER, &previous).expect("names of slots were checked");
        }
    }

    /// The text form of a place in the log, which makes the stream the checkpoint.
    pub(super) fn position(&self, place: Place) -> String {
        [self.position_prefix.as_str(), &place.to_string()].concat()
    }

    fn write_position(&mut self, place: Place) {
        self.scratch.push_str(&self.position_prefix);
        self.write(place);
    }

    fn write(&mut self, value: impl fmt::Display) {
        // Writing to a String cannot fail.
        let _infallible = write!(self.scratch, "{value}");
    }

    /// A header whose value is made of digits, and the names of stream and slot, which were checked when this was built.
    fn add_own(&mut self, out: &mut HeaderBlock, name: &str, write: impl FnOnce(&mut Self)) {
        self.scratch.clear();
        write(self);
        out.add(name, &self.scratch).expect("names of streams and slots were checked");
    }
}

impl SizeLimits {
    /// Whether a message of these parts is taken.
    fn check(self, headers: &HeaderBlock, payload: &[u8]) -> Result<(), MessageError> {
        self.check_bytes(headers.bytes(), payload.len())
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

/// Adds one of the event's own headers. The reader lets nothing through that ends a line.
fn add(headers: &mut HeaderBlock, name: &str, text: &str) {
    let added = headers.add(name, text);
    debug_assert_eq!(added, Ok(()), "a header with a line end passed the reader");
}

/// Whether a value can be that of a header: one out of a row may hold anything, line ends, or names that old servers
/// look for in values too.
fn check(header: &'static str, text: &str) -> Result<(), MessageError> {
    check_value(text).map_err(|reason| MessageError::HeaderValue { header, reason })
}

fn line_end(header: &'static str) -> MessageError {
    MessageError::HeaderValue { header, reason: DropReason::ControlCharacter }
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
