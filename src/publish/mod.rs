//! Publishing: rows become messages, answers become outcomes.
//!
//! This stage talks to NATS and knows what its messages look like; in which order they go and what an answer means for
//! the chain is decided by [`crate::relay`].

mod broker;
mod compose;
mod dead_letter;
mod header_block;
mod letter;
mod message;
mod outcome;
mod poison;
mod rights;
mod server;
mod sharing;
mod stream;

pub use broker::{
    Answer, Broker, BrokerError, BrokerEvent, BrokerOptions, Credentials, Entry, Notice, TlsFiles, lasting_client,
};
pub use compose::{CameTo, Composed, Composer, EventName, Halt};
pub use dead_letter::{MAX_DEAD_LETTER_BYTES, event_id};
pub use letter::Letter;
pub use message::{Built, Chain, Message, MessageBuilder, MessageError, MessageId, SizeLimits};
pub use outcome::Outcome;
pub use poison::{OnPoison, Poison, PoisonReason};
pub use rights::{Denied, denied};
pub use server::ServerSaid;
pub use sharing::Sharing;
pub use stream::{
    AccountUse, Depth, Frailty, Kept, Orphans, Replica, StreamEnd, StreamError, StreamExtent, StreamFit,
    StreamIdentity, StreamInspector, StreamPlan, StreamProblem, StreamSeen, StreamTail,
};
