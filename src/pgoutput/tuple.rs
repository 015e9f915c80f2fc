//! One row on the wire: checked once, then walked without errors.
//!
//! A tuple is a count and, for each column, one byte for the kind of the value: `n` null, `u` unchanged and not sent,
//! `t` text, `b` binary; the last two with a length and the bytes
//! (`TupleData` in <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>).
//!
//! The option `binary` of the stream decides the kind, but column by column: a type without a binary form is sent as
//! text all the same. So a consumer must take both.
//!
//! Invariant: the bytes a [`Tuple`] holds were read to the end once, by the same function that its iterator uses.

use super::{DecodeError, reader::Reader};
use bytes::Bytes;
use std::{fmt, iter::FusedIterator};

/// The values of a row, in the order of its relation's columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    /// Which row this is.
    kind: TupleKind,
    /// How many values there are.
    len: u16,
    /// The values as they are on the wire, `len` of them and nothing else.
    values: &'a [u8],
}

/// Which row a tuple is, and with it which of its values are real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TupleKind {
    /// The row as it is from now on (`N`).
    New,
    /// The row as it was, but of the key only: a null in another column says nothing (`K`).
    Key,
    /// The whole row as it was, because the replica identity is `FULL` (`O`).
    Old,
}

/// One value of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL null.
    Null,
    /// A large value that an update did not touch, and that the server therefore did not send; never in an insert.
    Unchanged,
    /// The output of the type's text function. Not checked to be UTF-8.
    Text(&'a [u8]),
    /// The output of the type's binary send function.
    Binary(&'a [u8]),
}

impl<'a> Tuple<'a> {
    /// Reads a tuple with the byte for its kind, and checks every value in it.
    #[inline]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let kind = match reader.u8("tuple kind")? {
            b'N' => TupleKind::New,
            b'K' => TupleKind::Key,
            b'O' => TupleKind::Old,
            byte => return Err(DecodeError::Unknown { reading: "tuple kind", offset, byte }),
        };
        let len = reader.u16("column count")?;
        let start = *reader;
        for _ in 0..len {
            Value::read(reader)?;
        }
        Ok(Self { kind, len, values: reader.since(start) })
    }

    /// Which row this is.
    #[inline]
    pub const fn kind(&self) -> TupleKind {
        self.kind
    }

    /// How many values there are.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is no value: a table may have no columns.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values, first to last.
    #[inline]
    pub const fn iter(&self) -> Values<'a> {
        Values { reader: Reader::new(self.values), left: self.len }
    }

    /// The value of the column at `index`, counted from 0; a walk over the values before it.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        self.iter().nth(index)
    }
}

/// A row with the message that it was read from: it outlives its frame, and is not read anew each time it is looked at.
#[derive(Clone)]
pub struct KeptTuple {
    message: Bytes,
    kind: TupleKind,
    len: u16,
    /// Where in the message the values begin, which reach to its end.
    values_at: usize,
}

impl KeptTuple {
    /// Keeps a tuple whose values are the end of `message`, as those of an insert are; none if they are not.
    pub fn new(tuple: Tuple<'_>, message: &Bytes) -> Option<Self> {
        let Tuple { kind, len, values } = tuple;
        let start = message.len().checked_sub(values.len())?;
        let is_part = message.get(start..).is_some_and(|end| std::ptr::eq(end, values));
        is_part.then(|| Self { message: message.clone(), kind, len, values_at: start })
    }

    /// The row.
    #[inline]
    pub fn tuple(&self) -> Tuple<'_> {
        let values = self.message.get(self.values_at..).unwrap_or_default();
        Tuple { kind: self.kind, len: self.len, values }
    }

    /// The message that it was read from.
    #[inline]
    pub fn message(&self) -> &Bytes {
        &self.message
    }
}

impl fmt::Debug for KeptTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tuple().fmt(f)
    }
}

impl<'a> IntoIterator for Tuple<'a> {
    type Item = Value<'a>;
    type IntoIter = Values<'a>;

    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Value<'a> {
    /// Reads one value.
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        match reader.u8("value kind")? {
            b't' => Ok(Self::Text(sized(reader)?)),
            b'b' => Ok(Self::Binary(sized(reader)?)),
            b'n' => Ok(Self::Null),
            b'u' => Ok(Self::Unchanged),
            byte => Err(DecodeError::Unknown { reading: "value kind", offset, byte }),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Text(bytes) => write!(f, "Text({} bytes)", bytes.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// The values of a [`Tuple`], first to last.
#[derive(Clone)]
pub struct Values<'a> {
    /// The values still to come, as they are on the wire.
    reader: Reader<'a>,
    /// How many they are.
    left: u16,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let value = Value::read(&mut self.reader);
        debug_assert!(value.is_ok(), "a tuple's values were read to the end when it was made: {value:?}");
        value.ok()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.left);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Values<'_> {}
impl FusedIterator for Values<'_> {}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Bytes with their length before them.
#[inline]
fn sized<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = reader.length("value length")?;
    reader.bytes(length, "value")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &[u8] = b"N\0\x05t\0\0\0\x02hinub\0\0\0\x01\x07t\0\0\0\0";

    fn row() -> Tuple<'static> {
        Tuple::read(&mut Reader::new(ROW)).unwrap()
    }

    #[test]
    fn values_come_in_the_order_of_the_columns() {
        let expected = [Value::Text(b"hi"), Value::Null, Value::Unchanged, Value::Binary(&[7]), Value::Text(b"")];
        assert_eq!(row().iter().collect::<Vec<_>>(), expected);
        assert_eq!(row().kind(), TupleKind::New);
        for (index, value) in expected.into_iter().enumerate() {
            assert_eq!(row().get(index), Some(value));
        }
        assert_eq!(row().get(5), None);
        assert_eq!(row().get(usize::MAX), None);
    }

    #[test]
    fn the_iterator_knows_how_many_values_are_left_and_stays_at_its_end() {
        let mut values = row().iter();
        for left in (0..5).rev() {
            assert!(values.next().is_some());
            assert_eq!(values.len(), left);
        }
        assert_eq!((values.next(), values.next()), (None, None));
    }

    #[test]
    fn a_kept_row_is_the_row_of_its_own_message() {
        let [message, other] = [0, 1].map(|_| Bytes::copy_from_slice(ROW));
        let tuple = Tuple::read(&mut Reader::new(&message)).unwrap();
        let kept = KeptTuple::new(tuple, &message).unwrap();
        assert_eq!((kept.tuple(), kept.message()), (tuple, &message));
        assert!(KeptTuple::new(tuple, &other).is_none(), "the same bytes elsewhere");
        assert!(KeptTuple::new(tuple, &message.slice(..message.len() - 1)).is_none());
        assert_eq!(format!("{kept:?}"), format!("{tuple:?}"));
    }

    #[test]
    fn a_row_without_columns_is_a_row() {
        let tuple = Tuple::read(&mut Reader::new(b"N\0\0")).unwrap();
        assert!(tuple.is_empty());
        assert_eq!(tuple.iter().next(), None);
    }

    #[test]
    fn debug_shows_the_shape_of_a_row_and_no_value() {
        assert_eq!(format!("{:?}", row()), "New[Text(2 bytes), Null, Unchanged, Binary(1 bytes), Text(0 bytes)]");
    }

    #[test]
    fn reading_stops_right_after_the_last_value() {
        let mut reader = Reader::new(b"K\0\x01nrest");
        assert_eq!(Tuple::read(&mut reader).unwrap().kind(), TupleKind::Key);
        assert_eq!((reader.offset(), reader.remaining()), (4, 4));
    }
}
