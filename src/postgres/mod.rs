//! The way to a Postgres server: where it is, how to get there, who we are.
//!
//! Replication and plain SQL share all of it: [`Endpoint`] is read from a libpq-style URL, [`transport`] opens the
//! socket and wraps it in TLS, and both protocols then speak over the same [`transport::Stream`]. Of several hosts each is
//! tried in turn (`hosts`), until one lets us in and is what the URL asks for (`session_attrs`).

mod end_point;
mod endpoint;
mod hosts;
mod session_attrs;
pub mod sql;
mod tls;
mod tls_settings;
pub mod transport;

pub use endpoint::{Endpoint, EndpointError};
pub(crate) use hosts::{Refusal, Refuses, Search, is_loopback};
pub(crate) use session_attrs::Reported;
pub use session_attrs::{Misfit, SessionAttrs};
pub use tls_settings::{ChannelBinding, SYSTEM_ROOTS, SslMode, TlsSettings};
pub use transport::{ConnectError, Stream};
