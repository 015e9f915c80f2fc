//! Which transactions a snapshot of Postgres shows; pure.

use crate::lsn::Lsn;

/// What the log gives of a transaction's id.
const LOWER_HALF: u64 = u32::MAX as u64;

/// A `pg_snapshot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visibility {
    text: String,
    /// The first transaction that had not begun, or not been seen to end.
    xmax: u64,
    /// Transactions before it that had not ended; they rise.
    running: Vec<u64>,
}

impl Visibility {
    /// Reads `xmin:xmax:xip,xip,...`, the server's text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (_xmin, xmax, running) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let numbers = running.split(',').filter(|number| !number.is_empty()).map(|number| number.parse().ok());
        Some(Self { text: text.to_owned(), xmax, running: numbers.collect::<Option<_>>()? })
    }

    /// The server's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it shows a transaction whose id has this lower half, as the log gives it; one of the two thousand million
    /// that are nearest.
    pub fn shows(&self, xid: u32) -> bool {
        let behind = self.xmax.wrapping_sub(u64::from(xid)) & LOWER_HALF;
        let is_later = behind == 0 || behind > u64::from(u32::MAX / 2);
        !is_later && self.running.binary_search(&self.xmax.wrapping_sub(behind)).is_err()
    }
}

/// Where the record ends that was inserted last, when `next` is where the next one goes. Behind a page's header, which is
/// larger on the first page of a segment, nothing can end: that record ended before it.
pub(super) fn end_of_records(next: Lsn, block_bytes: u64, segment_bytes: u64) -> Lsn {
    /// `SizeOfXLogShortPHD` and `SizeOfXLogLongPHD`
    /// (<https://github.com/postgres/postgres/blob/master/src/include/access/xlog_internal.h>).
    const HEADERS: [u64; 2] = [24, 40];
    let [short, long] = HEADERS;
    let lsn = next.as_u64();
    let is_behind = |unit: u64, header: u64| lsn.checked_rem(unit) == Some(header);
    let header = match () {
        () if is_behind(segment_bytes, long) => long,
        () if is_behind(block_bytes, short) => short,
        () => 0,
    };
    Lsn::new(lsn - header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str, xids: std::ops::Range<u32>) -> Vec<u32> {
        let snapshot = Visibility::parse(text).unwrap();
        xids.filter(|xid| snapshot.shows(*xid)).collect()
    }

    #[test]
    fn what_ended_before_the_snapshot_is_shown() {
        assert_eq!(shown("10:10:", 7..13), [7, 8, 9]);
        assert_eq!(shown("10:15:10,12", 8..18), [8, 9, 11, 13, 14]);
        assert_eq!(shown("4294967300:4294967305:4294967302", 2..12), [2, 3, 4, 5, 7, 8]);
    }

    #[test]
    fn what_is_no_snapshot_is_none() {
        for text in ["", "1", "1:2", "1:x:", "1:5:3,x"] {
            assert_eq!(Visibility::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_position_behind_the_header_of_a_page_is_that_of_the_page() {
        let end = |lsn| end_of_records(Lsn::new(lsn), 8192, 1 << 24).as_u64();
        assert_eq!(end(0x2000_0000), 0x2000_0000);
        assert_eq!(end(0x2000_2018), 0x2000_2000, "a page's header has 24 bytes");
        assert_eq!(end(0x2000_2028), 0x2000_2028, "40 bytes on a page are more than its header");
        assert_eq!(end(0x2000_0028), 0x2000_0000, "the first page's header has 40 bytes");
        assert_eq!(end(0x2000_2048), 0x2000_2048);
    }

    proptest! {
        /// As the server decides it, for ids of which the upper half is the same or the one before.
        #[test]
        fn lower_halves_are_enough(xmax in 1u64 << 32..1 << 33, back in 1u64..1 << 31, is_running: bool) {
            let xid = xmax - back;
            let text = format!("{xid}:{xmax}:{}", if is_running { xid.to_string() } else { String::new() });
            let snapshot = Visibility::parse(&text).unwrap();
            let lower = |xid: u64| u32::try_from(xid & LOWER_HALF).unwrap();
            prop_assert_eq!(snapshot.shows(lower(xid)), !is_running);
            prop_assert!(!snapshot.shows(lower(xmax + back - 1)));
        }
    }
}
