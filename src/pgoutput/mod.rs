//! The pgoutput decoder: bytes of one logical replication message in, one [`Message`] out.
//!
//! `pgoutput` is the output plugin built into Postgres. It speaks a small binary protocol of self-contained messages
//! (<https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>); this stage understands all
//! of its version 1, the one in which whole committed transactions arrive, in commit order:
//!
//! ```text
//! Begin  (Origin)  { Relation | Type | Insert | Update | Delete | Truncate | Logical }*  Commit
//! ```
//!
//! A `Relation` describes a table before its first row in a session, and again when anything about it may have changed,
//! be it in the middle of a transaction; a row refers to the last one by number and carries nothing but values, in the
//! order of its columns. A `Logical` message that is not transactional may also stand between transactions, and is
//! sent even if the transaction that wrote it rolled back.
//!
//! Input: the payload of one `XLogData` frame. Output: a message that borrows from it; only [`Relation`], which is rare
//! and outlives its frame, owns its text.
//!
//! The decoder is a pure function of the bytes. It does not know what was decoded before: it neither looks relations
//! up, nor counts transactions, nor interprets a value.
//!
//! Invariants:
//! - Total: any bytes give a message or a [`DecodeError`], never a panic. `reader.rs` alone slices the input.
//! - Exact: every byte is accounted for. What is cut short is an error, and so is what is too long.
//! - Frugal: a row costs no allocation; a relation at most a small multiple of its size on the wire.
//! - Discreet: `Debug` and errors show kinds, sizes and offsets, never a value of a row.
//!
//! Names are UTF-8 because the connection asks for `client_encoding = UTF8`: the server converts all text before it
//! sends. A database in `SQL_ASCII` converts nothing; a name in it that is not UTF-8 is an error here.

mod error;
mod message;
mod reader;
mod relation;
mod truncate;
mod tuple;

pub use error::DecodeError;
pub use message::{Begin, Commit, Message};
pub use relation::{Column, Relation, ReplicaIdentity};
pub use truncate::RelationIds;
pub use tuple::{KeptTuple, Tuple, TupleKind, Value, Values};

#[cfg(test)]
pub(crate) mod encoder;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod round_trip;
