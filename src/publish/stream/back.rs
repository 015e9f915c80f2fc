//! Reads the stream backwards: which messages are ours, and where they stand in the log.

use std::ops::ControlFlow;

use async_nats::jetstream::{message::StreamMessage, stream::RawMessageErrorKind};
use futures_util::{StreamExt, stream};

use super::{DISPLACED_HEADER, POSITION_HEADER, PREVIOUS_HEADER, StreamError, StreamInspector, StreamProblem};
use crate::position::Position;

/// How many questions are under way at once: enough to keep the server busy, and few enough that their answers fit into
/// memory whatever the messages' size.
const AT_ONCE: usize = 8;

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// An event or a dead letter.
    Ours {
        /// Everything in the log up to here is in the stream up to this message.
        position: Position,
        /// Where its event stands, if it was displaced and went to the end.
        displaced: Option<Position>,
        /// The position of the message that should stand before it, if it says so.
        previous: Option<Position>,
    },
    /// Somebody else's.
    Foreign,
}

/// How far back the stream was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// As far as whoever looked wanted.
    Enough,
    /// To the first message that was ever stored.
    Whole,
    /// To the first message that is left.
    Cut,
}

impl StreamInspector {
    /// Shows the messages, with their sequences, from the sequence `last` back until there was enough to see. Messages
    /// that were removed are passed over.
    pub async fn read_back(
        &self,
        last: u64,
        mut look: impl FnMut(u64, Kept) -> ControlFlow<()>,
    ) -> Result<Depth, StreamError> {
        let stream = self.stream().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        let first = stream.cached_info().state.first_sequence.max(1);
        let stream = &stream;
        let sequences = (first..=last).rev();
        let mut messages = stream::iter(sequences)
            .map(|sequence| async move { (sequence, stream.get_raw_message(sequence).await) })
            .buffered(AT_ONCE);
        while let Some((sequence, answer)) = messages.next().await {
            let message = match answer {
                Ok(message) => message,
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => continue,
                Err(error) => return Err(self.unanswered(&error)),
            };
            if look(sequence, kept(&message, sequence)?).is_break() {
                return Ok(Depth::Enough);
            }
        }
        Ok(if first > 1 { Depth::Cut } else { Depth::Whole })
    }
}

fn kept(message: &StreamMessage, sequence: u64) -> Result<Kept, StreamError> {
    let read = |header: &str| -> Result<Option<Position>, StreamError> {
        let value = message.headers.get(header).map(|value| value.as_str().parse());
        value.transpose().map_err(|source| StreamError::Position { sequence, source })
    };
    let Some(position) = read(POSITION_HEADER)? else { return Ok(Kept::Foreign) };
    Ok(Kept::Ours { position, displaced: read(DISPLACED_HEADER)?, previous: read(PREVIOUS_HEADER)? })
}
