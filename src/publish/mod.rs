//! Publishing: events become messages, answers become outcomes.
//!
//! This stage talks to NATS and knows what its messages look like; in which order they go and what an answer means for
//! the chain is decided by [`crate::relay`].

mod broker;
mod message;
mod outcome;
mod sharing;
mod stream;

pub use broker::{Answer, Broker, BrokerError, BrokerEvent, BrokerOptions, Credentials, Notice, TlsFiles};
pub use message::{Built, Chain, Message, MessageBuilder, MessageError};
pub use outcome::Outcome;
pub use sharing::Sharing;
pub use stream::{StreamEnd, StreamError, StreamFit, StreamInspector, StreamPlan, StreamProblem, StreamTail};
