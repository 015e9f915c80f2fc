//! Two decoders, one meaning: ours against the parser of `pg_walstream`.
//!
//! Both results are brought to one neutral form and compared: for every captured message, for messages that the other
//! library made and encoded itself, and for captured messages with bytes changed or cut off.
//!
//! Where they differ, knowingly:
//! - The other accepts any byte as replica identity and as the kind of a deleted row. We accept those that exist.
//! - The other ignores bytes after the end of a message. To us they are an error.
//! - The other knows messages of later protocol versions whatever version it was told. To us they are unknown.
//! - The other hands out flags as they are and the catalog's schema as an empty name. We keep the flag bits that have a
//!   meaning, and call the schema `pg_catalog`; the neutral form does as well.

use crate::fixture;
use pg_walstream::{
    ColumnData, ColumnInfo, LogicalReplicationMessage as Theirs, LogicalReplicationParser, TupleData,
    encode_message_to_bytes,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use walpost::pgoutput::{DecodeError, Message, ReplicaIdentity, Tuple, TupleKind, Value};

#[test]
fn captured_messages_mean_the_same_to_both() {
    for fixture in fixture::all() {
        for (number, wire) in fixture.messages().iter().enumerate() {
            assert_eq!(Ok(ours(wire).unwrap()), theirs(wire), "{} message {number}", fixture.name);
        }
    }
}

proptest! {
    #[test]
    fn generated_messages_mean_the_same_to_both(message in message()) {
        let wire = encode_message_to_bytes(&message, 1);
        prop_assert_eq!(ours(&wire).expect("a message"), neutral_theirs(message));
    }

    #[test]
    fn damaged_messages_mean_the_same_to_both_or_nothing_to_us(
        fixture in any::<Index>(),
        message in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<Index>()),
        tail in vec(any::<u8>(), 0..3),
    ) {
        let fixtures: Vec<_> = fixture::all().collect();
        let messages = fixture.get(&fixtures).messages();
        let mut wire = message.get(&messages).clone();
        for (index, byte) in changes {
            *index.get_mut(&mut wire) = byte;
        }
        if let Some(cut) = cut {
            wire.truncate(cut.index(wire.len()));
        }
        wire.extend(tail);
        match (ours(&wire), theirs(&wire)) {
            (Ok(ours), theirs) => prop_assert_eq!(Ok(ours), theirs),
            (Err(error), Ok(_)) => prop_assert!(is_known_to_be_stricter(&error), "{}", error),
            (Err(_), Err(_)) => {}
        }
    }
}

/// Whether we refuse what the other lets pass, for one of the reasons at the top.
fn is_known_to_be_stricter(error: &DecodeError) -> bool {
    match error {
        DecodeError::TooLong { .. } => true,
        DecodeError::Unknown { reading: "replica identity" | "tuple kind", .. } => true,
        DecodeError::Unknown { reading: "message tag", byte, .. } => b"SEcAbPKrp".contains(byte),
        _ => false,
    }
}

/// What a message says, whoever decoded it.
#[derive(Debug, PartialEq)]
enum Neutral {
    Begin { final_lsn: u64, time: i64, xid: u32 },
    Commit { flags: u8, commit_lsn: u64, end_lsn: u64, time: i64 },
    Origin { lsn: u64, name: String },
    Relation { id: u32, namespace: String, name: String, identity: u8, columns: Vec<(bool, String, u32, i32)> },
    Type { oid: u32, namespace: String, name: String },
    Insert { relation: u32, new: Row },
    Update { relation: u32, old: Option<(u8, Row)>, new: Row },
    Delete { relation: u32, kind: u8, old: Row },
    Truncate { relations: Vec<u32>, cascade: bool, restart_identity: bool },
    Logical { transactional: bool, lsn: u64, prefix: String, content: Vec<u8> },
    Other,
}

/// The values of a row: the letter of the kind, and the bytes.
type Row = Vec<(u8, Vec<u8>)>;

fn ours(wire: &[u8]) -> Result<Neutral, DecodeError> {
    Message::decode(wire).map(neutral_ours)
}

fn theirs(wire: &[u8]) -> Result<Neutral, String> {
    let parsed = LogicalReplicationParser::with_protocol_version(1).parse_wal_message(wire);
    parsed.map(|parsed| neutral_theirs(parsed.message)).map_err(|error| error.to_string())
}

fn neutral_ours(message: Message<'_>) -> Neutral {
    match message {
        Message::Begin(begin) => {
            Neutral::Begin { final_lsn: begin.final_lsn.as_u64(), time: begin.commit_time_us, xid: begin.xid }
        }
        Message::Commit(commit) => Neutral::Commit {
            flags: commit.flags,
            commit_lsn: commit.commit_lsn.as_u64(),
            end_lsn: commit.end_lsn.as_u64(),
            time: commit.commit_time_us,
        },
        Message::Origin { commit_lsn, name } => Neutral::Origin { lsn: commit_lsn.as_u64(), name: name.to_owned() },
        Message::Relation(relation) => Neutral::Relation {
            id: relation.id,
            namespace: relation.namespace,
            name: relation.name,
            identity: match relation.replica_identity {
                ReplicaIdentity::Default => b'd',
                ReplicaIdentity::Nothing => b'n',
                ReplicaIdentity::Full => b'f',
                ReplicaIdentity::Index => b'i',
            },
            columns: relation.columns.into_iter().map(|c| (c.is_key, c.name, c.type_oid, c.type_modifier)).collect(),
        },
        Message::Type { oid, namespace, name } => {
            Neutral::Type { oid, namespace: namespace.to_owned(), name: name.to_owned() }
        }
        Message::Insert { relation_id, new } => Neutral::Insert { relation: relation_id, new: row_ours(&new) },
        Message::Update { relation_id, old, new } => Neutral::Update {
            relation: relation_id,
            old: old.map(|old| (kind(&old), row_ours(&old))),
            new: row_ours(&new),
        },
        Message::Delete { relation_id, old } => {
            Neutral::Delete { relation: relation_id, kind: kind(&old), old: row_ours(&old) }
        }
        Message::Truncate { relation_ids, cascade, restart_identity } => {
            Neutral::Truncate { relations: relation_ids.iter().collect(), cascade, restart_identity }
        }
        Message::Logical { transactional, lsn, prefix, content } => Neutral::Logical {
            transactional,
            lsn: lsn.as_u64(),
            prefix: prefix.to_owned(),
            content: content.to_owned(),
        },
    }
}

fn kind(tuple: &Tuple<'_>) -> u8 {
    match tuple.kind() {
        TupleKind::New => b'N',
        TupleKind::Key => b'K',
        TupleKind::Old => b'O',
    }
}

fn row_ours(tuple: &Tuple<'_>) -> Row {
    let values = tuple.iter().map(|value| match value {
        Value::Null => (b'n', vec![]),
        Value::Unchanged => (b'u', vec![]),
        Value::Text(bytes) => (b't', bytes.to_vec()),
        Value::Binary(bytes) => (b'b', bytes.to_vec()),
    });
    values.collect()
}

fn neutral_theirs(message: Theirs) -> Neutral {
    match message {
        Theirs::Begin { final_lsn, timestamp, xid } => Neutral::Begin { final_lsn, time: timestamp, xid },
        Theirs::Commit { flags, commit_lsn, end_lsn, timestamp } => {
            Neutral::Commit { flags, commit_lsn, end_lsn, time: timestamp }
        }
        Theirs::Origin { origin_lsn, origin_name } => Neutral::Origin { lsn: origin_lsn, name: origin_name },
        Theirs::Relation { relation_id, namespace, relation_name, replica_identity, columns } => Neutral::Relation {
            id: relation_id,
            namespace: schema(&namespace),
            name: relation_name.to_string(),
            identity: replica_identity,
            columns: columns.iter().map(|c| (c.is_key(), c.name.to_string(), c.type_id, c.type_modifier)).collect(),
        },
        Theirs::Type { type_id, namespace, type_name } => {
            Neutral::Type { oid: type_id, namespace: schema(&namespace), name: type_name }
        }
        Theirs::Insert { relation_id, tuple } => Neutral::Insert { relation: relation_id, new: row_theirs(&tuple) },
        Theirs::Update { relation_id, old_tuple, new_tuple, key_type } => Neutral::Update {
            relation: relation_id,
            old: old_tuple.map(|old| (letter(key_type.expect("an old row has a kind")), row_theirs(&old))),
            new: row_theirs(&new_tuple),
        },
        Theirs::Delete { relation_id, old_tuple, key_type } => {
            Neutral::Delete { relation: relation_id, kind: letter(key_type), old: row_theirs(&old_tuple) }
        }
        Theirs::Truncate { relation_ids, flags } => {
            Neutral::Truncate { relations: relation_ids, cascade: flags & 1 != 0, restart_identity: flags & 2 != 0 }
        }
        Theirs::Message { flags, lsn, prefix, content } => {
            Neutral::Logical { transactional: flags & 1 != 0, lsn, prefix, content: content.to_vec() }
        }
        _ => Neutral::Other,
    }
}

fn schema(name: &str) -> String {
    if name.is_empty() { "pg_catalog".to_owned() } else { name.to_owned() }
}

fn letter(kind: char) -> u8 {
    u8::try_from(kind).expect("one byte")
}

fn row_theirs(tuple: &TupleData) -> Row {
    tuple.columns.iter().map(|column| (column.data_type, column.as_bytes().to_vec())).collect()
}

/// A message of protocol version 1, made of the other library's own parts.
fn message() -> impl Strategy<Value = Theirs> {
    let name = || "[^\\x00]{0,12}";
    let kind = || prop_oneof![Just('K'), Just('O')];
    let identity = proptest::sample::select(b"dnfi".as_slice());
    prop_oneof![
        any::<(u64, i64, u32)>().prop_map(|(final_lsn, timestamp, xid)| Theirs::Begin { final_lsn, timestamp, xid }),
        any::<(u8, u64, u64, i64)>().prop_map(|(flags, commit_lsn, end_lsn, timestamp)| Theirs::Commit {
            flags,
            commit_lsn,
            end_lsn,
            timestamp
        }),
        (any::<u64>(), name()).prop_map(|(origin_lsn, origin_name)| Theirs::Origin { origin_lsn, origin_name }),
        (any::<u32>(), name(), name(), identity, vec(column(), 0..8)).prop_map(
            |(relation_id, namespace, relation_name, replica_identity, columns)| Theirs::Relation {
                relation_id,
                namespace: namespace.into(),
                relation_name: relation_name.into(),
                replica_identity,
                columns
            }
        ),
        (any::<u32>(), name(), name()).prop_map(|(type_id, namespace, type_name)| Theirs::Type {
            type_id,
            namespace,
            type_name
        }),
        (any::<u32>(), row()).prop_map(|(relation_id, tuple)| Theirs::Insert { relation_id, tuple }),
        (any::<u32>(), proptest::option::of((kind(), row())), row()).prop_map(|(relation_id, old, new_tuple)| {
            let (key_type, old_tuple) = old.unzip();
            Theirs::Update { relation_id, old_tuple, new_tuple, key_type }
        }),
        (any::<u32>(), kind(), row()).prop_map(|(relation_id, key_type, old_tuple)| Theirs::Delete {
            relation_id,
            old_tuple,
            key_type
        }),
        (vec(any::<u32>(), 0..6), any::<u8>())
            .prop_map(|(relation_ids, flags)| Theirs::Truncate { relation_ids, flags }),
        (any::<u8>(), any::<u64>(), name(), vec(any::<u8>(), 0..30)).prop_map(|(flags, lsn, prefix, content)| {
            Theirs::Message { flags, lsn, prefix, content: content.into() }
        }),
    ]
}

fn column() -> impl Strategy<Value = ColumnInfo> {
    (any::<u8>(), "[^\\x00]{0,12}", any::<u32>(), any::<i32>())
        .prop_map(|(flags, name, type_id, type_modifier)| ColumnInfo::new(flags, name, type_id, type_modifier))
}

fn row() -> impl Strategy<Value = TupleData> {
    let value = prop_oneof![
        Just(ColumnData::null()),
        Just(ColumnData::unchanged()),
        vec(any::<u8>(), 0..30).prop_map(ColumnData::text),
        vec(any::<u8>(), 0..30).prop_map(ColumnData::binary),
    ];
    vec(value, 0..10).prop_map(TupleData::new)
}
