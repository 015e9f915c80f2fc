//! Tables and rows for tests, as a server would send them.

use crate::pgoutput::{Column, Message, Relation, ReplicaIdentity, Value, encoder};

/// The description of `public.outbox` with these columns: names and object ids of types.
pub(crate) fn relation(columns: &[(&str, u32)]) -> Relation {
    let column = |(name, type_oid): &(&str, u32)| Column {
        name: (*name).to_owned(),
        type_oid: *type_oid,
        type_modifier: -1,
        is_key: *name == "id",
    };
    Relation {
        id: 16_385,
        namespace: "public".to_owned(),
        name: "outbox".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns.iter().map(column).collect(),
    }
}

/// The bytes of an insert with these values; [`tuple`] reads them.
pub(crate) fn wire(values: &[Value<'_>]) -> Vec<u8> {
    encoder::insert(16_385, values)
}

/// The row in the bytes of an insert.
pub(crate) fn tuple(wire: &[u8]) -> crate::pgoutput::Tuple<'_> {
    match Message::decode(wire) {
        Ok(Message::Insert { new, .. }) => new,
        other => panic!("expected an insert, got {other:?}"),
    }
}
