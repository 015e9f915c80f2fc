//! One value of a row, by the type of its column, in either wire form.
//!
//! The binary forms are those of the types' send functions (`src/backend/utils/adt` in
//! <https://github.com/postgres/postgres>); the text forms are what `psql` shows. Null and unchanged values are the
//! caller's.

use super::{ColumnType, Text, Timestamp, bytea};
use crate::pgoutput::Value;
use std::borrow::Cow;

/// The bytes of a value that is there, or why it is not.
pub(super) fn present<'a>(value: Value<'a>) -> Result<Wire<'a>, RowFault> {
    match value {
        Value::Null => Err(RowFault::Null),
        Value::Unchanged => Err(RowFault::Unchanged),
        Value::Text(bytes) => Ok(Wire { bytes, is_binary: false }),
        Value::Binary(bytes) => Ok(Wire { bytes, is_binary: true }),
    }
}

/// The bytes of a value and which of the two forms they are.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    /// The bytes, without length.
    bytes: &'a [u8],
    /// The type's send function made them, not its output function.
    is_binary: bool,
}

impl<'a> Wire<'a> {
    /// Characters: those of the text form; for `char(n)` without the padding, as a cast to `text` gives them.
    #[inline]
    pub(super) fn text(self, column_type: ColumnType) -> Result<Text<'a>, RowFault> {
        use ColumnType as T;
        if self.is_binary {
            match column_type {
                T::Uuid => return Ok(Text::uuid(self.array(column_type)?)),
                T::Int2 => return Ok(Text::integer(i16::from_be_bytes(self.array(column_type)?).into())),
                T::Int4 => return Ok(Text::integer(i32::from_be_bytes(self.array(column_type)?).into())),
                T::Int8 => return Ok(Text::integer(i64::from_be_bytes(self.array(column_type)?))),
                _ => {}
            }
        }
        let text = str::from_utf8(self.bytes).map_err(|_| RowFault::NotUtf8)?;
        Ok(Text::borrowed(if column_type == T::Bpchar { text.trim_end_matches(' ') } else { text }))
    }

    /// A document: its bytes as they are, whatever they hold.
    #[inline]
    pub(super) fn document(self, column_type: ColumnType) -> Result<Cow<'a, [u8]>, RowFault> {
        if column_type == ColumnType::Bytea && !self.is_binary {
            return bytea::decode(self.bytes).ok_or(RowFault::Malformed { expected: column_type });
        }
        self.json(column_type).map(Cow::Borrowed)
    }

    /// JSON as text; binary `jsonb` has a version before it, of which there has only ever been 1.
    #[inline]
    pub(super) fn json(self, column_type: ColumnType) -> Result<&'a [u8], RowFault> {
        match (column_type, self.is_binary) {
            (ColumnType::Jsonb, true) => {
                self.bytes.strip_prefix(&[JSONB_VERSION]).ok_or(RowFault::Malformed { expected: column_type })
            }
            _ => Ok(self.bytes),
        }
    }

    /// A moment; `None` for one that [`Timestamp`] cannot hold.
    #[inline]
    pub(super) fn moment(self, column_type: ColumnType) -> Result<Option<Timestamp>, RowFault> {
        if self.is_binary {
            return Ok(Timestamp::from_postgres_us(i64::from_be_bytes(self.array(column_type)?)));
        }
        let text = str::from_utf8(self.bytes).map_err(|_| RowFault::NotUtf8)?;
        Timestamp::from_postgres_text(text).map_err(|_| RowFault::Malformed { expected: column_type })
    }

    /// Exactly `N` bytes.
    #[inline]
    fn array<const N: usize>(self, column_type: ColumnType) -> Result<[u8; N], RowFault> {
        self.bytes.try_into().map_err(|_| RowFault::Malformed { expected: column_type })
    }
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// A required value is null.
    #[error("is null")]
    Null,
    /// The id is empty.
    #[error("is empty")]
    Empty,
    /// The text is not UTF-8, as can happen in a database whose encoding is `SQL_ASCII`.
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// The server left the value out, which it may do for updates alone.
    #[error("was not sent with an inserted row")]
    Unchanged,
    /// The bytes are not of the form that the type has.
    #[error("is not a valid {expected} value")]
    Malformed {
        /// The column's type.
        expected: ColumnType,
    },
}

/// What `jsonb_send` writes before the text.
const JSONB_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use ColumnType as T;

    fn wire(value: Value<'_>) -> Wire<'_> {
        present(value).unwrap()
    }

    #[test]
    fn text_is_the_same_in_both_forms() {
        let uuid = [0xA0, 0xEE, 0xBC, 0x99, 0x9C, 0x0B, 0x4E, 0xF8, 0xBB, 0x6D, 0x6B, 0xB9, 0xBD, 0x38, 0x0A, 0x11];
        let cases: [(T, &[u8], &str, &str); 12] = [
            (T::Uuid, &uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (T::Text, "zażółć".as_bytes(), "zażółć", "zażółć"),
            (T::Text, b"", "", ""),
            (T::Text, b" x ", " x ", " x "),
            (T::Varchar, b"v  ", "v  ", "v  "),
            (T::Bpchar, b"order     ", "order     ", "order"),
            (T::Name, b"n", "n", "n"),
            (T::Int2, &[0xFF, 0xFE], "-2", "-2"),
            (T::Int4, &[0, 0, 0x30, 0x39], "12345", "12345"),
            (T::Int4, &[0x80, 0, 0, 0], "-2147483648", "-2147483648"),
            (T::Int8, &[0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "9223372036854775807", "9223372036854775807"),
            (T::Int8, &[0; 8], "0", "0"),
        ];
        for (column_type, binary, text, expected) in cases {
            assert_eq!(wire(Value::Binary(binary)).text(column_type).unwrap(), expected, "{column_type} binary");
            assert_eq!(wire(Value::Text(text.as_bytes())).text(column_type).unwrap(), expected, "{column_type} text");
        }
    }

    #[test]
    fn documents_are_the_same_in_both_forms() {
        let json = br#"{"a": [1, 2], "b": 1.10}"#;
        let jsonb = [&[1][..], json].concat();
        let cases: [(T, [&[u8]; 3]); 6] = [
            (T::Jsonb, [&jsonb, json, json]),
            (T::Json, [b"{ \"a\" :1 }", b"{ \"a\" :1 }", b"{ \"a\" :1 }"]),
            (T::Text, [b"any", b"any", b"any"]),
            (T::Text, [b"\xFF\xFE", b"\xFF\xFE", b"\xFF\xFE"]),
            (T::Bytea, [b"\x00\xFF\\x41", b"\\x00ff5c783431", b"\x00\xFF\\x41"]),
            (T::Bytea, [b"", b"\\x", b""]),
        ];
        for (column_type, [binary, text, expected]) in cases {
            assert_eq!(wire(Value::Binary(binary)).document(column_type).unwrap(), expected, "{column_type} binary");
            assert_eq!(wire(Value::Text(text)).document(column_type).unwrap(), expected, "{column_type} text");
        }
    }

    #[test]
    fn moments_are_the_same_in_both_forms() {
        let us = 823_178_096_789_012_i64.to_be_bytes();
        for (column_type, text) in
            [(T::Timestamptz, "2026-01-31 13:34:56.789012+01"), (T::Timestamp, "2026-01-31 12:34:56.789012")]
        {
            let binary = wire(Value::Binary(&us)).moment(column_type).unwrap().unwrap();
            assert_eq!(binary.to_string(), "2026-01-31T12:34:56.789012Z");
            assert_eq!(wire(Value::Text(text.as_bytes())).moment(column_type).unwrap(), Some(binary));
            let infinity = i64::MAX.to_be_bytes();
            assert_eq!(wire(Value::Binary(&infinity)).moment(column_type), Ok(None));
            assert_eq!(wire(Value::Text(b"infinity")).moment(column_type), Ok(None));
        }
    }

    #[test]
    fn values_that_no_server_sends_are_refused() {
        let malformed = |expected| RowFault::Malformed { expected };
        for (column_type, bytes) in
            [(T::Uuid, &[0; 15][..]), (T::Uuid, &[0; 17]), (T::Int2, &[]), (T::Int4, &[0; 8]), (T::Int8, &[0; 4])]
        {
            assert_eq!(wire(Value::Binary(bytes)).text(column_type).err(), Some(malformed(column_type)));
        }
        for bytes in [&b""[..], b"{}", b"\x02{}"] {
            assert_eq!(wire(Value::Binary(bytes)).document(T::Jsonb).err(), Some(malformed(T::Jsonb)));
            assert_eq!(wire(Value::Binary(bytes)).json(T::Jsonb).err(), Some(malformed(T::Jsonb)));
        }
        assert_eq!(wire(Value::Text(b"\\xg")).document(T::Bytea).err(), Some(malformed(T::Bytea)));
        assert_eq!(wire(Value::Binary(&[0; 7])).moment(T::Timestamptz).err(), Some(malformed(T::Timestamptz)));
        assert_eq!(wire(Value::Text(b"Sat Jan 31")).moment(T::Timestamptz).err(), Some(malformed(T::Timestamptz)));
        assert_eq!(wire(Value::Text(b"\xFF")).text(T::Text).err(), Some(RowFault::NotUtf8));
        assert_eq!(wire(Value::Binary(b"a\xC0\x80")).text(T::Varchar).err(), Some(RowFault::NotUtf8));
    }
}
