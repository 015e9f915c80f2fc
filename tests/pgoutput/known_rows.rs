//! Single rows of the workload, written out by hand: that bytes land in the right field, in both forms.

use crate::fixture::{self, Fixture};
use std::collections::HashMap;
use walpost::pgoutput::{Message, Relation, Value};

/// The values of the first row inserted into `table` whose first column is `id` in either form, by column name.
fn row(fixture: &Fixture, table: &str, ids: [&[u8]; 2]) -> HashMap<String, Option<Vec<u8>>> {
    let mut relation: Option<Relation> = None;
    for wire in fixture.messages() {
        match Message::decode(&wire).unwrap() {
            Message::Relation(found) if found.name == table => relation = Some(found),
            Message::Insert { relation_id, new } => {
                let Some(relation) = relation.as_ref().filter(|relation| relation.id == relation_id) else { continue };
                if !matches!(new.get(0), Some(Value::Text(id) | Value::Binary(id)) if ids.contains(&id)) {
                    continue;
                }
                let values = new.iter().map(|value| match value {
                    Value::Text(bytes) | Value::Binary(bytes) => Some(bytes.to_vec()),
                    Value::Null => None,
                    Value::Unchanged => panic!("an insert sends everything"),
                });
                return relation.columns.iter().map(|column| column.name.clone()).zip(values).collect();
            }
            _ => {}
        }
    }
    panic!("no such row in {}", fixture.name)
}

const EVENT: [&[u8]; 2] =
    [b"01890a5d-ac96-774b-bcce-b302099a8057", b"\x01\x89\x0a\x5d\xac\x96\x77\x4b\xbc\xce\xb3\x02\x09\x9a\x80\x57"];

#[test]
fn an_event_in_binary() {
    for fixture in fixture::BINARY {
        let row = row(&fixture, "outbox", EVENT);
        let value = |name: &str| row[name].as_deref().unwrap();
        assert_eq!(value("aggregate_type"), b"order");
        assert_eq!(value("aggregate_id"), b"42");
        assert_eq!(value("event_type"), b"placed");
        // One byte of version, then the text as the server normalised it: the scale of a number survives.
        assert_eq!(value("payload"), b"\x01{\"lines\": [1, 2], \"total\": 1.10}");
        assert!(value("headers").starts_with(b"\x01{\"traceparent\": \"00-0af7"));
        // Days from 2000-01-01 to 2024-02-29: 24 years with 6 leap days, and 59.
        let days = 24 * 365 + 6 + 59;
        let us: i64 = ((days * 24 + 12) * 60 + 34) * 60_000_000 + 56_789_012;
        assert_eq!(value("created_at"), us.to_be_bytes());
        assert_eq!(value("xid").len(), 8);
    }
}

#[test]
fn an_event_in_text() {
    for fixture in fixture::TEXT {
        let row = row(&fixture, "outbox", EVENT);
        let value = |name: &str| row[name].as_deref().unwrap();
        assert_eq!(value("event_type"), b"placed");
        assert_eq!(value("payload"), b"{\"lines\": [1, 2], \"total\": 1.10}");
        assert_eq!(value("created_at"), b"2024-02-29 12:34:56.789012+00");
    }
}

#[test]
fn every_type_in_binary_except_the_one_that_has_no_binary_form() {
    for fixture in fixture::BINARY {
        let row = row(&fixture, "kinds", [b"1", &[0, 0, 0, 1]]);
        let value = |name: &str| row[name].as_deref().unwrap();
        assert_eq!(value("a_bool"), [1]);
        assert_eq!(value("a_smallint"), (-2_i16).to_be_bytes());
        assert_eq!(value("a_bigint"), 9_007_199_254_740_993_i64.to_be_bytes());
        assert_eq!(value("a_float"), 1.5_f64.to_be_bytes());
        // Four digits to the base 10000, weight 1, positive, five decimal places: 1, 2345, .6780, 0000.
        assert_eq!(value("a_numeric"), b"\0\x03\0\x01\0\0\0\x05\0\x01\x09\x29\x1a\x7c");
        assert_eq!(value("a_text"), "naïve ☃".as_bytes());
        assert_eq!(value("a_char"), b"char ");
        assert_eq!(value("a_bytea"), [0x00, 0xFF, 0x10]);
        assert_eq!(value("a_json"), br#"{"b": 1,  "a": 2}"#);
        assert_eq!(value("a_jsonb"), b"\x01{\"a\": 2, \"b\": 1}");
        assert_eq!(value("a_timestamptz"), 1_000_000_i64.to_be_bytes());
        assert_eq!(value("a_date"), 10_i32.to_be_bytes());
        assert_eq!(value("an_enum"), b"glad");
        assert_eq!(value("a_domain"), 7_i32.to_be_bytes());
        assert_eq!(value("an_aclitem"), b"postgres=r/postgres");
        assert!(!row.contains_key("gone") && !row.contains_key("a_generated"));
    }
}

#[test]
fn a_row_of_nulls_is_null_everywhere_but_in_its_key() {
    for fixture in fixture::all() {
        let row = row(&fixture, "kinds", [b"2", &[0, 0, 0, 2]]);
        assert!(row.iter().all(|(name, value)| value.is_some() == (name == "id")), "{}", fixture.name);
    }
}
