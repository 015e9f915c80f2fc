//! The replication connection: frames in, status updates out.
//!
//! A walsender speaks the ordinary frontend/backend protocol until `START_REPLICATION`, and from then on sends
//! `CopyData` frames that hold either a slice of decoded log or a keepalive; we answer with status updates
//! (<https://www.postgresql.org/docs/current/protocol-replication.html>). The rules that this stage keeps:
//!
//! - `write` in a status update is what was received, `flush` and `apply` what the stream stores. Only `flush` lets
//!   Postgres forget log; it never passes what [`Feedback`] was told.
//! - Replies are paced: a server that shuts down repeats its question with every answer that does not satisfy it.
//! - A warning that the publication is skipped means that changes are being dropped: it ends the connection.
//!
//! It knows nothing of what the frames mean; [`crate::pgoutput`] does.

mod connection;
mod feedback;
mod frame;
mod login;
mod server_message;
mod stream;
mod timeline;

pub use connection::{Connection, ReplicationError, Snapshot, SystemIdentity};
pub use feedback::{Feedback, StatusUpdate};
pub use frame::{Frame, FrameError, Framer};
pub use login::Authentication;
pub use server_message::ServerMessage;
pub use stream::{ReplicationStream, StartOptions};
pub use timeline::{TimelineError, TimelineHistory};
