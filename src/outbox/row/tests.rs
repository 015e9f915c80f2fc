//! Tests with rows as a server sends them, described by relations as it sends them.

use super::*;
use crate::outbox::{
    BaseTypes, ColumnType, Columns, Mapping, OptionalColumn, Preset,
    sample::{relation, tuple, wire},
};
use proptest::prelude::*;
use std::borrow::Cow;

const UUID: u32 = 2950;
const TEXT: u32 = 25;
const JSONB: u32 = 3802;
const TIMESTAMPTZ: u32 = 1184;

const ID: [u8; 16] = [0xA0, 0xEE, 0xBC, 0x99, 0x9C, 0x0B, 0x4E, 0xF8, 0xBB, 0x6D, 0x6B, 0xB9, 0xBD, 0x38, 0x0A, 0x11];
const ID_TEXT: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

/// 2026-01-31 12:34:56.789012 UTC, as `timestamptz_send` writes it.
const CREATED: [u8; 8] = 823_178_096_789_012_i64.to_be_bytes();

/// The columns that `walpost setup` makes.
const TABLE: [(&str, u32); 8] = [
    ("id", UUID),
    ("aggregate_type", TEXT),
    ("aggregate_id", TEXT),
    ("event_type", TEXT),
    ("payload", JSONB),
    ("headers", JSONB),
    ("created_at", TIMESTAMPTZ),
    ("xid", 5069),
];

/// A row of [`TABLE`] as it comes with `binary 'true'`.
fn binary_row() -> [Value<'static>; 8] {
    [
        Value::Binary(&ID),
        Value::Binary(b"order"),
        Value::Binary(b"42"),
        Value::Binary(b"order.placed"),
        Value::Binary(b"\x01{\"total\": 1.10}"),
        Value::Binary(b"\x01{\"traceparent\": \"00-ab-cd-01\"}"),
        Value::Binary(&CREATED),
        Value::Binary(&[0, 0, 0, 0, 0, 0, 3, 7]),
    ]
}

/// The same row as it comes with `binary 'false'`.
fn text_row() -> [Value<'static>; 8] {
    [
        Value::Text(ID_TEXT.as_bytes()),
        Value::Text(b"order"),
        Value::Text(b"42"),
        Value::Text(b"order.placed"),
        Value::Text(b"{\"total\": 1.10}"),
        Value::Text(b"{\"traceparent\": \"00-ab-cd-01\"}"),
        Value::Text(b"2026-01-31 13:34:56.789012+01"),
        Value::Text(b"775"),
    ]
}

fn bind(columns: Columns, table: &[(&str, u32)]) -> Binding {
    let mapping = Mapping { table: "public.outbox".parse().unwrap(), columns };
    Binding::bind(&mapping, &relation(table), &BaseTypes::new()).unwrap()
}

fn walpost() -> Binding {
    bind(Preset::Walpost.columns(), &TABLE)
}

/// What reading a row of [`TABLE`] with one value replaced says.
fn read_with(place: usize, value: Value<'_>) -> Result<(), RowError> {
    let mut values: Vec<Value<'_>> = binary_row().to_vec();
    values[place] = value;
    walpost().read(tuple(&wire(&values))).map(drop)
}

#[test]
fn a_row_is_the_same_event_in_both_forms() {
    let (binary, text) = (wire(&binary_row()), wire(&text_row()));
    let event = walpost().read(tuple(&binary)).unwrap();
    assert_eq!(event.id, ID_TEXT);
    assert_eq!((&*event.aggregate_type, &*event.aggregate_id, &*event.event_type), ("order", "42", "order.placed"));
    assert_eq!(event.payload.as_ref(), b"{\"total\": 1.10}");
    assert_eq!(event.headers, Some(&b"{\"traceparent\": \"00-ab-cd-01\"}"[..]));
    assert_eq!(event.created_at.unwrap().to_string(), "2026-01-31T12:34:56.789012Z");
    assert_eq!(walpost().read(tuple(&text)), Ok(event));
}

#[test]
fn forms_may_be_mixed_within_a_row() {
    for mask in 0_usize..256 {
        let pairs = binary_row().into_iter().zip(text_row()).enumerate();
        let values: Vec<_> = pairs.map(|(bit, (b, t))| if mask >> bit & 1 == 0 { b } else { t }).collect();
        let (mixed, binary) = (wire(&values), wire(&binary_row()));
        assert_eq!(walpost().read(tuple(&mixed)), walpost().read(tuple(&binary)), "{mask:08b}");
    }
}

#[test]
fn null_is_an_empty_body_and_no_header_where_it_may_be() {
    let mut row = binary_row();
    row[4..7].fill(Value::Null);
    let wire = wire(&row);
    let event = walpost().read(tuple(&wire)).unwrap();
    assert!(event.payload.is_empty());
    assert_eq!((event.headers, event.created_at), (None, None));
}

#[test]
fn a_payload_is_borrowed_unless_it_had_to_be_decoded() {
    let table =
        |oid| [("id", UUID), ("aggregate_type", TEXT), ("aggregate_id", TEXT), ("event_type", TEXT), ("payload", oid)];
    for (oid, value, expected, is_borrowed) in [
        (JSONB, Value::Binary(b"\x01{}"), &b"{}"[..], true),
        (JSONB, Value::Text(b"{}"), b"{}", true),
        (114, Value::Binary(b"{ }"), b"{ }", true),
        (TEXT, Value::Text(b"\xFF not utf-8"), b"\xFF not utf-8", true),
        (1043, Value::Binary(b" v "), b" v ", true),
        (17, Value::Binary(b"\x00\xFF"), b"\x00\xFF", true),
        (17, Value::Text(b"\\x00ff"), b"\x00\xFF", false),
        (17, Value::Text(b"\\000\\377"), b"\x00\xFF", false),
        (17, Value::Text(b"plain"), b"plain", true),
    ] {
        let mut row = binary_row();
        row[4] = value;
        let wire = wire(&row[..5]);
        let event = bind(Preset::Walpost.columns(), &table(oid)).read(tuple(&wire)).unwrap();
        assert_eq!((event.payload.as_ref(), matches!(event.payload, Cow::Borrowed(_))), (expected, is_borrowed));
    }
}

#[test]
fn ids_of_each_accepted_type_are_read() {
    for (oid, value, expected) in [
        (UUID, Value::Binary(&ID[..]), ID_TEXT),
        (TEXT, Value::Binary(b"01J"), "01J"),
        (1043, Value::Text(b"v"), "v"),
        (1042, Value::Binary(b"c   "), "c"),
        (19, Value::Text(b"n"), "n"),
        (21, Value::Binary(&[0xFF, 0xFF]), "-1"),
        (23, Value::Binary(&[0, 0, 1, 0]), "256"),
        (20, Value::Binary(&[0, 0, 0, 1, 0, 0, 0, 0]), "4294967296"),
        (20, Value::Text(b"4294967296"), "4294967296"),
    ] {
        let mut table = TABLE;
        table[0].1 = oid;
        let mut row = binary_row();
        row[0] = value;
        let wire = wire(&row);
        let binding = bind(Columns { aggregate_id: "id".into(), ..Preset::Walpost.columns() }, &table);
        let event = binding.read(tuple(&wire)).unwrap();
        assert_eq!((event.id, event.aggregate_id), (expected.into(), expected.into()));
    }
}

#[test]
fn required_values_must_not_be_null() {
    for (place, name) in [(0, "id"), (1, "aggregate_type"), (2, "aggregate_id"), (3, "event_type")] {
        let error = read_with(place, Value::Null).unwrap_err();
        let bad = error.bad_column().unwrap();
        assert_eq!((bad.column.as_str(), bad.fault), (name, RowFault::Null));
    }
    assert_eq!(read_with(0, Value::Null).unwrap_err().to_string(), "column \"id\" is null");
}

#[test]
fn each_fault_of_a_value_is_named() {
    for (place, value, fault) in [
        (1, Value::Text(b"\xFF"), RowFault::NotUtf8),
        (4, Value::Unchanged, RowFault::Unchanged),
        (0, Value::Binary(&[0; 15]), RowFault::Malformed { expected: ColumnType::Uuid }),
        (0, Value::Text(b""), RowFault::Empty),
        (4, Value::Binary(b"{}"), RowFault::Malformed { expected: ColumnType::Jsonb }),
        (5, Value::Binary(b"\x02{}"), RowFault::Malformed { expected: ColumnType::Jsonb }),
        (6, Value::Text(b"yesterday"), RowFault::Malformed { expected: ColumnType::Timestamptz }),
    ] {
        let error = read_with(place, value).unwrap_err();
        assert_eq!(error.bad_column().unwrap().fault, fault, "{error}");
    }
    assert_eq!(read_with(7, Value::Unchanged), Ok(()), "nobody asked for xid");
}

#[test]
fn of_several_faults_the_first_is_told() {
    let table: Vec<_> = TABLE.into_iter().rev().collect();
    let mut row: Vec<_> = binary_row().into_iter().rev().collect();
    row[4] = Value::Null;
    row[3] = Value::Text(b"\xFF");
    let error = bind(Preset::Walpost.columns(), &table).read(tuple(&wire(&row))).unwrap_err();
    let bad = error.bad_column().unwrap();
    assert_eq!((bad.column.as_str(), bad.fault), ("event_type", RowFault::Null));
}

#[test]
fn a_row_of_another_width_is_refused() {
    for row in [&binary_row()[..7], &[], &[binary_row(), binary_row()].concat()] {
        let error = walpost().read(tuple(&wire(row))).unwrap_err();
        assert_eq!(error, RowError::ColumnCount { sent: row.len(), described: 8 });
        assert!(error.bad_column().is_none());
    }
}

#[test]
fn errors_show_values_never() {
    let mut row = binary_row();
    row[2] = Value::Text(b"canary");
    row[3] = Value::Text(b"canary \xFF");
    let error = walpost().read(tuple(&wire(&row))).unwrap_err();
    assert_eq!(error.to_string(), "column \"event_type\" is not valid UTF-8");
    assert!(!format!("{error:?}").contains("canary"));
}

proptest! {
    #[test]
    fn any_column_order_and_extra_columns_give_the_same_event(
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        extras in prop::collection::vec((0_usize..9, prop_oneof![Just(16_u32), Just(TEXT), Just(70_000)]), 0..5),
        is_null: bool,
    ) {
        let (mut table, mut row): (Vec<_>, Vec<_>) =
            order.iter().map(|place| (TABLE[*place], binary_row()[*place])).unzip();
        let names = ["tenant", "Id", "payload2", "x", ""];
        for ((place, oid), name) in extras.into_iter().zip(names) {
            table.insert(place.min(table.len()), (name, oid));
            row.insert(place.min(row.len()), if is_null { Value::Null } else { Value::Unchanged });
        }
        let (shuffled, plain) = (wire(&row), wire(&binary_row()));
        prop_assert_eq!(
            bind(Preset::Walpost.columns(), &table).read(tuple(&shuffled)),
            walpost().read(tuple(&plain))
        );
    }

    #[test]
    fn any_bytes_in_any_column_give_an_event_or_an_error(
        cells in prop::collection::vec((0_u8..4, prop::collection::vec(any::<u8>(), 0..40)), 8),
        oids in prop::collection::vec(prop::sample::select(vec![17_u32, 19, 20, 21, 23, 25, 114, 1042, 1043, 2950, 3802]), 5)
    ) {
        let values: Vec<Value<'_>> = cells.iter().map(|(kind, bytes)| match kind {
            0 => Value::Null,
            1 => Value::Text(bytes),
            2 => Value::Binary(bytes),
            _ => Value::Unchanged,
        }).collect();
        let mut table = TABLE;
        for ((_, oid), other) in table.iter_mut().zip(oids) {
            *oid = other;
        }
        let mapping = Mapping { table: "outbox".parse().unwrap(), columns: Preset::Walpost.columns() };
        if let Ok(binding) = Binding::bind(&mapping, &relation(&table), &BaseTypes::new()) {
            let wire = wire(&values);
            if let Ok(event) = binding.read(tuple(&wire)) {
                prop_assert!(!event.id.is_empty());
            }
        }
    }
}

#[test]
fn a_named_optional_column_is_read_from_where_it_is() {
    let columns = Columns { headers: Some(OptionalColumn::required("payload")), ..Preset::Walpost.columns() };
    let wire = wire(&binary_row());
    let event = bind(columns, &TABLE).read(tuple(&wire)).unwrap();
    assert_eq!(event.headers, Some(event.payload.as_ref()));
}
