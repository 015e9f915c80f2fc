//! The way to a Postgres server: where it is, how to get there, who we are.
//!
//! Replication and plain SQL share all of it: [`Endpoint`] is read once from a libpq-style URL, [`transport`] opens the
//! socket and wraps it in TLS, and both protocols then speak over the same [`transport::Stream`].

mod endpoint;
pub mod sql;
mod tls;
pub mod transport;

pub use endpoint::{Endpoint, EndpointError, SslMode, TlsSettings};
pub use transport::{ConnectError, Stream};
