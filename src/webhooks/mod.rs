//! Webhooks: the events of the stream to HTTP endpoints, signed, retried, and in order where that is asked for.
//!
//! ```text
//! stream -> reader -> ledger (what is open, what is due) -> HTTP client -> endpoint
//!                        |  ^                                   |
//!                        v  '--------- delivered, failed <------'
//!             record in JetStream, by compare-and-set
//! ```
//!
//! A leaf beside the data path: it reads the stream that the relay writes, and nothing of the relay knows of it. Whatever
//! matters is in JetStream; the design, and every moment to die at, is in `docs/adr/0017-webhooks-by-one-ledger-an-endpoint.md`.
//!
//! Invariant: what the ledger has read and does not hold open is delivered or a dead letter.

mod address;
mod board;
mod body;
mod client;
mod compose;
mod crew;
mod endpoint;
mod event;
mod ledger;
mod metrics;
mod port;
mod ports;
mod reader;
mod retry;
mod service;
mod signature;
mod standing;
mod stats;
mod store;
mod target;
mod verdict;
mod worker;

pub use self::{
    address::{Cidr, CidrError, Guard, is_public},
    board::Board,
    body::{Body, BodyFormat},
    client::{Delivery, HttpClient, Lookup, Patience, Resolver, TlsRootsError, admitted, tls_config},
    compose::compose,
    endpoint::{Endpoint, EndpointName, ExtraHeader, Start, filters_overlap, is_filter},
    event::Event,
    ledger::{Lane, Ledger, Ordering, Saved, SavedEvent},
    metrics::Metrics as WebhookMetrics,
    port::Port,
    ports::{Ports, PortsError},
    retry::{Schedule, ScheduleError, retry_after},
    service::{Roster, Served, Service},
    signature::{SecretError, SigningSecret, signature_header},
    standing::{Condition, RefusedStanding, Standing, moment},
    stats::{EndpointSeen, EndpointStats},
    store::{
        DeadLetter, Disabled, DisabledBy, Discarded, EndpointLook, LetterSeen, LoggedAttempt, Look, OutboxSeen,
        OwnStream, Record, SaveError, SetupError, Store, StoreError, Stored, Wish, Written,
    },
    target::{Target, TargetError},
    verdict::{Outcome, OutcomeClass, Verdict, judge},
};
