//! The message of a row, whatever the row holds: the event's own, or a dead letter in its place.
//!
//! Total and without side effects, so that a row can be composed a second time, for another place in the chain. Whoever
//! calls counts and logs what the message came to, once for each row.

use std::fmt;

use bytes::Bytes;

use super::{
    dead_letter::MAX_DEAD_LETTER_BYTES,
    message::{Built, Chain, Message, MessageBuilder, MessageError, MessageId, SizeLimits},
    poison::{OnPoison, Poison},
};
use crate::{
    outbox::{Binding, Dropped, RowError, Text, Traceable},
    pgoutput::Tuple,
    position::Place,
};

/// Makes messages of rows.
#[derive(Clone, Debug)]
pub struct Composer {
    builder: MessageBuilder,
    on_poison: OnPoison,
}

/// The message of a row, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Composed<'a> {
    /// The message.
    pub message: Message,
    /// The event's id, if it could be read.
    pub id: Option<Text<'a>>,
    /// What the row came to.
    pub came_to: CameTo,
}

/// What a row came to.
#[derive(Clone, Debug)]
pub enum CameTo {
    /// The event's own message, and what had to be left out of its headers.
    Event(Dropped),
    /// A dead letter, for this reason.
    DeadLetter(Poison),
}

impl Composer {
    /// Messages by this builder.
    pub fn new(builder: MessageBuilder, on_poison: OnPoison) -> Self {
        Self { builder, on_poison }
    }

    /// From now on messages may be this large.
    pub fn set_limits(&mut self, limits: SizeLimits) {
        self.builder.set_limits(limits);
    }

    /// Makes the message of a row for its place in the chain. `data` is the piece of log that the row was read from.
    pub fn compose<'a>(
        &mut self,
        binding: &Binding,
        row: Tuple<'a>,
        data: &Bytes,
        chain: Chain,
    ) -> Result<Composed<'a>, Box<Halt>> {
        let poison = match binding.read(row) {
            Ok(event) => match self.builder.build(&event, data, chain) {
                Ok(Built { message, dropped_headers }) => {
                    return Ok(Composed { message, id: Some(event.id), came_to: CameTo::Event(dropped_headers) });
                }
                Err(error) => Poison::from(&error),
            },
            Err(RowError::Column(bad)) => Poison::from(&*bad),
            // The table and its rows contradict each other: nothing that follows can be trusted.
            Err(error @ RowError::ColumnCount { .. }) => return Err(Box::new(Halt::Row { place: chain.place, error })),
        };
        self.poisoned(binding, row, data.len(), (poison, chain))
    }

    /// Has the broker store the message only right behind the one of this id, which is under way. A message that has no
    /// room for that goes without: its sequence alone ties it then.
    pub fn link(&self, message: &mut Message, before: &MessageId) {
        self.builder.link(message, before);
    }

    /// Has the message say which place should stand before it in the stream, for whoever reads that back.
    pub fn name_previous(&mut self, message: &mut Message, previous: Place) {
        self.builder.name_previous(message, previous);
    }

    /// A dead letter, if that is wanted and the broker takes even that.
    #[cold]
    fn poisoned<'a>(
        &mut self,
        binding: &Binding,
        row: Tuple<'a>,
        row_bytes: usize,
        (poison, chain): (Poison, Chain),
    ) -> Result<Composed<'a>, Box<Halt>> {
        let identity = binding.identify(row);
        let (place, event) = (chain.place, EventName(identity.id.as_deref().map(|id| Traceable(id).to_string())));
        if self.on_poison == OnPoison::Halt {
            return Err(Box::new(Halt::Poison { event, place, poison, row_bytes }));
        }
        let message = self.builder.dead_letter(&identity, row_bytes, &poison, chain);
        match self.builder.check_size(&message) {
            Ok(()) => Ok(Composed { message, id: identity.id, came_to: CameTo::DeadLetter(poison) }),
            Err(error) => Err(Box::new(Halt::NoRoom { event, place, poison, error })),
        }
    }
}

/// How an event is called in an error: by its id, printable and cut, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(Option<String>);

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(id) => write!(f, "event \"{id}\""),
            None => f.write_str("event"),
        }
    }
}

/// A row that stops the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The row is not one of its table.
    #[error("the row at {place} cannot be read: {error}")]
    Row {
        /// Where in the log.
        place: Place,
        /// Why.
        error: RowError,
    },
    /// No message can carry it, and there are to be no dead letters.
    #[error(
        "the {event} at {place} cannot be published ({}): {}; its row has {row_bytes} bytes",
        poison.reason,
        poison.detail
    )]
    Poison {
        /// Which event.
        event: EventName,
        /// Where in the log.
        place: Place,
        /// Why.
        poison: Poison,
        /// The size of its row, in bytes.
        row_bytes: usize,
    },
    /// No message can carry it, and the broker does not even take the dead letter.
    #[error("the {event} at {place} cannot be published ({}), and neither can its dead letter: {error}", poison.reason)]
    NoRoom {
        /// Which event.
        event: EventName,
        /// Where in the log.
        place: Place,
        /// Why.
        poison: Poison,
        /// Why not even the dead letter.
        error: MessageError,
    },
}

impl Halt {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Row { .. } => None,
            Self::Poison { poison, .. } => {
                let way_through = poison.reason.way_through();
                let way_through = way_through.map(|way| format!("to let it through, {way}; ")).unwrap_or_default();
                Some(format!(
                    "{way_through}to go on without it, set delivery.on_poison = \"dead-letter\": a record of it takes \
                     its place in the stream, and its row can be mended and sent again"
                ))
            }
            Self::NoRoom { .. } => Some(format!(
                "raise max_payload of the NATS server (and max_msg_size of the stream, if it has one) to \
                 {MAX_DEAD_LETTER_BYTES} bytes at the least"
            )),
        }
    }
}

#[cfg(test)]
mod tests;
