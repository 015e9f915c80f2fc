//! What can be known of a row that is no event: enough to tell people which one it is.
//!
//! Input: a tuple and a [`Binding`]. Output: every column that names or measures the event, each by itself, `None` where
//! it cannot be read. Nothing fails here.

use super::{
    Binding, Role, Text, Timestamp,
    decode::{RowFault, Wire, present},
};
use crate::pgoutput::Tuple;
use std::fmt;

/// What a row says about itself, as far as it can be read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The event's id; never empty.
    pub id: Option<Text<'a>>,
    /// The kind of thing it is about.
    pub aggregate_type: Option<Text<'a>>,
    /// Which thing it is about.
    pub aggregate_id: Option<Text<'a>>,
    /// What happened.
    pub event_type: Option<Text<'a>>,
    /// When it was recorded.
    pub created_at: Option<Timestamp>,
    /// The size of the payload, in bytes; 0 for null.
    pub payload_bytes: Option<usize>,
}

impl Binding {
    /// Reads what can be read of a row.
    pub fn identify<'a>(&self, row: Tuple<'a>) -> Identity<'a> {
        let mut identity = Identity::default();
        for slot in &self.slots {
            let (Some(value), column_type) = (row.get(slot.place).map(present), slot.column_type) else { continue };
            let text = |value: Result<Wire<'a>, RowFault>| value.and_then(|wire| wire.text(column_type)).ok();
            match slot.role {
                Role::Id => identity.id = text(value).filter(|id| !id.is_empty()),
                Role::AggregateType => identity.aggregate_type = text(value),
                Role::AggregateId => identity.aggregate_id = text(value),
                Role::EventType => identity.event_type = text(value),
                Role::Payload => {
                    let payload = value.and_then(|wire| wire.document(column_type));
                    identity.payload_bytes = payload_bytes(payload.as_deref());
                }
                Role::CreatedAt => {
                    identity.created_at = value.and_then(|wire| wire.moment(column_type)).ok().flatten();
                }
                Role::Headers => {}
            }
        }
        identity
    }
}

/// The size of a payload, if it could be read.
fn payload_bytes(payload: Result<&[u8], &RowFault>) -> Option<usize> {
    match payload {
        Ok(bytes) => Some(bytes.len()),
        Err(RowFault::Null) => Some(0),
        Err(_) => None,
    }
}

impl fmt::Debug for Identity<'_> {
    /// Ids as they may be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.id)
            .field("aggregate_type", &self.aggregate_type)
            .field("aggregate_id", &self.aggregate_id)
            .field("event_type", &self.event_type)
            .field("created_at", &self.created_at)
            .field("payload_bytes", &self.payload_bytes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        outbox::{
            BaseTypes, Mapping, Preset,
            sample::{relation, tuple, wire},
        },
        pgoutput::Value,
    };

    const TABLE: [(&str, u32); 6] = [
        ("payload", 17),
        ("id", 25),
        ("aggregate_type", 25),
        ("aggregate_id", 23),
        ("event_type", 25),
        ("created_at", 1184),
    ];

    fn binding() -> Binding {
        let mapping = Mapping { table: "public.outbox".parse().unwrap(), columns: Preset::Walpost.columns() };
        Binding::bind(&mapping, &relation(&TABLE), &BaseTypes::new()).unwrap()
    }

    #[test]
    fn a_good_row_says_all_of_it() {
        let row = wire(&[
            Value::Text(b"\\x00ff"),
            Value::Text(b"id"),
            Value::Text(b""),
            Value::Binary(&[0, 0, 0, 7]),
            Value::Text(b"placed"),
            Value::Binary(&[0; 8]),
        ]);
        let identity = binding().identify(tuple(&row));
        assert_eq!(identity.id, Some("id".into()));
        assert_eq!(identity.aggregate_type, Some("".into()), "empty is known, and not unknown");
        assert_eq!((identity.aggregate_id, identity.event_type), (Some("7".into()), Some("placed".into())));
        assert_eq!(identity.payload_bytes, Some(2), "of the payload, not of its form on the wire");
        assert_eq!(identity.created_at.unwrap().to_string(), "2000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn each_value_that_cannot_be_read_is_unknown_and_the_others_are_known() {
        let row = wire(&[
            Value::Null,
            Value::Text(b""),
            Value::Text(b"\xFF"),
            Value::Binary(&[7]),
            Value::Text(b"placed\n"),
            Value::Text(b"yesterday"),
        ]);
        let known = Identity { event_type: Some("placed\n".into()), payload_bytes: Some(0), ..Identity::default() };
        assert_eq!(binding().identify(tuple(&row)), known);
        let row = wire(&[Value::Unchanged; 6]);
        assert_eq!(binding().identify(tuple(&row)), Identity::default());
    }

    #[test]
    fn a_row_of_another_width_says_what_it_can() {
        let row = wire(&[Value::Binary(b"xyz"), Value::Text(b"id")]);
        let known = Identity { id: Some("id".into()), payload_bytes: Some(3), ..Identity::default() };
        assert_eq!(binding().identify(tuple(&row)), known);
    }
}
