//! Why the stream cannot be asked.

use super::{MAX_FOREIGN, StreamProblem};
use crate::position::PositionError;

/// The stream cannot be asked, or does not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It cannot be used.
    #[error(transparent)]
    Problem(#[from] StreamProblem),
    /// JetStream's API failed.
    #[error("JetStream does not answer: {0}")]
    Request(String),
    /// NATS does not let us ask: a question without a permission gets no answer, only a complaint beside it.
    #[error("NATS complains: {0}")]
    Refused(String),
    /// The server runs without JetStream, or the account has none.
    #[error("the NATS server offers no JetStream to this account")]
    NoJetStream,
    /// The stream could not be made.
    #[error("the stream could not be created: {0}")]
    Create(String),
    /// Somebody else writes to the stream.
    #[error("the last {MAX_FOREIGN} messages of the stream, from {sequence} on, were not written by walpost")]
    Foreign {
        /// The sequence of the first of them.
        sequence: u64,
    },
    /// A position of a later version, or a forged one.
    #[error("the position of message {sequence} of the stream cannot be used")]
    Position {
        /// Its sequence.
        sequence: u64,
        /// Why.
        source: PositionError,
    },
}

impl StreamError {
    /// What to do about a permission that is missing.
    pub const RIGHTS: &'static str = "give the NATS user the permission that NATS names: to publish to the events' subjects, \
                                      to $JS.API.STREAM.INFO.<stream> and $JS.API.STREAM.MSG.GET.<stream> (for setup also \
                                      to $JS.API.STREAM.CREATE.<stream>, and with --existing-rows missing to \
                                      $JS.API.CONSUMER.CREATE.<stream>, $JS.API.CONSUMER.INFO.<stream>.* and \
                                      $JS.API.CONSUMER.MSG.NEXT.<stream>.*), and to subscribe to <nats.inbox_prefix>.>";

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoJetStream => {
                Some("start nats-server with JetStream (`nats-server -js`), or enable it for the account")
            }
            Self::Foreign { .. } => {
                Some("walpost must be the only writer of its stream: give it one of its own under [nats] stream")
            }
            Self::Position { .. } => Some("run the version of walpost that wrote the stream, or a later one"),
            Self::Refused(_) => Some(Self::RIGHTS),
            Self::Request(_) => Some(
                "see whether the cluster has a leader and keeps up (`nats server report jetstream`), and whether the NATS \
                 user may publish to $JS.API.STREAM.INFO.<stream> and $JS.API.STREAM.MSG.GET.<stream> and subscribe to \
                 <nats.inbox_prefix>.>",
            ),
            Self::Create(_) => Some(
                "let the NATS user publish to $JS.API.STREAM.CREATE.<stream>, or create the stream with the settings that \
                 `walpost setup --dry-run` prints",
            ),
            Self::Problem(_) => None,
        }
    }
}
