//! Tests with rows of every kind: each becomes a message or a dead letter, and what a dead letter may hold.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::{
    lsn::Lsn,
    outbox::{
        BaseTypes, Mapping, Preset, Template, check_value,
        sample::{relation, tuple, wire},
    },
    pgoutput::Value,
    position::Source,
    publish::PoisonReason,
};

const TEXT: u32 = 25;
const POSITION: &str = "1:7345678901234567890:3:walpost:1/2B:4";
const PLACE: Place = Place { commit_lsn: Lsn::new(0x1_0000_002B), index: 4 };
const CHAIN: Chain = Chain { expected_last_sequence: Some(41), place: PLACE, checkpoint: PLACE };
const ROOMY: SizeLimits = SizeLimits { max_payload_bytes: 1 << 20, max_message_bytes: None };

/// A row's values: id, aggregate type, aggregate id, event type, payload.
type Row<'a> = [Value<'a>; 5];

const GOOD: Row<'static> = [
    Value::Text(b"id-1"),
    Value::Text(b"order"),
    Value::Text(b"7"),
    Value::Text(b"placed"),
    Value::Text(b"{\"canary\": 1}"),
];

fn binding(oids: [u32; 5]) -> Binding {
    let names = ["id", "aggregate_type", "aggregate_id", "event_type", "payload"];
    let table: Vec<_> = names.into_iter().zip(oids).collect();
    let mapping = Mapping { table: "public.outbox".parse().unwrap(), columns: Preset::Walpost.columns() };
    Binding::bind(&mapping, &relation(&table), &BaseTypes::new()).unwrap()
}

fn composer(limits: SizeLimits, on_poison: OnPoison) -> Composer {
    let template = Template::parse("outbox.{aggregate_type}.{event_type}").unwrap();
    let source = Source { system_id: 7_345_678_901_234_567_890, timeline: 3, slot: "walpost".to_owned() };
    Composer::new(MessageBuilder::new(Arc::new(template), &source, "OUTBOX", limits).unwrap(), on_poison)
}

/// A message taken apart.
#[derive(Debug)]
struct Read {
    subject: String,
    headers: BTreeMap<String, String>,
    body: Bytes,
    bytes: usize,
}

impl Read {
    fn new(message: &Message) -> Self {
        let headers: BTreeMap<String, String> =
            message.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let bytes = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 12;
        let bytes = bytes + message.payload.len();
        Self { subject: message.subject.to_string(), headers, body: message.payload.clone(), bytes }
    }

    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a row of text columns came to.
fn compose(row: &Row<'_>, limits: SizeLimits) -> Result<(Read, Option<Poison>), Box<Halt>> {
    compose_as(&binding([TEXT; 5]), row, composer(limits, OnPoison::DeadLetter))
}

fn compose_as(
    binding: &Binding,
    row: &[Value<'_>],
    mut composer: Composer,
) -> Result<(Read, Option<Poison>), Box<Halt>> {
    let data = Bytes::from(wire(row));
    let composed = composer.compose(binding, tuple(&data), &data, CHAIN)?;
    let poison = match composed.came_to {
        CameTo::Event(_) => None,
        CameTo::DeadLetter(poison) => Some(poison),
    };
    Ok((Read::new(&composed.message), poison))
}

fn dead(row: &Row<'_>, limits: SizeLimits) -> (Read, Poison) {
    let (read, poison) = compose(row, limits).unwrap();
    (read, poison.expect("a dead letter"))
}

fn with(place: usize, value: Value<'_>) -> Row<'_> {
    let mut row: Row<'_> = GOOD;
    row[place] = value;
    row
}

#[test]
fn a_good_row_is_its_own_message() {
    let (read, poison) = compose(&GOOD, ROOMY).unwrap();
    assert_eq!((read.subject.as_str(), poison), ("outbox.order.placed", None));
    assert!(!read.headers.contains_key("Walpost-Dead-Letter"));
    assert_eq!(read.body.as_ref(), b"{\"canary\": 1}");
}

#[test]
fn a_dead_letter_stands_where_the_event_would_stand_and_says_which_and_why() {
    let (read, poison) = dead(&with(2, Value::Text(b"7\r\nNats-Rollup: all")), ROOMY);
    assert_eq!(poison.reason, PoisonReason::UnsendableValue);
    assert_eq!(read.subject, "outbox_dlq.order");
    let expected = [
        ("Nats-Msg-Id", "dead-letter:id-1:1/2B:4"),
        ("Nats-Expected-Stream", "OUTBOX"),
        ("Nats-Expected-Last-Sequence", "41"),
        ("Walpost-Position", POSITION),
        ("Walpost-Dead-Letter", "unsendable-value"),
        ("Walpost-Aggregate-Type", "order"),
        ("Walpost-Event-Type", "placed"),
    ];
    assert_eq!(read.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let row = wire(&with(2, Value::Text(b"7\r\nNats-Rollup: all"))).len();
    let expected = serde_json::json!({
        "event_id": "id-1",
        "aggregate_type": "order",
        "aggregate_id": "7\r\nNats-Rollup: all",
        "event_type": "placed",
        "position": POSITION,
        "reason": "unsendable-value",
        "detail": "its value for the header Walpost-Aggregate-Id cannot be sent: a control character in the value",
        "sizes": { "row": row, "payload": 13, "found": null, "limit": null },
        "truncated": false,
    });
    assert_eq!(read.json(), expected);
}

#[test]
fn in_a_stream_that_is_shared_a_dead_letter_expects_no_sequence() {
    let data = Bytes::from(wire(&with(2, Value::Text(b"\n"))));
    let chain = Chain { expected_last_sequence: None, ..CHAIN };
    let mut composer = composer(ROOMY, OnPoison::DeadLetter);
    let composed = composer.compose(&binding([TEXT; 5]), tuple(&data), &data, chain).unwrap();
    let headers = Read::new(&composed.message).headers;
    assert!(headers.contains_key("Walpost-Dead-Letter") && !headers.contains_key("Nats-Expected-Last-Sequence"));
}

#[test]
fn a_row_without_a_usable_id_is_known_by_its_position() {
    let own = format!("dead-letter:{POSITION}");
    let long = "x".repeat(20_000);
    for (id, in_body, reason) in [
        (Value::Null, None, "null-value"),
        (Value::Text(b""), None, "empty-id"),
        (Value::Text(b"\xFF"), None, "invalid-utf8"),
        (Value::Unchanged, None, "unreadable-value"),
        (Value::Text(b"a\nb"), Some("a\nb"), "unsendable-value"),
        (Value::Text(b" a"), Some(" a"), "unsendable-value"),
        (Value::Text(b"Nats-Msg-Id"), Some("Nats-Msg-Id"), "unsendable-value"),
        (Value::Text(long.as_bytes()), Some(&long[..1024]), "unsendable-value"),
    ] {
        let (read, poison) = dead(&with(0, id), ROOMY);
        assert_eq!((poison.reason.code(), read.headers["Nats-Msg-Id"].as_str()), (reason, own.as_str()));
        assert_eq!(read.json()["event_id"].as_str(), in_body);
        assert_eq!(read.json()["truncated"], in_body.is_some_and(|id| id.len() == 1024));
    }
}

#[test]
fn an_unknown_aggregate_type_has_a_subject_that_no_known_one_has() {
    let (unknown, _) = dead(&with(1, Value::Text(b"\xFF")), ROOMY);
    assert_eq!(unknown.subject, "outbox_dlq.%unknown");
    let (null, _) = dead(&with(1, Value::Null), ROOMY);
    assert_eq!(null.subject, unknown.subject);
    let mut row = with(0, Value::Null);
    for (aggregate_type, subject) in
        [("unknown", "outbox_dlq.unknown"), ("%unknown", "outbox_dlq.%25unknown"), ("", "outbox_dlq.%00")]
    {
        row[1] = Value::Text(aggregate_type.as_bytes());
        assert_eq!(dead(&row, ROOMY).0.subject, subject);
    }
}

#[test]
fn one_byte_more_than_the_server_or_the_stream_takes_is_a_dead_letter() {
    let payload = vec![b'x'; 20_000];
    let bytes = compose(&with(4, Value::Text(&payload)), ROOMY).unwrap().0.bytes;
    for (limits, is_taken) in [
        (SizeLimits { max_payload_bytes: bytes, max_message_bytes: None }, true),
        (SizeLimits { max_payload_bytes: bytes - 1, max_message_bytes: None }, false),
        (SizeLimits { max_message_bytes: Some(bytes), ..ROOMY }, true),
        (SizeLimits { max_message_bytes: Some(bytes - 1), ..ROOMY }, false),
    ] {
        let (read, poison) = compose(&with(4, Value::Text(&payload)), limits).unwrap();
        assert_eq!(poison.is_none(), is_taken, "{limits:?}");
        if let Some(poison) = poison {
            assert_eq!(poison.reason, PoisonReason::MessageTooLarge);
            assert_eq!((poison.size_bytes, poison.limit_bytes), (Some(bytes), Some(bytes - 1)));
            assert_eq!(read.json()["sizes"]["payload"], 20_000);
        }
    }
    // The limit may change under way.
    let mut composer = composer(ROOMY, OnPoison::DeadLetter);
    composer.set_limits(SizeLimits { max_payload_bytes: bytes - 1, max_message_bytes: None });
    assert!(compose_as(&binding([TEXT; 5]), &with(4, Value::Text(&payload)), composer).unwrap().1.is_some());
}

#[test]
fn headers_that_together_are_more_than_any_server_takes_are_a_dead_letter() {
    let long = vec![b'x'; 16 * 1024];
    let long = Value::Text(&long);
    let template = Template::parse("outbox.all").unwrap();
    let source = Source { system_id: 1, timeline: 1, slot: "s".to_owned() };
    let builder = MessageBuilder::new(Arc::new(template), &source, "OUTBOX", ROOMY).unwrap();
    let composer = Composer::new(builder, OnPoison::DeadLetter);
    let (read, poison) = compose_as(&binding([TEXT; 5]), &[long, long, long, long, Value::Null], composer).unwrap();
    assert_eq!(poison.unwrap().reason, PoisonReason::HeadersTooLarge);
    assert!(read.bytes <= MAX_DEAD_LETTER_BYTES, "{}", read.bytes);
}

#[test]
fn a_subject_that_is_too_long_is_a_dead_letter() {
    let long = "x".repeat(1100);
    let (read, poison) = dead(&with(3, Value::Text(long.as_bytes())), ROOMY);
    assert_eq!((poison.reason, poison.limit_bytes), (PoisonReason::SubjectTooLong, Some(1024)));
    assert!(!read.headers.contains_key("Walpost-Event-Type"), "too long for a record");
    assert_eq!(read.json()["event_type"].as_str(), Some(&long[..512]));
    assert_eq!(read.json()["truncated"], true);
}

#[test]
fn a_halt_names_event_place_reason_size_and_the_ways_out() {
    let payload = vec![b'x'; 2000];
    let limits = SizeLimits { max_payload_bytes: 1000, max_message_bytes: None };
    let row = with(4, Value::Text(&payload));
    let halt = compose_as(&binding([TEXT; 5]), &row, composer(limits, OnPoison::Halt)).unwrap_err();
    let (size, row_bytes) = (compose(&row, ROOMY).unwrap().0.bytes, wire(&row).len());
    let told = format!(
        "the event \"id-1\" at 1/2B:4 cannot be published (message-too-large): the message has {size} bytes and the NATS \
         server takes 1000 (its max_payload); its row has {row_bytes} bytes"
    );
    assert_eq!(halt.to_string(), told);
    let hint = halt.hint().unwrap();
    assert!(hint.contains("raise max_payload") && hint.contains("on_poison = \"dead-letter\""), "{hint}");

    let halt = compose_as(&binding([TEXT; 5]), &with(0, Value::Null), composer(ROOMY, OnPoison::Halt)).unwrap_err();
    assert!(
        halt.to_string().starts_with("the event at 1/2B:4 cannot be published (null-value): column \"id\" is null;")
    );
    let hint = halt.hint().unwrap();
    assert!(!hint.contains("max_payload") && hint.contains("on_poison = \"dead-letter\""), "{hint}");
}

#[test]
fn a_broker_that_takes_not_even_the_dead_letter_halts_the_line() {
    let limits = SizeLimits { max_payload_bytes: 200, max_message_bytes: None };
    let halt = compose(&GOOD, limits).unwrap_err();
    assert!(matches!(*halt, Halt::NoRoom { .. }), "{halt:?}");
    assert!(halt.to_string().contains("and neither can its dead letter: the message has"), "{halt}");
    assert!(halt.hint().unwrap().contains("8192 bytes"));
}

#[test]
fn a_row_that_is_not_one_of_its_table_is_not_passed_over() {
    let halt = compose_as(&binding([TEXT; 5]), &GOOD[..4], composer(ROOMY, OnPoison::DeadLetter)).unwrap_err();
    assert_eq!(halt.to_string(), "the row at 1/2B:4 cannot be read: the row has 4 values, its table 5 columns");
}

/// Text that is likely to be poison, with nothing of it too likely.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z]{0,8}".prop_map(String::into_bytes),
        "\\PC{0,8}".prop_map(String::into_bytes),
        any::<String>().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40),
        (prop::sample::select(vec![b'x', b'"', b'\n', 0, 1, b'.', 0xC5]), 0_usize..40_000)
            .prop_map(|(byte, count)| vec![byte; count]),
        Just(b"a\r\nNats-Expected-Last-Sequence: 0".to_vec()),
    ]
}

/// A payload that is easily told from everything else.
const CANARY: &str = "CANARY-OF-THE-PAYLOAD";

proptest! {
    #[test]
    fn any_row_gives_a_message_or_a_dead_letter_that_is_valid_bounded_and_without_the_payload(
        cells in prop::collection::vec((0_u8..8, text()), 4),
        oids in prop::collection::vec(prop::sample::select(vec![19_u32, 20, 21, 23, 25, 25, 25, 25, 1042, 1043, 2950]), 4),
        (payload_oid, payload_form, fill) in
            (prop::sample::select(vec![17_u32, 25, 114, 3802]), 0_u8..3, 0_usize..70_000),
        (max_payload_bytes, max_message_bytes) in
            (MAX_DEAD_LETTER_BYTES..80_000, prop::option::of(MAX_DEAD_LETTER_BYTES..80_000)),
    ) {
        let canary = CANARY.repeat(fill / CANARY.len() + 1).into_bytes();
        let mut row: Vec<Value<'_>> = cells.iter().map(|(form, bytes)| match form {
            0 => Value::Null,
            1 => Value::Unchanged,
            2 => Value::Binary(bytes),
            _ => Value::Text(bytes),
        }).collect();
        row.push(match payload_form { 0 => Value::Unchanged, 1 => Value::Binary(&canary), _ => Value::Text(&canary) });
        let oids = [oids[0], oids[1], oids[2], oids[3], payload_oid];
        let limits = SizeLimits { max_payload_bytes, max_message_bytes };

        let (read, poison) = compose_as(&binding(oids), &row, composer(limits, OnPoison::DeadLetter)).unwrap();
        prop_assert!(read.bytes <= max_payload_bytes.min(max_message_bytes.unwrap_or(usize::MAX)));
        prop_assert_eq!(&read.headers["Nats-Expected-Last-Sequence"], "41");
        prop_assert_eq!(&read.headers["Walpost-Position"], POSITION);
        prop_assert!(!read.headers["Nats-Msg-Id"].is_empty());
        for value in read.headers.values() {
            prop_assert_eq!(check_value(value), Ok(()));
        }
        let halted = compose_as(&binding(oids), &row, composer(limits, OnPoison::Halt));
        let Some(poison) = poison else {
            prop_assert!(halted.is_ok() && read.subject.starts_with("outbox."));
            return Ok(());
        };
        let halt = halted.unwrap_err();
        prop_assert!(read.bytes <= MAX_DEAD_LETTER_BYTES, "{} bytes", read.bytes);
        let json = read.json();
        prop_assert_eq!(json["reason"].as_str(), Some(poison.reason.code()));
        prop_assert_eq!(read.headers["Walpost-Dead-Letter"].as_str(), poison.reason.code());
        let tokens: Vec<&str> = read.subject.split('.').collect();
        prop_assert!(tokens.len() == 2 && tokens[0] == "outbox_dlq" && !tokens[1].is_empty(), "{}", read.subject);
        prop_assert!(!tokens[1].contains(|c: char| !c.is_ascii_graphic() || "*>".contains(c)), "{}", read.subject);
        // A row without a readable payload may have the canary elsewhere; this one has not.
        let told = [read.subject.clone(), String::from_utf8(read.body.to_vec()).unwrap(), halt.to_string()].concat();
        let everything = format!("{told}{:?}{halt:?}{poison:?}", read.headers);
        prop_assert!(!everything.contains("CANARY"));
    }
}
