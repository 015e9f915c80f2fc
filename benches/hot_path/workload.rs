//! The events of `benches/measure/workload.sql` as Postgres sends them: one transaction of one row each, values in their binary form.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes};
use walpost::{
    outbox::{BaseTypes, Binding, Event, Mapping, Preset},
    pgoutput::{KeptTuple, Message, Tuple},
};

/// How many events a batch has: enough that what happens once in so many, such as a buffer that is full, is counted as
/// often as it happens.
pub(crate) const EVENTS: u32 = 1_000;
/// The stream that the answers name.
pub(super) const STREAM: &str = "OUTBOX";
/// The log that a transaction takes, and its commit record.
pub(super) const TRANSACTION_BYTES: u64 = 1_024;
pub(super) const COMMIT_BYTES: u64 = 48;

/// The outbox's object id, and those of its columns' types.
const OUTBOX: u32 = 16_385;
const COLUMNS: [(&str, u32); 8] = [
    ("id", 2950),
    ("aggregate_type", 25),
    ("aggregate_id", 25),
    ("event_type", 25),
    ("payload", 3802),
    ("headers", 3802),
    ("created_at", 1184),
    ("xid", 5069),
];

/// The workload, made once. The parts borrow from it for ever.
pub(super) static WORKLOAD: LazyLock<Workload> = LazyLock::new(Workload::new);

/// The events in each form that a part begins with.
pub(super) struct Workload {
    /// What the socket delivers.
    pub(super) wire: Vec<u8>,
    /// The rows, each a message of the output plugin.
    pub(super) inserts: Vec<Bytes>,
    /// The table.
    pub(super) binding: Binding,
    /// What the broker answers.
    pub(super) answers: Vec<String>,
}

impl Workload {
    fn new() -> Self {
        let numbers = || (0..u64::from(EVENTS)).map(|number| number * 37);
        let inserts: Vec<Bytes> = numbers().map(|number| insert(number).into()).collect();
        let mut wire = Vec::new();
        for (begin, row) in (1..).map(|index| index * TRANSACTION_BYTES).zip(&inserts) {
            let commit = begin + TRANSACTION_BYTES - COMMIT_BYTES;
            log_frame(&mut wire, 0, &self::begin(commit));
            log_frame(&mut wire, begin, row);
            log_frame(&mut wire, commit, &self::commit(commit));
        }
        let answers =
            (1..=EVENTS).map(|sequence| format!(r#"{{"stream":"{STREAM}", "seq":{}}}"#, 1_000_000 + sequence));
        Self { wire, inserts, binding: binding(), answers: answers.collect() }
    }

    /// The rows.
    pub(super) fn tuples(&'static self) -> impl Iterator<Item = Tuple<'static>> {
        self.inserts.iter().map(|insert| match Message::decode(insert) {
            Ok(Message::Insert { new, .. }) => new,
            other => panic!("no row: {other:?}"),
        })
    }

    /// One of the rows, kept.
    pub(super) fn kept_tuple(&'static self) -> KeptTuple {
        let kept = self.tuples().zip(&self.inserts).find_map(|(tuple, insert)| KeptTuple::new(tuple, insert));
        kept.expect("the row is the end of an insert")
    }

    /// What the rows say.
    pub(super) fn events(&'static self) -> impl Iterator<Item = Event<'static>> {
        self.tuples().map(|row| self.binding.read(row).expect("the table is that of `walpost setup`"))
    }
}

/// A message of the output plugin on its way through the replication connection.
fn log_frame(wire: &mut Vec<u8>, start: u64, data: &[u8]) {
    wire.put_u8(b'd');
    wire.put_i32(i32::try_from(4 + 1 + 8 + 8 + 8 + data.len()).expect("a small message"));
    wire.put_u8(b'w');
    wire.put_u64(start);
    wire.put_u64(start);
    wire.put_i64(COMMIT_TIME_US);
    wire.put_slice(data);
}

/// Any moment; microseconds since 2000-01-01.
const COMMIT_TIME_US: i64 = 849_000_000_123_456;

fn begin(commit: u64) -> Vec<u8> {
    let mut message = vec![b'B'];
    message.put_u64(commit);
    message.put_i64(COMMIT_TIME_US);
    message.put_u32(4711);
    message
}

fn commit(commit: u64) -> Vec<u8> {
    let mut message = vec![b'C', 0];
    message.put_u64(commit);
    message.put_u64(commit + COMMIT_BYTES);
    message.put_i64(COMMIT_TIME_US);
    message
}

/// Event number `n`. A `jsonb` is printed with its shortest keys first.
fn insert(n: u64) -> Vec<u8> {
    let mut message = vec![b'I'];
    message.put_u32(OUTBOX);
    message.put_u8(b'N');
    message.put_u16(u16::try_from(COLUMNS.len()).expect("few columns"));
    binary(&mut message, &scattered(n).to_be_bytes());
    binary(&mut message, b"order");
    binary(&mut message, (n % 10_000).to_string().as_bytes());
    binary(&mut message, b"OrderPlaced");
    let payload = format!(
        "\u{1}{{\"note\": \"{}\", \"lines\": [{{\"qty\": {}, \"sku\": \"SKU-{}\"}}, {{\"qty\": {}, \"sku\": \"SKU-{}\"}}], \
         \"currency\": \"EUR\", \"customer\": \"cust-{}\", \"order_id\": {n}, \"total_cents\": {}}}",
        "x".repeat(100),
        n % 9,
        n % 977,
        n % 5,
        n % 577,
        n % 5_000,
        n * 7 % 100_000,
    );
    binary(&mut message, payload.as_bytes());
    binary(&mut message, format!("\u{1}{{\"correlation_id\": \"{:032x}\"}}", scattered(!n)).as_bytes());
    binary(&mut message, &COMMIT_TIME_US.to_be_bytes());
    binary(&mut message, &4711_u64.to_be_bytes());
    message
}

fn binary(message: &mut Vec<u8>, value: &[u8]) {
    message.put_u8(b'b');
    message.put_i32(i32::try_from(value.len()).expect("a small value"));
    message.put_slice(value);
}

/// A number that looks like any other, and is the same in every run.
fn scattered(n: u64) -> u128 {
    (u128::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// The table that `walpost setup` makes, as its description arrives.
fn binding() -> Binding {
    let mut message = vec![b'R'];
    message.put_u32(OUTBOX);
    message.put_slice(b"public\0outbox\0d");
    message.put_u16(u16::try_from(COLUMNS.len()).expect("few columns"));
    for (name, type_oid) in COLUMNS {
        message.put_u8(u8::from(name == "id"));
        message.put_slice(name.as_bytes());
        message.put_u8(0);
        message.put_u32(type_oid);
        message.put_i32(-1);
    }
    let Ok(Message::Relation(relation)) = Message::decode(&message) else { panic!("no description of a table") };
    let mapping = Mapping { table: "public.outbox".parse().expect("it is a name"), columns: Preset::Walpost.columns() };
    Binding::bind(&mapping, &relation, &BaseTypes::new()).expect("all columns are there")
}
