//! The way back, for tests: messages as a server would send them.
//!
//! Written from the protocol's description alone, one function a message, so that a mistake in the decoder is not made
//! twice. What is out of range for the wire panics: tests make what they need.

use super::{Begin, Commit, Relation, ReplicaIdentity, TupleKind, Value};
use crate::lsn::Lsn;

/// A `Begin` message.
pub(crate) fn begin(begin: Begin) -> Vec<u8> {
    let mut wire = vec![b'B'];
    wire.extend(begin.final_lsn.as_u64().to_be_bytes());
    wire.extend(begin.commit_time_us.to_be_bytes());
    wire.extend(begin.xid.to_be_bytes());
    wire
}

/// A `Commit` message.
pub(crate) fn commit(commit: Commit) -> Vec<u8> {
    let mut wire = vec![b'C', commit.flags];
    wire.extend(commit.commit_lsn.as_u64().to_be_bytes());
    wire.extend(commit.end_lsn.as_u64().to_be_bytes());
    wire.extend(commit.commit_time_us.to_be_bytes());
    wire
}

/// An `Origin` message.
pub(crate) fn origin(commit_lsn: Lsn, name: &str) -> Vec<u8> {
    let mut wire = vec![b'O'];
    wire.extend(commit_lsn.as_u64().to_be_bytes());
    cstring(&mut wire, name);
    wire
}

/// A `Relation` message.
pub(crate) fn relation(relation: &Relation) -> Vec<u8> {
    let mut wire = vec![b'R'];
    wire.extend(relation.id.to_be_bytes());
    namespace(&mut wire, &relation.namespace);
    cstring(&mut wire, &relation.name);
    wire.push(match relation.replica_identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Nothing => b'n',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Index => b'i',
    });
    wire.extend(u16::try_from(relation.columns.len()).expect("columns fit in 16 bits").to_be_bytes());
    for column in &relation.columns {
        wire.push(u8::from(column.is_key));
        cstring(&mut wire, &column.name);
        wire.extend(column.type_oid.to_be_bytes());
        wire.extend(column.type_modifier.to_be_bytes());
    }
    wire
}

/// A `Type` message.
pub(crate) fn type_name(oid: u32, schema: &str, name: &str) -> Vec<u8> {
    let mut wire = vec![b'Y'];
    wire.extend(oid.to_be_bytes());
    namespace(&mut wire, schema);
    cstring(&mut wire, name);
    wire
}

/// An `Insert` message.
pub(crate) fn insert(relation_id: u32, new: &[Value<'_>]) -> Vec<u8> {
    let mut wire = vec![b'I'];
    wire.extend(relation_id.to_be_bytes());
    tuple(&mut wire, TupleKind::New, new);
    wire
}

/// An `Update` message, with the row as it was if it is sent.
pub(crate) fn update(relation_id: u32, old: Option<(TupleKind, &[Value<'_>])>, new: &[Value<'_>]) -> Vec<u8> {
    let mut wire = vec![b'U'];
    wire.extend(relation_id.to_be_bytes());
    if let Some((kind, old)) = old {
        tuple(&mut wire, kind, old);
    }
    tuple(&mut wire, TupleKind::New, new);
    wire
}

/// A `Delete` message.
pub(crate) fn delete(relation_id: u32, kind: TupleKind, old: &[Value<'_>]) -> Vec<u8> {
    let mut wire = vec![b'D'];
    wire.extend(relation_id.to_be_bytes());
    tuple(&mut wire, kind, old);
    wire
}

/// A `Truncate` message.
pub(crate) fn truncate(relation_ids: &[u32], cascade: bool, restart_identity: bool) -> Vec<u8> {
    let mut wire = vec![b'T'];
    wire.extend(length(relation_ids.len()));
    wire.push(u8::from(cascade) | u8::from(restart_identity) << 1);
    for id in relation_ids {
        wire.extend(id.to_be_bytes());
    }
    wire
}

/// A logical message.
pub(crate) fn logical(transactional: bool, lsn: Lsn, prefix: &str, content: &[u8]) -> Vec<u8> {
    let mut wire = vec![b'M', u8::from(transactional)];
    wire.extend(lsn.as_u64().to_be_bytes());
    cstring(&mut wire, prefix);
    wire.extend(length(content.len()));
    wire.extend(content);
    wire
}

/// A row.
fn tuple(wire: &mut Vec<u8>, kind: TupleKind, values: &[Value<'_>]) {
    wire.push(match kind {
        TupleKind::New => b'N',
        TupleKind::Key => b'K',
        TupleKind::Old => b'O',
    });
    wire.extend(u16::try_from(values.len()).expect("values fit in 16 bits").to_be_bytes());
    for value in values {
        let (kind, bytes) = match value {
            Value::Null => (b'n', None),
            Value::Unchanged => (b'u', None),
            Value::Text(bytes) => (b't', Some(bytes)),
            Value::Binary(bytes) => (b'b', Some(bytes)),
        };
        wire.push(kind);
        if let Some(bytes) = bytes {
            wire.extend(length(bytes.len()));
            wire.extend(*bytes);
        }
    }
}

/// A schema, which is left empty for the catalog.
fn namespace(wire: &mut Vec<u8>, name: &str) {
    cstring(wire, if name == "pg_catalog" { "" } else { name });
}

/// Text with a zero byte after it.
fn cstring(wire: &mut Vec<u8>, text: &str) {
    assert!(!text.contains('\0'), "a zero byte ends a string");
    wire.extend(text.as_bytes());
    wire.push(0);
}

/// A length or count.
fn length(length: usize) -> [u8; 4] {
    i32::try_from(length).expect("lengths fit in 31 bits").to_be_bytes()
}
