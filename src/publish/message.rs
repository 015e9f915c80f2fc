//! What goes on the wire: subject, headers, body.
//!
//! The body is the payload's bytes as they stood in the log, not copied. Every value that becomes a header was checked
//! before, or is checked here: nothing that comes out of a row can end a header line.

use std::{borrow::Cow, sync::Arc};

use async_nats::Subject;
use bytes::Bytes;

use super::{
    header_block::{HeaderBlock, MSG_ID},
    stream::{DISPLACED_HEADER, POSITION_HEADER, PREVIOUS_HEADER},
};
use crate::{
    outbox::{DropReason, Dropped, Event, HeaderName, HeaderText, SubjectError, Template, Text, for_each_header},
    position::{Place, Source},
};

const EXPECTED_STREAM: HeaderName<'static> = HeaderName::own("Nats-Expected-Stream");
const EXPECTED_LAST_SEQUENCE: HeaderName<'static> = HeaderName::own("Nats-Expected-Last-Sequence");
const EXPECTED_LAST_MSG_ID: HeaderName<'static> = HeaderName::own("Nats-Expected-Last-Msg-Id");
const POSITION: HeaderName<'static> = HeaderName::own(POSITION_HEADER);
const DISPLACED: HeaderName<'static> = HeaderName::own(DISPLACED_HEADER);
const PREVIOUS: HeaderName<'static> = HeaderName::own(PREVIOUS_HEADER);
pub(super) const AGGREGATE_TYPE: HeaderName<'static> = HeaderName::own("Walpost-Aggregate-Type");
pub(super) const AGGREGATE_ID: HeaderName<'static> = HeaderName::own("Walpost-Aggregate-Id");
pub(super) const EVENT_TYPE: HeaderName<'static> = HeaderName::own("Walpost-Event-Type");
pub(super) const CREATED_AT: HeaderName<'static> = HeaderName::own("Walpost-Created-At");

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
pub struct MessageId(Id);

/// Most ids are UUIDs, which need no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Id {
    Short(HeaderText<Text<'static>>),
    Long(HeaderText<String>),
}

impl Message {
    /// The id that the broker knows it by.
    pub fn id(&self) -> MessageId {
        let id = self.headers.id();
        MessageId(id.inline().map_or_else(|| Id::Long(id.to_owned()), Id::Short))
    }
}

impl MessageId {
    fn text(&self) -> HeaderText<&str> {
        match &self.0 {
            Id::Short(text) => text.borrowed(),
            Id::Long(text) => text.borrowed(),
        }
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
    position_prefix: HeaderText<String>,
    stream: HeaderText<String>,
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
        let keep = |header: HeaderName<'static>, text| HeaderText::keep(text).map_err(|reason| refused(header, reason));
        let stream = keep(EXPECTED_STREAM, stream.to_owned())?;
        let position_prefix = keep(POSITION, source.prefix())?;
        Ok(Self { template, position_prefix, stream, limits, scratch: String::new() })
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
        let id = HeaderText::from_data(&event.id).map_err(|reason| refused(HeaderName::own(MSG_ID), reason))?;
        let mut headers = HeaderBlock::new(id);
        let dropped = event.headers.map(|json| for_each_header(json, |name, text| headers.add(name, text)));
        self.add_own_headers(event, chain, &mut headers)?;
        let payload = match &event.payload {
            Cow::Borrowed(bytes) => data.slice_ref(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes.clone()),
        };
        self.limits.check(&headers, &payload)?;
        let dropped_headers = dropped.unwrap_or_default();
        Ok(Built { message: Message { subject, headers, payload }, dropped_headers })
    }

    fn add_own_headers(&self, event: &Event<'_>, chain: Chain, out: &mut HeaderBlock) -> Result<(), MessageError> {
        self.add_chain(chain, out);
        for (name, text) in [
            (AGGREGATE_TYPE, &event.aggregate_type),
            (AGGREGATE_ID, &event.aggregate_id),
            (EVENT_TYPE, &event.event_type),
        ] {
            let text = HeaderText::from_data(text).map_err(|reason| refused(name, reason))?;
            out.add(name, text);
        }
        if let Some(created_at) = event.created_at {
            out.begin(CREATED_AT).moment(created_at);
        }
        Ok(())
    }

    /// The headers that tie the message to its place in both logs.
    pub(super) fn add_chain(&self, chain: Chain, out: &mut HeaderBlock) {
        out.add(EXPECTED_STREAM, self.stream.borrowed());
        if let Some(sequence) = chain.expected_last_sequence {
            out.begin(EXPECTED_LAST_SEQUENCE).number(sequence);
        }
        self.add_position(POSITION, chain.checkpoint, out);
        if chain.place != chain.checkpoint {
            self.add_position(DISPLACED, chain.place, out);
        }
    }

    /// Whether the broker takes a message of this size.
    pub(super) fn check_size(&self, message: &Message) -> Result<(), MessageError> {
        self.limits.check(&message.headers, &message.payload)
    }

    /// Has the broker store the message only if the last one of the stream has this id, if there is room to say so.
    pub(super) fn link(&self, message: &mut Message, before: &MessageId) {
        self.add_if_there_is_room(message, |headers| headers.add(EXPECTED_LAST_MSG_ID, before.text()));
    }

    /// Says which place should stand before the message in the stream, if there is room to say so.
    pub(super) fn name_previous(&self, message: &mut Message, previous: Place) {
        self.add_if_there_is_room(message, |headers| self.add_position(PREVIOUS, previous, headers));
    }

    /// The text form of a place in the log, which makes the stream the checkpoint.
    pub(super) fn position(&self, place: Place) -> String {
        [self.position_prefix.as_str(), &place.to_string()].concat()
    }

    fn add_position(&self, name: HeaderName<'_>, place: Place, out: &mut HeaderBlock) {
        out.begin(name).text(self.position_prefix.borrowed()).place(place);
    }

    fn add_if_there_is_room(&self, message: &mut Message, add: impl FnOnce(&mut HeaderBlock)) {
        let before = message.headers.mark();
        add(&mut message.headers);
        if self.check_size(message).is_err() {
            message.headers.cut_back(before);
        }
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

fn refused(header: HeaderName<'static>, reason: DropReason) -> MessageError {
    MessageError::HeaderValue { header: header.as_str(), reason }
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
