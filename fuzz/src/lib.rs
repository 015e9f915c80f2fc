//! What must hold whatever the bytes are: a claim for each reader of bytes that come from outside.
//!
//! A fuzzer calls them with bytes that it grows from what made the program do something new; `tests/fuzz` calls them with
//! random bytes and with every input that is kept in `fuzz/corpus`. A claim that does not hold panics.

mod webhooks;

use std::{
    fs,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use walpost::{
    config::{Config, Sources},
    lsn::Lsn,
    outbox::{
        BaseTypes, Binding, MAX_HEADERS, MAX_HEADERS_BYTES, Mapping, Preset, Template, check_value, escape_token,
        for_each_header, quote_identifier, unescape_token,
    },
    pgoutput::{Message, Relation, Tuple, Value},
    position::{Place, Position, Source},
    publish::{Chain, Composer, MessageBuilder, OnPoison, Outcome, SizeLimits},
    replication::{Frame, FrameError, Framer, TimelineHistory},
};

pub use self::webhooks::{endpoints, ledgers};

/// A claim about any bytes.
pub type Claim = fn(&[u8]);

/// All claims, by the names of their fuzz targets.
pub const ALL: [(&str, Claim); 10] = [
    ("frames", frames),
    ("pgoutput", pgoutput),
    ("rows", rows),
    ("subjects", subjects),
    ("headers", headers),
    ("config", config),
    ("acks", acks),
    ("positions", positions),
    ("ledgers", ledgers),
    ("endpoints", endpoints),
];

/// Bytes of a replication connection give the same frames however the network cuts them, and no more than was sent.
pub fn frames(data: &[u8]) {
    let [step, bytes @ ..] = data else { return };
    let whole = cut(bytes, bytes.len().max(1));
    assert_eq!(whole, cut(bytes, usize::from(*step).max(1)), "cut in another way");
    let sizes = whole.0.iter().map(|frame| if let Frame::Log { data, .. } = frame { data.len() } else { 0 });
    assert!(sizes.sum::<usize>() <= bytes.len(), "more than was sent");
}

fn cut(bytes: &[u8], step: usize) -> (Vec<Frame>, Result<(), FrameError>) {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    for piece in bytes.chunks(step) {
        framer.space().extend_from_slice(piece);
        loop {
            match framer.take_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(()))
}

/// A message of the output plugin is read or refused; what is read lies within its bytes, and its own counts are true.
pub fn pgoutput(data: &[u8]) {
    let Ok(message) = Message::decode(data) else { return };
    match &message {
        Message::Insert { new, .. } => tuple(*new, data),
        Message::Relation(relation) => assert!(relation.columns.len() <= data.len(), "more columns than bytes"),
        Message::Truncate { relation_ids, .. } => assert!(relation_ids.iter().len() <= data.len()),
        _ => {}
    }
    assert_eq!(Message::decode(data).as_ref(), Ok(&message), "read differently the second time");
}

fn tuple(tuple: Tuple<'_>, data: &[u8]) {
    let values: Vec<Value<'_>> = tuple.iter().collect();
    assert_eq!(values.len(), tuple.len());
    let mut bytes = 0;
    for (index, value) in values.iter().enumerate() {
        assert_eq!(tuple.get(index), Some(*value));
        bytes += match value {
            Value::Text(value) | Value::Binary(value) => value.len(),
            _ => 0,
        };
    }
    assert!(bytes <= data.len() && tuple.get(values.len()).is_none());
}

static MAPPING: LazyLock<Mapping> = LazyLock::new(|| Mapping {
    table: "public.outbox".parse().expect("it is a name"),
    columns: Preset::Walpost.columns(),
});

const LIMITS: SizeLimits = SizeLimits { max_payload_bytes: 1 << 20, max_message_bytes: None };

fn composer() -> Composer {
    let template = Template::parse("outbox.{aggregate_type}.{event_type}").expect("it is a template");
    let source = Source { system_id: 7, timeline: 1, slot: "walpost".to_owned() };
    let builder =
        MessageBuilder::new(Arc::new(template), &source, "OUTBOX", LIMITS).expect("names that headers can carry");
    Composer::new(builder, OnPoison::DeadLetter)
}

/// A table of any shape that can be an outbox, and then rows of any content: each becomes a message or a dead letter, or
/// contradicts its table.
pub fn rows(data: &[u8]) {
    let mut composer = composer();
    let mut binding: Option<(Relation, Binding)> = None;
    for (index, data) in (0_u32..).zip(pieces(data)) {
        match Message::decode(&data) {
            Ok(Message::Relation(mut relation)) => {
                "public".clone_into(&mut relation.namespace);
                "outbox".clone_into(&mut relation.name);
                if let Ok(bound) = Binding::bind(&MAPPING, &relation, &BaseTypes::new()) {
                    binding = Some((relation, bound));
                }
            }
            Ok(Message::Insert { new, .. }) => {
                let Some((relation, binding)) = &binding else { continue };
                let place = Place { commit_lsn: Lsn::new(1), index };
                let chain = Chain { expected_last_sequence: Some(1), place, checkpoint: place };
                let composed = composer.compose(binding, new, &data, chain);
                assert_eq!(composed.is_err(), new.len() != relation.columns.len(), "{composed:?}");
            }
            _ => {}
        }
    }
}

/// The input as messages, each behind its length of two bytes.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (piece, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        data = rest;
        Some(Bytes::copy_from_slice(piece))
    })
}

/// Any text becomes one token of a subject, from which it can be read again, and a quoted identifier that ends where it should.
pub fn subjects(data: &[u8]) {
    // Postgres' text has no NUL, and `%00` stands for empty text.
    let text = String::from_utf8_lossy(data).replace('\0', "");
    let mut token = String::new();
    escape_token(&text, &mut token);
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'*' | b'>');
    assert!(!token.is_empty() && token.bytes().all(is_plain), "{token:?} is no token");
    assert_eq!(unescape_token(&token).as_ref(), Some(&text), "{token:?} is not read again");
    if let Some(read) = unescape_token(&text) {
        let mut again = String::new();
        escape_token(&read, &mut again);
        assert_eq!(unescape_token(&again), Some(read));
    }
    if let Ok(template) = Template::parse(&text) {
        for subjects in [template.stream_subjects(), template.dead_letter_subjects()] {
            assert!(!subjects.split('.').any(str::is_empty), "{subjects:?} is no subject");
        }
    }
    if let Ok(quoted) = quote_identifier(&text) {
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let inner = inner.expect("it is quoted").replace("\"\"", "");
        assert!(!inner.contains(['"', '\0']), "{quoted} ends too early");
    }
}

/// Any JSON, and anything that is not, gives headers that end no line and mean nothing to the broker.
pub fn headers(data: &[u8]) {
    let (mut count, mut bytes) = (0, 0);
    let dropped = for_each_header(data, |name, value| {
        let (name, value) = (name.as_str(), value.as_str());
        let lower = name.to_ascii_lowercase();
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'), "{name:?}");
        assert!(!["nats-", "walpost-"].iter().any(|reserved| lower.starts_with(reserved)), "{name:?} is reserved");
        assert!(!value.contains(['\r', '\n', '\0']) && check_value(value).is_ok(), "{value:?}");
        count += 1;
        bytes += name.len() + value.len();
    });
    assert!(count <= MAX_HEADERS && bytes <= MAX_HEADERS_BYTES, "{count} headers of {bytes} bytes");
    assert_eq!(dropped.is_empty(), dropped.total() == 0);
}

/// Any configuration file is taken or refused with something to say; nothing of a secret is said.
pub fn config(data: &[u8]) {
    let folder = std::env::temp_dir().join(format!("walpost-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the file");
    let file = folder.join("walpost.toml");
    fs::write(&file, data).expect("the file");
    let secret = "canary-7f3a";
    let environment = vec![("WALPOST_NATS_TOKEN".into(), secret.into())];
    match Config::load(&Sources { file: Some(file), environment, ..Sources::default() }) {
        Ok(loaded) => assert!(!loaded.rows.is_empty() && !format!("{loaded:?}").contains(secret)),
        Err(problems) => assert!(problems.iter().count() > 0 && !format!("{problems} {problems:?}").contains(secret)),
    }
}

/// Only an answer that names our stream and a sequence, and no error, counts as storage.
pub fn acks(data: &[u8]) {
    let outcome = Outcome::read(data, "OUTBOX");
    let (Outcome::Stored { sequence } | Outcome::Duplicate { sequence }) = outcome else { return };
    // A field that nobody reads may hold an escape that is no character.
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let says = |name: &str, value: serde_json::Value| answer.get(name) == Some(&value);
    assert!(sequence > 0 && says("seq", sequence.into()) && says("stream", "OUTBOX".into()), "{answer}");
    assert!(answer.get("error").is_none_or(serde_json::Value::is_null), "{answer}");
    assert_eq!(says("duplicate", true.into()), matches!(outcome, Outcome::Duplicate { .. }), "{answer}");
}

/// Any text is a position, a log position or a timeline history, or is refused; what is read is written as it was meant.
pub fn positions(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(position) = text.parse::<Position>() {
        let written = position.source.position(position.place);
        assert_eq!(written.parse().as_ref(), Ok(&position));
    }
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }
    if let Ok(history) = TimelineHistory::parse(9, &text) {
        assert_eq!(history.current(), 9);
        let ends: Vec<Lsn> = (1..9).filter_map(|timeline| history.end_of(timeline)).collect();
        assert!(ends.is_sorted(), "a later timeline ends earlier: {ends:?}");
    }
}
