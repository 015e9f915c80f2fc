//! The headers of a message as one piece of text, in the order in which they go over the wire.
//!
//! The client's own [`HeaderMap`] costs a hash and three allocations a header, which was a third of all the time that an
//! event took in this process. A block is written once, into one string, and handed to the client as the value of its
//! first header, line ends and all. `HeaderValue::from_str` refuses that, rightly, since values come from anywhere;
//! [`HeaderBlock::add`] refuses them one by one instead. A client that takes no such value gets the headers singly.

use std::{str::FromStr, sync::LazyLock};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, de::IntoDeserializer};

/// The first header of every block.
pub(super) const MSG_ID: &str = "Nats-Msg-Id";

/// `NATS/1.0` and the two line ends that frame the headers.
const FRAME_BYTES: usize = 12;
const SEPARATOR: &str = ": ";
const LINE_END: &str = "\r\n";
/// What the headers of most events fit in, so that the text seldom moves while it grows.
const USUAL_BYTES: usize = 640;

/// Whether the client takes a value of several lines.
static LINES_PASS: LazyLock<bool> = LazyLock::new(|| unchecked("a\r\nb: c".to_owned()).is_some());

/// Headers, the message's id first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderBlock {
    /// The id, then each header behind a line end.
    text: String,
    id_bytes: usize,
}

/// A name or a value holds a line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineEnd;

impl HeaderBlock {
    /// The headers of a message with this id.
    pub(super) fn new(id: &str) -> Result<Self, LineEnd> {
        refuse_line_end(id)?;
        let mut text = String::with_capacity(USUAL_BYTES);
        text.push_str(id);
        Ok(Self { text, id_bytes: id.len() })
    }

    /// Adds a header. One of the same name may be there already; then there are both.
    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), LineEnd> {
        refuse_line_end(name)?;
        refuse_line_end(value)?;
        for part in [LINE_END, name, SEPARATOR, value] {
            self.text.push_str(part);
        }
        Ok(())
    }

    /// The message's id.
    pub(super) fn id(&self) -> &str {
        self.text.get(..self.id_bytes).unwrap_or_default()
    }

    /// The size on the wire.
    pub(super) fn bytes(&self) -> usize {
        FRAME_BYTES + MSG_ID.len() + SEPARATOR.len() + self.text.len() + LINE_END.len()
    }

    /// The size on the wire with one more header.
    pub(super) fn bytes_with(&self, name: &str, value: &str) -> usize {
        self.bytes() + name.len() + SEPARATOR.len() + value.len() + LINE_END.len()
    }

    /// Every header.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.text.get(self.id_bytes..).unwrap_or_default().split(LINE_END);
        std::iter::once((MSG_ID, self.id())).chain(others.filter_map(|line| line.split_once(SEPARATOR)))
    }

    /// What the client takes.
    pub(super) fn into_map(self) -> HeaderMap {
        if !*LINES_PASS {
            return self.singly();
        }
        let mut map = HeaderMap::new();
        map.insert(HeaderName::from_static(MSG_ID), unchecked(self.text).unwrap_or_default());
        map
    }

    /// Each header by itself. Whoever adds headers lets only such names and values through as the client takes.
    fn singly(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.iter() {
            match (HeaderName::from_str(name), HeaderValue::from_str(value)) {
                (Ok(name), Ok(value)) => map.append(name, value),
                _ => debug_assert!(false, "the client refuses a header that passed every rule: {name:?}"),
            }
        }
        map
    }
}

/// A value as it is. What the client would read back from a store it does not check.
fn unchecked(text: String) -> Option<HeaderValue> {
    let text: serde::de::value::StringDeserializer<serde::de::value::Error> = text.into_deserializer();
    HeaderValue::deserialize(text).ok()
}

fn refuse_line_end(text: &str) -> Result<(), LineEnd> {
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_some() { Err(LineEnd) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(id: &str, headers: &[(&str, &str)]) -> HeaderBlock {
        let mut block = HeaderBlock::new(id).unwrap();
        for (name, value) in headers {
            block.add(name, value).unwrap();
        }
        block
    }

    #[test]
    fn the_client_takes_a_block_as_one_value() {
        // If this fails, the client has begun to check: all still works, and an event costs a third more.
        assert!(*LINES_PASS);
        let map = block("7", &[("A", "1"), ("B", "2"), ("A", "3")]).into_map();
        assert_eq!((map.len(), map.get(MSG_ID).unwrap().as_str()), (1, "7\r\nA: 1\r\nB: 2\r\nA: 3"));
    }

    #[test]
    fn a_client_that_takes_no_lines_gets_each_header_by_itself() {
        let map = block("7", &[("A", "1"), ("B", ""), ("A", "3")]).singly();
        let values = |name| map.get_all(name).map(HeaderValue::as_str).collect::<Vec<_>>();
        assert_eq!((values(MSG_ID), values("A"), values("B")), (vec!["7"], vec!["1", "3"], vec![""]));
    }

    #[test]
    fn no_name_and_no_value_ends_a_line() {
        for bad in ["a\rb", "\n", "a\r\n", "x\r\nNats-Msg-Id: 8"] {
            assert_eq!(HeaderBlock::new(bad), Err(LineEnd));
            let mut headers = block("7", &[]);
            assert_eq!((headers.add("A", bad), headers.add(bad, "1")), (Err(LineEnd), Err(LineEnd)));
            assert_eq!(headers, block("7", &[]), "nothing of it was added");
        }
    }

    proptest! {
        #[test]
        fn what_was_added_is_read_back_and_counted(
            id in "[^\r\n]{0,40}",
            headers in prop::collection::vec(("[!-9;-~]{1,20}", "[^\r\n]{0,40}"), 0..12),
        ) {
            let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            let block = block(&id, &pairs);
            let expected: Vec<_> = std::iter::once((MSG_ID, &*id)).chain(pairs.iter().copied()).collect();
            prop_assert_eq!(block.iter().collect::<Vec<_>>(), expected.clone());
            let wire: String = expected.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            prop_assert_eq!(block.bytes(), format!("NATS/1.0\r\n{wire}\r\n").len());
            prop_assert_eq!(block.bytes_with("Name", "value"), block.bytes() + "Name: value\r\n".len());
        }
    }
}
