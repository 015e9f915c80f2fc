//! The headers of a message as one piece of text, in the order in which they go over the wire.
//!
//! The client's own [`HeaderMap`] costs a hash and three allocations a header, which was a third of all the time that an
//! event took in this process. A block is written once, into one string, and handed to the client as the value of its
//! first header, line ends and all. `HeaderValue::from_str` refuses that, rightly, since values come from anywhere; a block
//! is made of nothing but texts that were looked at, numbers, places and times, none of which ends a line. A client that
//! takes no such value gets the headers singly.

use std::{str::FromStr, sync::LazyLock};

use async_nats::{HeaderMap, HeaderValue};
use serde::{Deserialize, de::IntoDeserializer};

use crate::{
    outbox::{HeaderName, HeaderText, Timestamp},
    position::Place,
};

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

/// The end of the value that is written.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a mut String);

/// How much of a block there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

impl HeaderBlock {
    /// The headers of a message with this id.
    pub(super) fn new(id: HeaderText<&str>) -> Self {
        let mut text = String::with_capacity(USUAL_BYTES);
        text.push_str(id.as_str());
        Self { text, id_bytes: id.as_str().len() }
    }

    /// Adds a header. One of the same name may be there already; then there are both.
    pub(super) fn add(&mut self, name: HeaderName<'_>, value: HeaderText<&str>) {
        self.begin(name).text(value);
    }

    /// Begins a header, whose value is written next.
    pub(super) fn begin(&mut self, name: HeaderName<'_>) -> Line<'_> {
        // One by one: the compiler makes next to nothing of those whose length it knows.
        self.text.push_str(LINE_END);
        self.text.push_str(name.as_str());
        self.text.push_str(SEPARATOR);
        Line(&mut self.text)
    }

    /// What there is now, for [`HeaderBlock::cut_back`].
    pub(super) fn mark(&self) -> Mark {
        Mark(self.text.len())
    }

    /// Takes away what was added since.
    pub(super) fn cut_back(&mut self, Mark(bytes): Mark) {
        self.text.truncate(bytes);
    }

    /// The message's id.
    pub(super) fn id(&self) -> HeaderText<&str> {
        HeaderText::again(self.text.get(..self.id_bytes).unwrap_or_default())
    }

    /// The size on the wire.
    pub(super) fn bytes(&self) -> usize {
        FRAME_BYTES + MSG_ID.len() + SEPARATOR.len() + self.text.len() + LINE_END.len()
    }

    /// Every header.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.text.get(self.id_bytes..).unwrap_or_default().split(LINE_END);
        std::iter::once((MSG_ID, self.text.get(..self.id_bytes).unwrap_or_default()))
            .chain(others.filter_map(|line| line.split_once(SEPARATOR)))
    }

    /// What the client takes.
    pub(super) fn into_map(self) -> HeaderMap {
        if !*LINES_PASS {
            return self.singly();
        }
        let mut map = HeaderMap::new();
        map.insert(async_nats::HeaderName::from_static(MSG_ID), unchecked(self.text).unwrap_or_default());
        map
    }

    /// Each header by itself. Whoever adds headers lets only such names and values through as the client takes.
    fn singly(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.iter() {
            match (async_nats::HeaderName::from_str(name), HeaderValue::from_str(value)) {
                (Ok(name), Ok(value)) => map.append(name, value),
                _ => debug_assert!(false, "the client refuses a header that passed every rule: {name:?}"),
            }
        }
        map
    }
}

impl Line<'_> {
    /// Text.
    pub(super) fn text(&mut self, text: HeaderText<&str>) -> &mut Self {
        self.0.push_str(text.as_str());
        self
    }

    /// A number.
    pub(super) fn number(&mut self, number: u64) {
        self.0.push_str(itoa::Buffer::new().format(number));
    }

    /// A place in the log.
    pub(super) fn place(&mut self, place: Place) {
        place.write(self.0);
    }

    /// A moment.
    pub(super) fn moment(&mut self, moment: Timestamp) {
        moment.write(self.0);
    }
}

/// A value as it is. What the client would read back from a store it does not check.
fn unchecked(text: String) -> Option<HeaderValue> {
    let text: serde::de::value::StringDeserializer<serde::de::value::Error> = text.into_deserializer();
    HeaderValue::deserialize(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lsn::Lsn;

    fn text(text: &str) -> HeaderText<&str> {
        HeaderText::from_data(text).unwrap()
    }

    fn block(id: &str, headers: &[(&str, &str)]) -> HeaderBlock {
        let mut block = HeaderBlock::new(text(id));
        for (name, value) in headers {
            block.add(HeaderName::from_data(name).unwrap(), text(value));
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
    fn a_value_is_written_in_pieces() {
        let mut headers = block("7", &[]);
        let place = Place { commit_lsn: Lsn::new(0x1_0000_002B), index: 4 };
        headers.begin(HeaderName::own("A")).text(text("x:")).place(place);
        headers.begin(HeaderName::own("B")).number(41);
        headers.begin(HeaderName::own("C")).moment(Timestamp::from_postgres_us(1).unwrap());
        let expected = [("A", "x:1/2B:4"), ("B", "41"), ("C", "2000-01-01T00:00:00.000001Z")];
        assert_eq!(headers.iter().skip(1).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn what_was_added_is_read_back_and_counted(
            id in "[!-~&&[^N]]{1,40}",
            headers in prop::collection::vec(("x[!-9;-~&&[^N]]{0,20}", "([!-~ąż🦀&&[^N]]([ -~ąż🦀&&[^N]]{0,38}[!-~])?)?"), 0..12),
        ) {
            let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            let mut block = block(&id, &pairs);
            let expected: Vec<_> = std::iter::once((MSG_ID, &*id)).chain(pairs.iter().copied()).collect();
            prop_assert_eq!(block.iter().collect::<Vec<_>>(), expected.clone());
            let wire: String = expected.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            prop_assert_eq!(block.bytes(), format!("NATS/1.0\r\n{wire}\r\n").len());
            let (before, bytes, mark) = (block.clone(), block.bytes(), block.mark());
            block.add(HeaderName::own("Name"), text("value"));
            prop_assert_eq!(block.bytes(), bytes + "Name: value\r\n".len());
            block.cut_back(mark);
            prop_assert_eq!(block, before);
        }
    }
}
