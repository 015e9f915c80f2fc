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

mod compact;
mod rules;

use compact::compact;
use rules::check_name;
pub use rules::{DropReason, MAX_VALUE_BYTES, check_value};

/// Gives each header of the JSON text that may be sent to `sink`, as name and value; reports the others.
pub fn for_each_header(json: &[u8], sink: impl FnMut(&str, &str)) -> Dropped {
    if json == b"{}" {
        return Dropped::default();
    }
    let mut sieve = Sieve { sink, dropped: Dropped::default(), count: 0, bytes: 0, scratch: String::new() };
    let mut text = serde_json::Deserializer::from_slice(json);
    if let Err(error) = text.deserialize_any(&mut sieve).and_then(|()| text.end()) {
        sieve.dropped.add(match error.classify() {
            Category::Data => DropReason::NotAnObject,
            Category::Io | Category::Syntax | Category::Eof => DropReason::Malformed,
        });
    }
    sieve.dropped
}

/// What was left out of one event's headers, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many headers, by the place of the reason in [`DropReason::ALL`].
    counts: [u32; DropReason::ALL.len()],
    /// The first reason.
    first_reason: Option<DropReason>,
    /// The name of the first header that was left out, escaped and cut; empty if the reason concerns no single header.
    first_name: String,
}

impl Dropped {
    /// Whether every header could be sent.
    pub fn is_empty(&self) -> bool {
        self.first_reason.is_none()
    }

    /// The reasons that occurred, with how often each did.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u32)> {
        DropReason::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// How many headers were left out.
    pub fn total(&self) -> u32 {
        self.counts.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// The first one for a log line: its reason, and its name, printable and at most 64 characters; never its value.
    pub fn first(&self) -> Option<(DropReason, &str)> {
        self.first_reason.map(|reason| (reason, self.first_name.as_str()))
    }

    /// Counts something without a name.
    fn add(&mut self, reason: DropReason) {
        self.first_reason.get_or_insert(reason);
        for (candidate, count) in DropReason::ALL.into_iter().zip(&mut self.counts) {
            if candidate == reason {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Counts one header.
    fn add_header(&mut self, reason: DropReason, name: &str) {
        if self.first_reason.is_none() {
            self.first_name = Traceable(name).to_string();
        }
        self.add(reason);
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

impl<F: FnMut(&str, &str)> Sieve<F> {
    /// Judges one entry of the object.
    fn entry(&mut self, name: &str, raw: &RawValue) {
        if raw.get() == "null" {
            return;
        }
        if let Err(reason) = self.try_entry(name, raw.get()) {
            self.dropped.add_header(reason, name);
        }
    }

    /// Gives the entry to the sink, or says why not.
    fn try_entry(&mut self, name: &str, raw: &str) -> Result<(), DropReason> {
        check_name(name)?;
        let value = value(raw, &mut self.scratch)?;
        check_value(&value)?;
        if self.count == MAX_HEADERS {
            return Err(DropReason::TooMany);
        }
        let bytes = self.bytes.saturating_add(name.len() + value.len() + LINE_BYTES);
        if bytes > MAX_HEADERS_BYTES {
            return Err(DropReason::TooLarge);
        }
        self.bytes = bytes;
        self.count += 1;
        (self.sink)(name, &value);
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

impl<'de, F: FnMut(&str, &str)> Visitor<'de> for &mut Sieve<F> {
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
