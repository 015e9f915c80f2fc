//! Messages that a server sent, read from the bytes to the event.
//!
//! PostgreSQL 15.18, `pg_logical_slot_peek_binary_changes` with and without `binary`, of inserts into
//!
//! ```sql
//! create type kind as enum ('order.placed', 'order.paid');
//! create domain label as text check (value <> '');
//! create domain sub_label as label;
//! create domain key as uuid;
//! create table outbox (seq bigint, id key primary key, aggregate_type kind, aggregate_id char(8), event_type citext,
//!     extra point, payload jsonb, headers json, created_at timestamptz, note sub_label);
//! create table raw (id int primary key, aggregate_type name, aggregate_id sub_label, event_type varchar(20),
//!     payload bytea, created_at timestamp);
//! ```

use super::*;
use crate::{
    outbox::{BaseTypes, Mapping, Preset, bytea::hex_digit, sample::tuple},
    pgoutput::{Message, Relation},
};

/// The types above by the ids they got: `citext`, `kind`, `sub_label` and `key`.
const BASE_TYPES: [(u32, u32); 4] = [(16_385, 25), (16_490, 25), (16_499, 25), (16_501, 2950)];

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| hex_digit(pair[0]).unwrap() << 4 | hex_digit(pair[1]).unwrap()).collect()
}

fn relation(hex: &str) -> Relation {
    match Message::decode(&bytes(hex)) {
        Ok(Message::Relation(relation)) => relation,
        other => panic!("expected a relation, got {other:?}"),
    }
}

fn bind(hex: &str) -> Binding {
    let relation = relation(hex);
    let table = crate::outbox::TableName::new(relation.namespace.clone(), relation.name.clone()).unwrap();
    assert!(table.is_for(&relation));
    let mapping = Mapping { table, columns: Preset::Walpost.columns() };
    Binding::bind(&mapping, &relation, &BASE_TYPES.into_iter().collect()).unwrap()
}

#[test]
fn a_table_of_user_made_types_is_read_from_both_forms() {
    for row in [OUTBOX_BINARY, OUTBOX_TEXT] {
        let row = bytes(row);
        let event = bind(OUTBOX).read(tuple(&row)).unwrap();
        assert_eq!(event.id, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert_eq!(
            (&*event.aggregate_type, &*event.aggregate_id, &*event.event_type),
            ("order.placed", "42", "Placed")
        );
        assert_eq!(event.payload.as_ref(), br#"{"a": [1, 2], "total": 1.10}"#);
        assert_eq!(event.headers, Some(&br#"{ "traceparent" : "00-ab-cd-01", "n":{"x": 1} }"#[..]));
        assert_eq!(event.created_at.unwrap().to_string(), "2026-01-31T12:34:56.789012Z");
    }
}

#[test]
fn a_table_of_bytes_and_numbers_is_read_from_both_forms() {
    for row in [RAW_BINARY, RAW_TEXT] {
        let row = bytes(row);
        let event = bind(RAW).read(tuple(&row)).unwrap();
        assert_eq!((&*event.id, &*event.aggregate_type), ("-5", "nm"));
        assert_eq!((&*event.aggregate_id, &*event.event_type), ("lbl", "vc"));
        assert_eq!(event.payload.as_ref(), b"\x00\xff\\x");
        assert_eq!(event.created_at.unwrap().to_string(), "1883-11-18T12:00:00.000000Z");
        assert_eq!(event.headers, None);
    }
}

#[test]
fn without_the_catalog_the_types_are_told_by_their_ids() {
    let mapping = Mapping { table: "outbox".parse().unwrap(), columns: Preset::Walpost.columns() };
    let error = Binding::bind(&mapping, &relation(OUTBOX), &BaseTypes::new()).unwrap_err();
    assert_eq!(error.unknown_types().collect::<Vec<_>>(), [16_501, 16_490, 16_385]);
}

/// The description of `outbox`.
const OUTBOX: &str = "\
    52000040767075626c6963006f7574626f780064000a007365710000000014ffffffff0169640000004075ffffffff006167677265676174\
    655f74797065000000406affffffff006167677265676174655f696400000004120000000c006576656e745f747970650000004001ffffff\
    ff0065787472610000000258ffffffff007061796c6f61640000000edaffffffff00686561646572730000000072ffffffff006372656174\
    65645f617400000004a0ffffffff006e6f74650000004073ffffffff";

/// Its row, with `binary 'true'`.
const OUTBOX_BINARY: &str = "\
    49000040764e000a620000000800000000000000076200000010a0eebc999c0b4ef8bb6d6bb9bd380a11620000000c6f726465722e706c61\
    636564620000000834322020202020206200000006506c6163656462000000103ff00000000000004000000000000000620000001d017b22\
    61223a205b312c20325d2c2022746f74616c223a20312e31307d620000002f7b20227472616365706172656e7422203a202230302d61622d\
    63642d3031222c20226e223a7b2278223a20317d207d62000000080002ecad160bc61462000000016e";

/// Its row, without, in a session whose time zone is Europe/Warsaw.
const OUTBOX_TEXT: &str = "\
    49000040764e000a740000000137740000002461306565626339392d396330622d346566382d626236642d36626239626433383061313174\
    0000000c6f726465722e706c61636564740000000834322020202020207400000006506c61636564740000000528312c3229740000001c7b\
    2261223a205b312c20325d2c2022746f74616c223a20312e31307d740000002f7b20227472616365706172656e7422203a202230302d6162\
    2d63642d3031222c20226e223a7b2278223a20317d207d740000001d323032362d30312d33312031333a33343a35362e3738393031322b30\
    3174000000016e";

/// The description of `raw`.
const RAW: &str = "\
    520000407d7075626c696300726177006400060169640000000017ffffffff006167677265676174655f747970650000000013ffffffff00\
    6167677265676174655f69640000004073ffffffff006576656e745f74797065000000041300000018007061796c6f61640000000011ffff\
    ffff00637265617465645f6174000000045affffffff";

/// Its row, with `binary 'true'`.
const RAW_BINARY: &str = "\
    490000407d4e00066200000004fffffffb62000000026e6d62000000036c626c62000000027663620000000400ff5c786200000008fff2fb\
    4a31573000";

/// Its row, without.
const RAW_TEXT: &str = "\
    490000407d4e000674000000022d3574000000026e6d74000000036c626c74000000027663740000000a5c78303066663563373874000000\
    13313838332d31312d31382031323a30303a3030";
