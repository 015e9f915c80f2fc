//! Tests: what was put into a message comes out of it, whatever it was.

use super::{Begin, Column, Commit, Message, Relation, ReplicaIdentity, Tuple, TupleKind, Value, encoder};
use crate::lsn::Lsn;
use proptest::{collection::vec, prelude::*};

/// A value that owns its bytes, as a strategy must.
#[derive(Clone, Debug)]
enum Owned {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

impl Owned {
    fn borrow(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Unchanged => Value::Unchanged,
            Self::Text(bytes) => Value::Text(bytes),
            Self::Binary(bytes) => Value::Binary(bytes),
        }
    }
}

fn borrow(row: &[Owned]) -> Vec<Value<'_>> {
    row.iter().map(Owned::borrow).collect()
}

fn value() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Null),
        Just(Owned::Unchanged),
        vec(any::<u8>(), 0..40).prop_map(Owned::Text),
        vec(any::<u8>(), 0..40).prop_map(Owned::Binary),
    ]
}

fn row() -> impl Strategy<Value = Vec<Owned>> {
    vec(value(), 0..12)
}

fn name() -> impl Strategy<Value = String> {
    "[^\\x00]{0,20}"
}

/// A schema: never empty, because empty is how the wire spells the catalog.
fn schema() -> impl Strategy<Value = String> {
    prop_oneof!["[^\\x00]{1,20}", Just("pg_catalog".to_owned())]
}

fn lsn() -> impl Strategy<Value = Lsn> {
    any::<u64>().prop_map(Lsn::new)
}

fn old_kind() -> impl Strategy<Value = TupleKind> {
    prop_oneof![Just(TupleKind::Key), Just(TupleKind::Old)]
}

fn column() -> impl Strategy<Value = Column> {
    (name(), any::<u32>(), any::<i32>(), any::<bool>()).prop_map(|(name, type_oid, type_modifier, is_key)| Column {
        name,
        type_oid,
        type_modifier,
        is_key,
    })
}

fn relation() -> impl Strategy<Value = Relation> {
    let identity = prop_oneof![
        Just(ReplicaIdentity::Default),
        Just(ReplicaIdentity::Nothing),
        Just(ReplicaIdentity::Full),
        Just(ReplicaIdentity::Index),
    ];
    (any::<u32>(), schema(), name(), identity, vec(column(), 0..10)).prop_map(
        |(id, namespace, name, replica_identity, columns)| Relation { id, namespace, name, replica_identity, columns },
    )
}

/// That a tuple is of this kind and has these values, by every way of asking.
fn check(tuple: &Tuple<'_>, kind: TupleKind, values: &[Value<'_>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(tuple.kind(), kind);
    prop_assert_eq!(tuple.len(), values.len());
    prop_assert_eq!(tuple.is_empty(), values.is_empty());
    prop_assert_eq!(tuple.into_iter().collect::<Vec<_>>(), values);
    for (index, value) in values.iter().enumerate() {
        prop_assert_eq!(tuple.get(index), Some(*value));
    }
    prop_assert_eq!(tuple.get(values.len()), None);
    Ok(())
}

fn decode(wire: &[u8]) -> Message<'_> {
    Message::decode(wire).expect("a message that was encoded")
}

proptest! {
    #[test]
    fn any_bytes_give_a_message_or_an_error(wire: Vec<u8>, tag in proptest::sample::select(b"BCORYIUDTM".as_slice())) {
        let _plain = Message::decode(&wire);
        let _tagged = Message::decode(&[&[tag], wire.as_slice()].concat());
    }

    #[test]
    fn a_message_with_bytes_changed_gives_a_message_or_an_error(
        row in row(),
        relation in relation(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let row = borrow(&row);
        for mut wire in [encoder::insert(1, &row), encoder::update(1, Some((TupleKind::Key, &row)), &row), encoder::relation(&relation)] {
            for (index, byte) in &changes {
                *index.get_mut(&mut wire) = *byte;
            }
            if let Ok(Message::Insert { new, .. }) = Message::decode(&wire) {
                prop_assert_eq!(new.iter().count(), new.len());
            }
        }
    }

    #[test]
    fn begin_round_trips(final_lsn in lsn(), commit_time_us: i64, xid: u32) {
        let begin = Begin { final_lsn, commit_time_us, xid };
        let wire = encoder::begin(begin);
        prop_assert_eq!(decode(&wire), Message::Begin(begin));
    }

    #[test]
    fn commit_round_trips(flags: u8, commit_lsn in lsn(), end_lsn in lsn(), commit_time_us: i64) {
        let commit = Commit { flags, commit_lsn, end_lsn, commit_time_us };
        let wire = encoder::commit(commit);
        prop_assert_eq!(decode(&wire), Message::Commit(commit));
    }

    #[test]
    fn origin_round_trips(commit_lsn in lsn(), name in name()) {
        let wire = encoder::origin(commit_lsn, &name);
        prop_assert_eq!(decode(&wire), Message::Origin { commit_lsn, name: &name });
    }

    #[test]
    fn relation_round_trips(relation in relation()) {
        let wire = encoder::relation(&relation);
        prop_assert_eq!(decode(&wire), Message::Relation(relation));
    }

    #[test]
    fn type_round_trips(oid: u32, namespace in schema(), name in name()) {
        let wire = encoder::type_name(oid, &namespace, &name);
        prop_assert_eq!(decode(&wire), Message::Type { oid, namespace: &namespace, name: &name });
    }

    #[test]
    fn insert_round_trips(id: u32, row in row()) {
        let row = borrow(&row);
        let wire = encoder::insert(id, &row);
        let Message::Insert { relation_id, new } = decode(&wire) else { panic!("not an insert") };
        prop_assert_eq!(relation_id, id);
        check(&new, TupleKind::New, &row)?;
    }

    #[test]
    fn update_round_trips(id: u32, before in proptest::option::of((old_kind(), row())), after in row()) {
        let after = borrow(&after);
        let before = before.as_ref().map(|(kind, row)| (*kind, borrow(row)));
        let wire = encoder::update(id, before.as_ref().map(|(kind, row)| (*kind, row.as_slice())), &after);
        let Message::Update { relation_id, old, new } = decode(&wire) else { panic!("not an update") };
        prop_assert_eq!(relation_id, id);
        prop_assert_eq!(old.is_some(), before.is_some());
        if let (Some(old), Some((kind, row))) = (old, before) {
            check(&old, kind, &row)?;
        }
        check(&new, TupleKind::New, &after)?;
    }

    #[test]
    fn delete_round_trips(id: u32, kind in old_kind(), row in row()) {
        let row = borrow(&row);
        let wire = encoder::delete(id, kind, &row);
        let Message::Delete { relation_id, old } = decode(&wire) else { panic!("not a delete") };
        prop_assert_eq!(relation_id, id);
        check(&old, kind, &row)?;
    }

    #[test]
    fn truncate_round_trips(ids in vec(any::<u32>(), 0..12), cascades: bool, restarts: bool) {
        let wire = encoder::truncate(&ids, cascades, restarts);
        let Message::Truncate { relation_ids, cascade, restart_identity } = decode(&wire) else {
            panic!("not a truncate")
        };
        prop_assert_eq!((cascade, restart_identity), (cascades, restarts));
        prop_assert_eq!(relation_ids.iter().len(), ids.len());
        prop_assert_eq!(relation_ids.iter().collect::<Vec<_>>(), ids);
    }

    #[test]
    fn logical_round_trips(transactional: bool, lsn in lsn(), prefix in name(), content in vec(any::<u8>(), 0..60)) {
        let wire = encoder::logical(transactional, lsn, &prefix, &content);
        let expected = Message::Logical { transactional, lsn, prefix: &prefix, content: &content };
        prop_assert_eq!(decode(&wire), expected);
    }
}
