//! The messages of protocol version 1.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>. The first byte says which one it
//! is. The messages that later versions of the protocol add (streamed and prepared transactions) are never sent to a
//! client that asks for version 1, and are unknown here.

use super::{DecodeError, Relation, RelationIds, Tuple, TupleKind, reader::Reader, relation::namespace};
use crate::lsn::Lsn;
use std::fmt;

/// One message, borrowed from the frame that carried it.
#[derive(Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A committed transaction begins.
    Begin(Begin),
    /// The transaction ends.
    Commit(Commit),
    /// The transaction was not written here first, but replicated from elsewhere.
    Origin {
        /// Where the transaction's commit is in the log of its origin.
        commit_lsn: Lsn,
        /// The origin's name.
        name: &'a str,
    },
    /// The table that rows from now on refer to by its number.
    Relation(Relation),
    /// A type that is not built in, before the first relation that uses it.
    Type {
        /// The object id, as in [`super::Column::type_oid`].
        oid: u32,
        /// The schema of the type; for a domain, that of the type below.
        namespace: &'a str,
        /// The name of the type; for a domain, that of the type below.
        name: &'a str,
    },
    /// A row was inserted.
    Insert {
        /// The table.
        relation_id: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was changed.
    Update {
        /// The table.
        relation_id: u32,
        /// The row as it was, or its key; absent unless the key changed or the replica identity is full.
        old: Option<Tuple<'a>>,
        /// The row as it is.
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        /// The table.
        relation_id: u32,
        /// The row as it was, or its key.
        old: Tuple<'a>,
    },
    /// Tables were emptied.
    Truncate {
        /// The tables.
        relation_ids: RelationIds<'a>,
        /// Whether `CASCADE` was asked for; the tables it reached are listed in any case.
        cascade: bool,
        /// Whether `RESTART IDENTITY` was asked for.
        restart_identity: bool,
    },
    /// Something that an application wrote into the log with `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to the transaction around it; otherwise it stands alone, even if that rolled back.
        transactional: bool,
        /// Where it is in the log.
        lsn: Lsn,
        /// What the application calls messages of this kind.
        prefix: &'a str,
        /// What it says, as it was written.
        content: &'a [u8],
    },
}

/// A committed transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where the commit is in the log; the same as the coming [`Commit::commit_lsn`].
    pub final_lsn: Lsn,
    /// When it was committed, by the clock of its origin if it was replicated: microseconds since 2000-01-01 00:00 UTC.
    pub commit_time_us: i64,
    /// The transaction's number; 32 bits, so it comes round again.
    pub xid: u32,
}

/// A transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Always 0: no flag is defined yet.
    pub flags: u8,
    /// Where the commit is in the log.
    pub commit_lsn: Lsn,
    /// Where the log goes on after the commit: to confirm this is to confirm the transaction.
    pub end_lsn: Lsn,
    /// The same as in [`Begin::commit_time_us`].
    pub commit_time_us: i64,
}

impl<'a> Message<'a> {
    /// The message that `bytes` are, all of them.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8("message tag")? {
            b'I' => insert(&mut reader)?,
            b'B' => begin(&mut reader)?,
            b'C' => commit(&mut reader)?,
            b'R' => Message::Relation(Relation::read(&mut reader)?),
            b'O' => origin(&mut reader)?,
            b'Y' => type_name(&mut reader)?,
            b'U' => update(&mut reader)?,
            b'D' => delete(&mut reader)?,
            b'T' => truncate(&mut reader)?,
            b'M' => logical(&mut reader)?,
            byte => return Err(DecodeError::Unknown { reading: "message tag", offset: 0, byte }),
        };
        reader.finish()?;
        Ok(message)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(begin) => begin.fmt(f),
            Self::Commit(commit) => commit.fmt(f),
            Self::Relation(relation) => relation.fmt(f),
            Self::Origin { commit_lsn, name } => write!(f, "Origin({name:?} at {commit_lsn})"),
            Self::Type { oid, namespace, name } => write!(f, "Type({oid}: {namespace:?}.{name:?})"),
            Self::Insert { relation_id, new } => write!(f, "Insert({relation_id}: {new:?})"),
            Self::Update { relation_id, old: Some(old), new } => write!(f, "Update({relation_id}: {old:?} to {new:?})"),
            Self::Update { relation_id, old: None, new } => write!(f, "Update({relation_id}: to {new:?})"),
            Self::Delete { relation_id, old } => write!(f, "Delete({relation_id}: {old:?})"),
            Self::Truncate { relation_ids, cascade, restart_identity } => {
                write!(f, "Truncate({relation_ids:?}, cascade: {cascade}, restart identity: {restart_identity})")
            }
            Self::Logical { transactional, lsn, prefix, content } => {
                let bytes = content.len();
                write!(f, "Logical({prefix:?} at {lsn}, transactional: {transactional}, {bytes} bytes)")
            }
        }
    }
}

#[inline]
fn insert<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let relation_id = reader.u32("relation id")?;
    Ok(Message::Insert { relation_id, new: new_tuple(reader)? })
}

fn begin<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Begin(Begin {
        final_lsn: lsn(reader, "final lsn")?,
        commit_time_us: reader.i64("commit time")?,
        xid: reader.u32("transaction id")?,
    }))
}

fn commit<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Commit(Commit {
        flags: reader.u8("commit flags")?,
        commit_lsn: lsn(reader, "commit lsn")?,
        end_lsn: lsn(reader, "end lsn")?,
        commit_time_us: reader.i64("commit time")?,
    }))
}

fn origin<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Origin { commit_lsn: lsn(reader, "origin lsn")?, name: reader.cstring("origin name")? })
}

fn type_name<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Type {
        oid: reader.u32("type oid")?,
        namespace: namespace(reader)?,
        name: reader.cstring("type name")?,
    })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let relation_id = reader.u32("relation id")?;
    let first = Tuple::read(reader)?;
    match first.kind() {
        TupleKind::New => Ok(Message::Update { relation_id, old: None, new: first }),
        TupleKind::Key | TupleKind::Old => {
            Ok(Message::Update { relation_id, old: Some(first), new: new_tuple(reader)? })
        }
    }
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let relation_id = reader.u32("relation id")?;
    let offset = reader.offset();
    let old = Tuple::read(reader)?;
    match old.kind() {
        TupleKind::Key | TupleKind::Old => Ok(Message::Delete { relation_id, old }),
        TupleKind::New => Err(DecodeError::Unknown { reading: "tuple kind", offset, byte: b'N' }),
    }
}

fn truncate<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let count = reader.length("relation count")?;
    let options = reader.u8("truncate options")?;
    Ok(Message::Truncate {
        relation_ids: RelationIds::read(reader, count)?,
        cascade: options & TRUNCATE_CASCADE != 0,
        restart_identity: options & TRUNCATE_RESTART_IDENTITY != 0,
    })
}

fn logical<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let flags = reader.u8("logical message flags")?;
    let lsn = lsn(reader, "logical message lsn")?;
    let prefix = reader.cstring("logical message prefix")?;
    let length = reader.length("logical message length")?;
    let content = reader.bytes(length, "logical message content")?;
    Ok(Message::Logical { transactional: flags & LOGICAL_TRANSACTIONAL != 0, lsn, prefix, content })
}

/// A tuple that must be a row as it is from now on.
#[inline]
fn new_tuple<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, DecodeError> {
    let offset = reader.offset();
    let tuple = Tuple::read(reader)?;
    let byte = match tuple.kind() {
        TupleKind::New => return Ok(tuple),
        TupleKind::Key => b'K',
        TupleKind::Old => b'O',
    };
    Err(DecodeError::Unknown { reading: "tuple kind", offset, byte })
}

/// A position in the log.
fn lsn(reader: &mut Reader<'_>, reading: &'static str) -> Result<Lsn, DecodeError> {
    reader.u64(reading).map(Lsn::new)
}

/// The option bit of a truncate with `CASCADE`.
const TRUNCATE_CASCADE: u8 = 1;
/// The option bit of a truncate with `RESTART IDENTITY`.
const TRUNCATE_RESTART_IDENTITY: u8 = 2;
/// The flag bit of a logical message that belongs to its transaction.
const LOGICAL_TRANSACTIONAL: u8 = 1;
