//! Tests: what is no message is an error that names the place.

use super::{Begin, Column, Commit, DecodeError, Message, Relation, ReplicaIdentity, TupleKind, Value, encoder};
use crate::lsn::Lsn;

/// One good message of every kind, and both forms of an update.
fn samples() -> Vec<Vec<u8>> {
    let row = [Value::Text(b"text"), Value::Null, Value::Binary(&[0, 1, 2]), Value::Unchanged, Value::Text(b"")];
    let relation = Relation {
        id: 16_385,
        namespace: "public".to_owned(),
        name: "outbox".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: vec![
            Column { name: "id".to_owned(), type_oid: 2950, type_modifier: -1, is_key: true },
            Column { name: "payload".to_owned(), type_oid: 3802, type_modifier: -1, is_key: false },
        ],
    };
    let begin = Begin { final_lsn: Lsn::new(3), commit_time_us: -1, xid: 7 };
    let commit = Commit { flags: 0, commit_lsn: Lsn::new(3), end_lsn: Lsn::new(4), commit_time_us: -1 };
    vec![
        encoder::begin(begin),
        encoder::commit(commit),
        encoder::origin(Lsn::new(9), "elsewhere"),
        encoder::relation(&relation),
        encoder::type_name(20_000, "public", "mood"),
        encoder::insert(16_385, &row),
        encoder::update(16_385, None, &row),
        encoder::update(16_385, Some((TupleKind::Key, &row[..1])), &row),
        encoder::delete(16_385, TupleKind::Old, &row),
        encoder::truncate(&[16_385, 16_386], true, false),
        encoder::logical(true, Lsn::new(5), "prefix", b"content"),
    ]
}

fn error(wire: &[u8]) -> DecodeError {
    Message::decode(wire).expect_err("malformed")
}

#[test]
fn no_bytes_are_no_message() {
    assert_eq!(error(b"").to_string(), "cannot read the message tag at byte 0: 0 of 1 bytes are there");
}

#[test]
fn every_message_cut_short_anywhere_is_an_error_at_or_before_the_cut() {
    for wire in samples() {
        assert!(Message::decode(&wire).is_ok());
        for cut in 0..wire.len() {
            let offset = match error(&wire[..cut]) {
                DecodeError::EndsEarly { offset, needed, left, .. } => {
                    assert_eq!(offset + left, cut);
                    assert!(needed > left);
                    offset
                }
                DecodeError::Unterminated { offset, .. } => offset,
                other => panic!("cut at {cut}: {other}"),
            };
            assert!(offset <= cut);
        }
    }
}

#[test]
fn every_message_with_bytes_after_it_is_too_long() {
    for wire in samples() {
        let long = [wire.as_slice(), b"\0I"].concat();
        assert_eq!(error(&long), DecodeError::TooLong { offset: wire.len(), count: 2 });
    }
    assert_eq!(error(b"T\0\0\0\0\0!").to_string(), "expected the end of the message at byte 6, found 1 more");
}

#[test]
fn tags_of_other_protocol_versions_and_nonsense_are_unknown() {
    let known = b"BCORYIUDTM";
    for byte in (0..=u8::MAX).filter(|byte| !known.contains(byte)) {
        let expected = DecodeError::Unknown { reading: "message tag", offset: 0, byte };
        assert_eq!(error(&[byte, 0, 0, 0, 0, 0, 0, 0]), expected);
    }
    assert_eq!(error(b"S").to_string(), "cannot read the message tag at byte 0: 0x53 has no meaning here");
}

#[test]
fn negative_lengths_are_errors_not_sizes() {
    let cases: [(&[u8], _, _, _); 4] = [
        (b"I\0\0\0\x01N\0\x01t\xFF\xFF\xFF\xFF", "value length", 9, -1),
        (b"I\0\0\0\x01N\0\x01b\x80\0\0\0", "value length", 9, i32::MIN),
        (b"T\xFF\xFF\xFF\xFE\0", "relation count", 1, -2),
        (b"M\x01\0\0\0\0\0\0\0\0p\0\xFF\xFF\xFF\xFF", "logical message length", 12, -1),
    ];
    for (wire, reading, offset, value) in cases {
        assert_eq!(error(wire), DecodeError::Negative { reading, offset, value });
    }
    assert_eq!(error(cases[0].0).to_string(), "cannot read the value length at byte 9: -1 is negative");
}

#[test]
fn huge_lengths_are_errors_before_anything_is_allocated() {
    let cases: [(&[u8], _, _, _, _); 5] = [
        (b"I\0\0\0\x01N\0\x01t\x7F\xFF\xFF\xFFx", "value", 13, 0x7FFF_FFFF, 1),
        (b"I\0\0\0\x01N\xFF\xFFn", "value kind", 9, 1, 0),
        (b"R\0\0\0\x01\0t\0d\xFF\xFF\0\0", "columns", 11, 655_350, 2),
        (b"T\x7F\xFF\xFF\xFF\0\0\0\0\x01", "relation ids", 6, 0x7FFF_FFFF * 4, 4),
        (b"M\x01\0\0\0\0\0\0\0\0p\0\x7F\xFF\xFF\xFF", "logical message content", 16, 0x7FFF_FFFF, 0),
    ];
    for (wire, reading, offset, needed, left) in cases {
        assert_eq!(error(wire), DecodeError::EndsEarly { reading, offset, needed, left });
    }
}

#[test]
fn names_that_are_not_utf8_are_errors() {
    let cases: [(&[u8], _, _); 6] = [
        (b"O\0\0\0\0\0\0\0\x01\xFF\0", "origin name", 9),
        (b"R\0\0\0\x01\xC3\0t\0d\0\0", "namespace", 5),
        (b"R\0\0\0\x01\0\xE9\0d\0\0", "relation name", 6),
        (b"R\0\0\0\x01\0t\0d\0\x01\0\xE9\0\0\0\0\x19\0\0\0\0", "column name", 12),
        (b"Y\0\0\0\x01\0\xED\xA0\x80\0", "type name", 6),
        (b"M\0\0\0\0\0\0\0\0\0\xFE\0\0\0\0\0", "logical message prefix", 10),
    ];
    for (wire, reading, offset) in cases {
        assert_eq!(error(wire), DecodeError::NotUtf8 { reading, offset });
    }
}

#[test]
fn bytes_that_stand_for_nothing_are_errors() {
    let cases: [(&[u8], _, _, _); 7] = [
        (b"I\0\0\0\x01K\0\0", "tuple kind", 5, b'K'),
        (b"I\0\0\0\x01X\0\0", "tuple kind", 5, b'X'),
        (b"I\0\0\0\x01N\0\x02nx", "value kind", 9, b'x'),
        (b"U\0\0\0\x01K\0\0O\0\0", "tuple kind", 8, b'O'),
        (b"U\0\0\0\x01X\0\0", "tuple kind", 5, b'X'),
        (b"D\0\0\0\x01N\0\0", "tuple kind", 5, b'N'),
        (b"R\0\0\0\x01\0t\0x\0\0", "replica identity", 8, b'x'),
    ];
    for (wire, reading, offset, byte) in cases {
        assert_eq!(error(wire), DecodeError::Unknown { reading, offset, byte });
    }
}

#[test]
fn an_unterminated_name_is_an_error() {
    assert_eq!(error(b"Y\0\0\0\x01public").to_string(), "cannot read the namespace at byte 5: no zero byte ends it");
}

#[test]
fn debug_of_a_message_shows_no_value_of_a_row_nor_content() {
    let secret = b"hunter2";
    let row = [Value::Text(secret), Value::Binary(secret)];
    for wire in [
        encoder::insert(1, &row),
        encoder::update(1, Some((TupleKind::Old, &row)), &row),
        encoder::update(1, None, &row),
        encoder::delete(1, TupleKind::Key, &row),
        encoder::logical(false, Lsn::new(1), "prefix", secret),
    ] {
        let shown = format!("{:?}", Message::decode(&wire).unwrap());
        assert!(shown.contains("7 bytes") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104, 117"), "{shown}");
    }
}
