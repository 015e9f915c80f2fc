//! The checked reader: the only place that slices input.
//!
//! A [`Reader`] walks a message from front to back. Each method takes what it reads off the front or leaves the reader
//! as it was and says what is missing; the name of the field comes from the caller, for the error. Numbers are big
//! endian, strings end with a zero byte
//! (<https://www.postgresql.org/docs/current/protocol-message-types.html>).
//!
//! Invariant: nothing here indexes, so that nothing here can panic; and nothing here allocates.

use super::DecodeError;

/// The unread part of a message.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// What is still to be read.
    rest: &'a [u8],
    /// The length of the whole message; never less than that of `rest`.
    total: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of `message`.
    #[inline]
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, total: message.len() }
    }

    /// How many bytes are still to be read.
    #[inline]
    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Where the reader stands, counted from the first byte of the message.
    #[inline]
    pub(super) const fn offset(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// What was read since the reader stood at `start`.
    #[inline]
    pub(super) fn since(&self, start: Self) -> &'a [u8] {
        let length = start.remaining().saturating_sub(self.remaining());
        start.rest.get(..length).unwrap_or_default()
    }

    /// One byte.
    #[inline]
    pub(super) fn u8(&mut self, reading: &'static str) -> Result<u8, DecodeError> {
        self.array(reading).map(u8::from_be_bytes)
    }

    /// An unsigned number of 16 bits.
    #[inline]
    pub(super) fn u16(&mut self, reading: &'static str) -> Result<u16, DecodeError> {
        self.array(reading).map(u16::from_be_bytes)
    }

    /// An unsigned number of 32 bits.
    #[inline]
    pub(super) fn u32(&mut self, reading: &'static str) -> Result<u32, DecodeError> {
        self.array(reading).map(u32::from_be_bytes)
    }

    /// A signed number of 32 bits.
    #[inline]
    pub(super) fn i32(&mut self, reading: &'static str) -> Result<i32, DecodeError> {
        self.array(reading).map(i32::from_be_bytes)
    }

    /// An unsigned number of 64 bits.
    #[inline]
    pub(super) fn u64(&mut self, reading: &'static str) -> Result<u64, DecodeError> {
        self.array(reading).map(u64::from_be_bytes)
    }

    /// A signed number of 64 bits.
    #[inline]
    pub(super) fn i64(&mut self, reading: &'static str) -> Result<i64, DecodeError> {
        self.array(reading).map(i64::from_be_bytes)
    }

    /// A length or count: on the wire a signed number of 32 bits, here not negative.
    ///
    /// It is what the peer claims, not yet what the message holds.
    #[inline]
    pub(super) fn length(&mut self, reading: &'static str) -> Result<usize, DecodeError> {
        let before = *self;
        let value = self.i32(reading)?;
        usize::try_from(value).map_err(|_| {
            *self = before;
            DecodeError::Negative { reading, offset: before.offset(), value }
        })
    }

    /// The next `count` bytes.
    #[inline]
    pub(super) fn bytes(&mut self, count: usize, reading: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.ends_early(count, reading)),
        }
    }

    /// The next `count` blocks of `N` bytes each.
    pub(super) fn blocks<const N: usize>(
        &mut self,
        count: usize,
        reading: &'static str,
    ) -> Result<&'a [[u8; N]], DecodeError> {
        // A count too large for the product is too large for the message as well.
        let (blocks, _none) = self.bytes(count.saturating_mul(N), reading)?.as_chunks();
        Ok(blocks)
    }

    /// The text before the next zero byte; the zero byte is read, too.
    pub(super) fn cstring(&mut self, reading: &'static str) -> Result<&'a str, DecodeError> {
        let offset = self.offset();
        let mut rest = self.rest.splitn(2, |&byte| byte == 0);
        let (Some(text), Some(rest)) = (rest.next(), rest.next()) else {
            return Err(DecodeError::Unterminated { reading, offset });
        };
        let text = str::from_utf8(text).map_err(|_| DecodeError::NotUtf8 { reading, offset })?;
        self.rest = rest;
        Ok(text)
    }

    /// Makes sure that at least `needed` bytes are still to be read.
    pub(super) fn expect(&self, needed: usize, reading: &'static str) -> Result<(), DecodeError> {
        if needed > self.remaining() { Err(self.ends_early(needed, reading)) } else { Ok(()) }
    }

    /// The end of the message: whatever is left is an error.
    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TooLong { offset: self.offset(), count: self.remaining() })
        }
    }

    /// The next `N` bytes, by value.
    #[inline]
    fn array<const N: usize>(&mut self, reading: &'static str) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.ends_early(N, reading)),
        }
    }

    /// The error that `needed` bytes from here on are more than there are.
    #[cold]
    fn ends_early(&self, needed: usize, reading: &'static str) -> DecodeError {
        DecodeError::EndsEarly { reading, offset: self.offset(), needed, left: self.remaining() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_big_endian_and_follow_one_another() {
        let mut wire = vec![0x01];
        wire.extend(0x0203_u16.to_be_bytes());
        wire.extend(0x0405_0607_u32.to_be_bytes());
        wire.extend((-2_i32).to_be_bytes());
        wire.extend(0x08090A0B_0C0D0E0F_u64.to_be_bytes());
        wire.extend((-3_i64).to_be_bytes());
        let mut reader = Reader::new(&wire);
        assert_eq!(reader.u8("a"), Ok(0x01));
        assert_eq!(reader.u16("b"), Ok(0x0203));
        assert_eq!(reader.u32("c"), Ok(0x0405_0607));
        assert_eq!(reader.i32("d"), Ok(-2));
        assert_eq!(reader.u64("e"), Ok(0x08090A0B_0C0D0E0F));
        assert_eq!(reader.i64("f"), Ok(-3));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_number_cut_short_says_where_and_what_is_missing() {
        let mut reader = Reader::new(&[0, 0, 0, 7, 1, 2]);
        assert_eq!(reader.u32("id"), Ok(7));
        let error = DecodeError::EndsEarly { reading: "flags", offset: 4, needed: 8, left: 2 };
        assert_eq!(reader.u64("flags"), Err(error));
        assert_eq!(error.to_string(), "cannot read the flags at byte 4: 2 of 8 bytes are there");
        assert_eq!(reader.u16("two"), Ok(0x0102), "a failed read takes nothing");
    }

    #[test]
    fn a_negative_length_is_not_a_length() {
        let mut reader = Reader::new(&[0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(reader.length("size"), Err(DecodeError::Negative { reading: "size", offset: 0, value: -1 }));
        assert_eq!(reader.i32("size"), Ok(-1), "a failed read takes nothing");
    }

    #[test]
    fn a_string_ends_at_its_zero_byte() {
        let mut reader = Reader::new(b"\0caf\xC3\xA9\0rest");
        assert_eq!(reader.cstring("empty"), Ok(""));
        assert_eq!(reader.cstring("name"), Ok("café"));
        assert_eq!(reader.remaining(), 4);
        assert_eq!(reader.cstring("open"), Err(DecodeError::Unterminated { reading: "open", offset: 7 }));
        assert_eq!(reader.finish(), Err(DecodeError::TooLong { offset: 7, count: 4 }));
    }

    #[test]
    fn a_string_in_another_encoding_is_refused() {
        let mut reader = Reader::new(b"caf\xE9\0");
        assert_eq!(reader.cstring("name"), Err(DecodeError::NotUtf8 { reading: "name", offset: 0 }));
        assert_eq!(reader.remaining(), 5, "a failed read takes nothing");
    }

    proptest! {
        #[test]
        fn bytes_are_taken_whole_or_not_at_all(wire: Vec<u8>, count: usize) {
            for count in [count, count % (wire.len() + 2)] {
                let mut reader = Reader::new(&wire);
                match reader.bytes(count, "value") {
                    Ok(taken) => {
                        prop_assert_eq!(taken, &wire[..count]);
                        prop_assert_eq!(reader.since(Reader::new(&wire)), taken);
                        prop_assert_eq!(reader.remaining(), wire.len() - count);
                    }
                    Err(error) => {
                        let left = wire.len();
                        let expected = DecodeError::EndsEarly { reading: "value", offset: 0, needed: count, left };
                        prop_assert_eq!(error, expected);
                        prop_assert!(count > left);
                    }
                }
            }
        }
    }
}
