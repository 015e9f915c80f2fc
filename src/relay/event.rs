//! What happens to the state machine, and what it answers.

use std::fmt;

use tokio::time::Instant;

use crate::{lsn::Lsn, position::Place, publish::Outcome};

/// How order and exactly-once are kept on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The stream is ours alone: each message is stored only right behind the one before it.
    Chain,
    /// Others write to the stream, or its messages vanish: one message of an aggregate at a time, and message ids.
    Shared,
}

/// How much may be on its way to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages without an answer.
    pub max_in_flight: usize,
    /// Bytes of their rows.
    pub max_in_flight_bytes: usize,
}

/// What the stream holds when delivery begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The stream's last sequence; 0 if nothing was ever stored.
    pub last_sequence: u64,
    /// The place of its last event; `None` if there is none to go by.
    pub stored: Option<Place>,
}

/// Something that happened. `R` is what is kept of a row until it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<R> {
    /// A committed transaction begins to arrive.
    Begin {
        /// Where its commit record begins.
        commit_lsn: Lsn,
        /// When it committed, in microseconds since 2000-01-01 UTC by the server's clock.
        commit_time_us: i64,
    },
    /// A row of the outbox in it.
    Row {
        /// The row.
        row: R,
        /// Its size in the log, in bytes.
        bytes: usize,
        /// What stands for its aggregate; looked at in [`Mode::Shared`] only.
        key: u64,
    },
    /// The transaction is complete.
    Commit {
        /// Where its commit record begins: must be that of its beginning.
        commit_lsn: Lsn,
        /// Where the log goes on after it.
        end_lsn: Lsn,
        /// When that was heard.
        now: Instant,
    },
    /// Everything that commits at or before `wal_end` has been sent.
    Keepalive {
        /// That position.
        wal_end: Lsn,
        /// When that was heard.
        now: Instant,
    },
    /// The broker answered a message.
    Ack {
        /// The ticket that the message went under.
        ticket: u64,
        /// What the broker said.
        outcome: Outcome,
        /// When it was heard.
        now: Instant,
    },
}

/// What an event came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that anybody must act on.
    None,
    /// The row waits for its turn.
    Taken,
    /// The same, of a row that the stream lacks although it holds later ones: it goes to the end.
    Displaced,
    /// The stream has this row already.
    Skip,
    /// A message was stored.
    Stored {
        /// The size of its row, in bytes.
        bytes: usize,
        /// When its transaction committed, in microseconds since 2000-01-01 UTC by the server's clock.
        commit_time_us: i64,
    },
    /// The broker had stored an event with this id before and left the stream as it was.
    Duplicate,
    /// Stop, throw away what is queued, and begin again from what the stream holds.
    Stop(StopReason),
}

/// A row whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<'a, R> {
    /// Names the message in the broker's answer; unique among the rows of one relay.
    pub ticket: u64,
    /// The sequence of the message before it; `None` where the stream's order is not ours.
    pub expected_last_sequence: Option<u64>,
    /// The row before it, if that one is not known to be stored: its message must be the last of the stream. Otherwise
    /// the sequence says as much.
    pub before: Option<&'a R>,
    /// Up to where the stream holds everything before this row, if the row before it is not known to be stored.
    pub previous: Option<Place>,
    /// Where the row stands in the log.
    pub place: Place,
    /// Up to where the stream holds everything once it holds this row.
    pub checkpoint: Place,
    /// The row.
    pub row: &'a R,
}

/// Why delivery cannot go on as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The broker refused a message, or its fate is unknown.
    Refused {
        /// Where its row stands.
        place: Place,
        /// What the broker said.
        outcome: Outcome,
    },
    /// The broker stored the message elsewhere than where the chain expects it.
    OutOfPlace {
        /// The sequence that the chain expects.
        expected: u64,
        /// The sequence that the broker gave.
        got: u64,
    },
    /// An answer to a message that is not waiting for one.
    UnknownAck {
        /// The ticket that it names.
        ticket: u64,
    },
    /// The stream ends before what it had confirmed to hold, or without a message that tells what it stored since.
    Forgotten {
        /// Where the stream ended when it last answered.
        known_sequence: u64,
        /// Where it ends now.
        last_sequence: u64,
    },
    /// The stream ends with an event that we did not send: somebody else leads.
    Overtaken {
        /// That event's place.
        place: Place,
    },
    /// The stream may lack events although it holds later ones: messages of others took their places.
    Displaced,
    /// The log's messages contradict each other.
    Log(LogFault),
}

/// How the messages of the log contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// A row or a commit outside of a transaction.
    Outside,
    /// A transaction inside a transaction.
    Nested,
    /// A transaction that ends with another commit than it began with.
    OtherCommit,
    /// A transaction that does not come after the one before it.
    Backwards,
    /// More rows in a transaction than an index can count.
    TooManyRows,
}

impl StopReason {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { outcome, .. } => outcome.hint(),
            Self::OutOfPlace { .. } | Self::UnknownAck { .. } => Some(
                "nothing if it passes: the stream is read again; if it does not, see who else writes to the stream",
            ),
            Self::Forgotten { .. } => {
                Some("set delivery.hold_back above the broker's sync_interval, so that the log can make it whole again")
            }
            Self::Overtaken { .. } => Some("nothing: this one stands by from now on"),
            Self::Displaced => {
                Some("nothing now: the events go to the end of the stream; let nobody but walpost write to it")
            }
            Self::Log(_) => Some("report it with the versions of walpost and Postgres"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "chain",
            Self::Shared => "shared",
        })
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "a change came outside of a transaction",
            Self::Nested => "a transaction began inside another one",
            Self::OtherCommit => "a transaction ended with another commit than it began with",
            Self::Backwards => "a transaction did not come after the one before it",
            Self::TooManyRows => "a transaction has more rows than walpost can count",
        })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { place, outcome } => write!(f, "the broker did not store the event at {place}: {outcome}"),
            Self::OutOfPlace { expected, got } => {
                write!(f, "the broker stored message {expected} of the chain as {got}")
            }
            Self::UnknownAck { ticket } => write!(f, "an answer came for message {ticket}, which awaits none"),
            Self::Forgotten { known_sequence, last_sequence } if last_sequence > known_sequence => write!(
                f,
                "the stream went on from sequence {known_sequence} to {last_sequence}, and its last message was removed, so nothing tells what it stored"
            ),
            Self::Forgotten { known_sequence, last_sequence } => write!(
                f,
                "the stream ends at sequence {last_sequence}, and the broker had confirmed to store up to {known_sequence}"
            ),
            Self::Overtaken { place } => {
                write!(f, "the stream ends with the event at {place}, which another walpost sent")
            }
            Self::Displaced => f.write_str(
                "messages of others in the stream took the places of events, which are looked for in the log",
            ),
            Self::Log(fault) => write!(f, "the replication stream contradicts itself: {fault}"),
        }
    }
}
