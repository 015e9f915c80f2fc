//! The `headers` column, a JSON object, as headers of the message.
//!
//! Input: JSON text. Output: pairs of name and value, given one by one to a sink, in the order of the text, and a report
//! of what was left out. Whatever the text is, the event itself is published.
//!
//! - A string is given as it is; any other value as compact JSON, on one line, its keys in order and its digits kept.
//! - `null` means that there is no such header: it is left out and not counted. So is everything if the whole column is
//!   JSON `null`, or an empty object.
//! - A key that occurs twice, which `json` and text allow, gives two headers of that name. `jsonb` has kept the last.
//! - In text that turns out not to be JSON, what came before that place has been given.
//!
//! Nothing recurses, so depth costs nothing; strings without escapes and short values are not copied.

use super::Traceable;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::{error::Category, value::RawValue};
use std::{borrow::Cow, fmt};

mod checked;
mod compact;
mod rules;

pub use checked::{HeaderName, HeaderText};
use compact::compact;
pub use rules::{DropReason, MAX_VALUE_BYTES, check_value};

/// Gives each header of the JSON text that may be sent to `sink`, as name and value; reports the others.
pub fn for_each_header(json: &[u8], sink: impl FnMut(HeaderName<'_>, HeaderText<&str>)) -> Dropped {
    if json == b"{}" {
        return Dropped::default();
    }
    let mut sieve = Sieve { sink, dropped: Dropped::default(), count: 0, bytes: 0, scratch: String::new() };
    let mut text = serde_json::Deserializer::from_slice(json);
    if let Err(error) = text.deserialize_any(&mut sieve).and_then(|()| text.end()) {
        let reason = match error.classify() {
            Category::Data => DropReason::NotAnObject,
            Category::Io | Category::Syntax | Category::Eof => DropReason::Malformed,
        };
        sieve.dropped.add(reason, "");
    }
    sieve.dropped
}

/// What was left out of one event's headers, and why. Of nearly all events nothing is, and so it takes next to no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped(Option<Box<Report>>);

/// That something was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    /// How many headers, by the place of the reason in [`DropReason::ALL`].
    counts: [u32; DropReason::ALL.len()],
    /// The first reason.
    first_reason: DropReason,
    /// The name of the first header that was left out, escaped and cut; empty if the reason concerns no single header.
    first_name: String,
}

impl Dropped {
    /// Whether every header could be sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The reasons that occurred, with how often each did.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u32)> {
        let counts = self.0.as_ref().map(|report| report.counts).unwrap_or_default();
        DropReason::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// How many headers were left out.
    pub fn total(&self) -> u32 {
        self.iter().fold(0, |total, (_, count)| total.saturating_add(count))
    }

    /// The first one for a log line: its reason, and its name, printable and at most 64 characters; never its value.
    pub fn first(&self) -> Option<(DropReason, &str)> {
        self.0.as_ref().map(|report| (report.first_reason, report.first_name.as_str()))
    }

    /// Counts something; without a name if it concerns no single header.
    #[cold]
    fn add(&mut self, reason: DropReason, name: &str) {
        let report = self.0.get_or_insert_with(|| {
            let first_name = Traceable(name).to_string();
            Box::new(Report { counts: Default::default(), first_reason: reason, first_name })
        });
        for (candidate, count) in DropReason::ALL.into_iter().zip(&mut report.counts) {
            if candidate == reason {
                *count = count.saturating_add(1);
            }
        }
    }
}

/// Parts what may be sent from what may not, while the text is read.
struct Sieve<F> {
    /// Where good headers go.
    sink: F,
    /// What was left out so far.
    dropped: Dropped,
    /// How many headers were given to the sink; 0 to [`MAX_HEADERS`].
    count: usize,
    /// How many bytes those take on the wire; 0 to [`MAX_HEADERS_BYTES`].
    bytes: usize,
    /// Room for a value that must be rewritten, used again for the next.
    scratch: String,
}

impl<F: FnMut(HeaderName<'_>, HeaderText<&str>)> Sieve<F> {
    /// Judges one entry of the object.
    fn entry(&mut self, name: &str, raw: &RawValue) {
        if raw.get() == "null" {
            return;
        }
        if let Err(reason) = self.try_entry(name, raw.get()) {
            self.dropped.add(reason, name);
        }
    }

    /// Gives the entry to the sink, or says why not.
    fn try_entry(&mut self, name: &str, raw: &str) -> Result<(), DropReason> {
        let name = HeaderName::from_data(name)?;
        let value = value(raw, &mut self.scratch)?;
        let value = HeaderText::from_data(&value)?;
        if self.count == MAX_HEADERS {
            return Err(DropReason::TooMany);
        }
        let bytes = self.bytes.saturating_add(name.as_str().len() + value.as_str().len() + LINE_BYTES);
        if bytes > MAX_HEADERS_BYTES {
            return Err(DropReason::TooLarge);
        }
        self.bytes = bytes;
        self.count += 1;
        (self.sink)(name, value);
        Ok(())
    }
}

/// The value of a header from one JSON value.
fn value<'a>(raw: &'a str, scratch: &'a mut String) -> Result<Cow<'a, str>, DropReason> {
    if let Some(inside) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        if !inside.contains('\\') {
            return Ok(Cow::Borrowed(inside));
        }
        if inside.len() > MAX_VALUE_BYTES * LONGEST_ESCAPE {
            return Err(DropReason::TooLarge);
        }
        return serde_json::from_str(raw).map(Cow::Owned).map_err(|_| DropReason::Malformed);
    }
    if !raw.starts_with(['{', '[']) {
        return Ok(Cow::Borrowed(raw));
    }
    scratch.clear();
    if compact(raw, MAX_VALUE_BYTES, scratch) { Ok(Cow::Borrowed(scratch)) } else { Err(DropReason::TooLarge) }
}

impl<'de, F: FnMut(HeaderName<'_>, HeaderText<&str>)> Visitor<'de> for &mut Sieve<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some((Name(name), raw)) = object.next_entry::<Name<'de>, &'de RawValue>()? {
            self.entry(&name, raw);
        }
        Ok(())
    }
}

/// A key, borrowed from the text if nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// How many headers a row may add: real messages carry a handful; more would be data in the wrong column.
pub const MAX_HEADERS: usize = 64;

/// How many bytes the headers of a row may take on the wire: half of the 64 KiB that the server allows a message (error
/// 10097), so that walpost's own always find room.
pub const MAX_HEADERS_BYTES: usize = 32 * 1024;

/// What a header takes on the wire besides name and value: colon, blank, CR, LF.
const LINE_BYTES: usize = 4;

/// How many bytes of JSON one byte of a value can take: `\u0041`.
const LONGEST_ESCAPE: usize = 6;

#[cfg(test)]
mod tests;
