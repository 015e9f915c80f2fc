//! When an event was recorded, from the two wire forms of Postgres' timestamps.
//!
//! Binary: microseconds since 2000-01-01 as a signed 64-bit number, with the ends of its range as the two infinities
//! (`src/include/datatype/timestamp.h` in <https://github.com/postgres/postgres>). Text: the ISO form, which the
//! connection must ask for with `datestyle = ISO`.

use jiff::fmt::temporal::DateTimePrinter;
use std::fmt;

/// A moment between the years 1 and 9999, to the microsecond; printed in RFC 3339, UTC, with six decimals.
///
/// Postgres reaches further: infinities, years before our era and after 9999 have no RFC 3339 form. Such a value, and one
/// in the last day of 9999, becomes no timestamp (`None`), and the message goes without that header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

/// Text that is not a timestamp in the ISO form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotIso;

impl Timestamp {
    /// From the binary form, in microseconds since 2000-01-01 UTC; `None` if RFC 3339 has no form for it.
    pub fn from_postgres_us(us: i64) -> Option<Self> {
        if us == i64::MAX || us == i64::MIN {
            return None;
        }
        Self::printable(jiff::Timestamp::from_microsecond(us.checked_add(POSTGRES_EPOCH_US)?).ok()?)
    }

    /// From the text form, `2026-01-31 12:00:00.123456+02`; without an offset it is taken as UTC.
    pub(super) fn from_postgres_text(text: &str) -> Result<Option<Self>, NotIso> {
        if text == "infinity" || text == "-infinity" {
            return Ok(None);
        }
        if let Some(before_our_era) = text.strip_suffix(" BC") {
            return if is_iso_shaped(before_our_era) { Ok(None) } else { Err(NotIso) };
        }
        if year_digits(text) > 4 {
            return if is_iso_shaped(text) { Ok(None) } else { Err(NotIso) };
        }
        let pieces = jiff::fmt::temporal::Pieces::parse(text).map_err(|_| NotIso)?;
        let local = pieces.date().to_datetime(pieces.time().ok_or(NotIso)?);
        let offset = pieces.to_numeric_offset().unwrap_or(jiff::tz::Offset::UTC);
        Ok(offset.to_timestamp(local).ok().and_then(Self::printable))
    }

    /// Microseconds since 1970-01-01 UTC.
    pub fn as_unix_us(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Appends its text: what `to_string` gives, in a third of the time.
    pub fn write(self, out: &mut String) {
        // Writing to a String cannot fail.
        let _infallible = PRINTER.print_timestamp(&self.0, out);
    }

    /// Leaves out what has no four-digit year.
    fn printable(moment: jiff::Timestamp) -> Option<Self> {
        (moment.as_microsecond() >= FIRST_US).then_some(Self(moment))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

/// The form that is printed.
static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// How many digits the year has: those before the first hyphen.
fn year_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Whether a text looks like an ISO timestamp, for years that cannot be kept anyway: a year, a blank, nothing foreign.
fn is_iso_shaped(text: &str) -> bool {
    let is_foreign = |b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b':' | b'.' | b' ');
    year_digits(text) >= 4 && text.contains(' ') && !text.bytes().any(is_foreign)
}

/// 2000-01-01, in microseconds since 1970-01-01: 10,957 days.
const POSTGRES_EPOCH_US: i64 = 10_957 * 86_400 * 1_000_000;

/// 0001-01-01, in microseconds since 1970-01-01: 719,162 days before. Text says BC before it, so both forms end here.
const FIRST_US: i64 = -719_162 * 86_400 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(us: i64) -> Option<String> {
        Timestamp::from_postgres_us(us).map(|t| t.to_string())
    }

    fn read(text: &str) -> Result<Option<String>, NotIso> {
        Timestamp::from_postgres_text(text).map(|t| t.map(|t| t.to_string()))
    }

    #[test]
    fn the_binary_form_counts_from_2000() {
        assert_eq!(shown(0).as_deref(), Some("2000-01-01T00:00:00.000000Z"));
        assert_eq!(shown(1).as_deref(), Some("2000-01-01T00:00:00.000001Z"));
        assert_eq!(shown(-1).as_deref(), Some("1999-12-31T23:59:59.999999Z"));
        // select extract(epoch from timestamptz '2026-01-31 12:34:56.789012+00' - timestamptz '2000-01-01 00:00:00+00')
        assert_eq!(shown(823_178_096_789_012).as_deref(), Some("2026-01-31T12:34:56.789012Z"));
    }

    #[test]
    fn what_rfc_3339_cannot_say_gives_no_timestamp() {
        let first = FIRST_US - POSTGRES_EPOCH_US;
        assert_eq!(shown(first).as_deref(), Some("0001-01-01T00:00:00.000000Z"));
        for us in [i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, first - 1, 9_223_371_331_200_000_000 - 1] {
            assert_eq!(shown(us), None, "{us}");
        }
        for text in [
            "infinity",
            "-infinity",
            "0044-03-15 12:00:00+00 BC",
            "4714-11-24 00:00:00 BC",
            "294276-12-31 23:59:59.999999+00",
            "10000-01-01 00:00:00",
            "9999-12-31 23:59:59.999999-12",
            "0001-01-01 00:00:00+14",
        ] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn the_text_form_is_moved_to_utc() {
        for (text, expected) in [
            ("2026-01-31 12:34:56.789012+00", "2026-01-31T12:34:56.789012Z"),
            ("2026-01-31 12:34:56+02", "2026-01-31T10:34:56.000000Z"),
            ("2026-01-31 12:34:56.7-03:30", "2026-01-31T16:04:56.700000Z"),
            ("1883-11-18 12:03:57-04:56:02", "1883-11-18T16:59:59.000000Z"),
            ("2026-01-31 12:34:56.789012", "2026-01-31T12:34:56.789012Z"),
            ("0001-01-01 00:00:00", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-30 00:00:00+00", "9999-12-30T00:00:00.000000Z"),
        ] {
            assert_eq!(read(text), Ok(Some(expected.to_owned())), "{text}");
        }
    }

    #[test]
    fn other_date_styles_are_refused_not_guessed() {
        for text in [
            "",
            "now",
            "Sat Jan 31 12:34:56 2026 CET",
            "31/01/2026 12:34:56 CET",
            "01-31-2026 12:34:56",
            "2026-01-31",
            "BC",
            "00001",
            "2026 BC",
            " BC",
            "12345 x",
        ] {
            assert_eq!(read(text), Err(NotIso), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_number_and_any_text_give_an_answer(us: i64, text: String) {
            let _shown = shown(us);
            let _read = read(&text);
        }

        #[test]
        fn both_forms_of_a_moment_agree(us in -62_135_596_800_000_000_i64..253_402_000_000_000_000) {
            let binary = Timestamp::from_postgres_us(us - POSTGRES_EPOCH_US).unwrap();
            let mut appended = String::from("at ");
            binary.write(&mut appended);
            prop_assert_eq!(appended, format!("at {binary}"));
            prop_assert_eq!(binary.as_unix_us(), us);
            let text = binary.to_string().replace('T', " ").replace('Z', "+00");
            prop_assert_eq!(Timestamp::from_postgres_text(&text), Ok(Some(binary)));
        }
    }
}
