//! A model of a JetStream stream: what is stored, which ids are remembered, and what each publish is answered.
//!
//! `conformance` holds it against every installed nats-server.

use std::collections::{HashMap, VecDeque};

/// A message on its way to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    /// `Nats-Msg-Id`.
    pub(crate) id: Option<u64>,
    /// `Nats-Expected-Last-Sequence`.
    pub(crate) expected: Option<u64>,
    /// `Nats-Expected-Last-Msg-Id`.
    pub(crate) behind: Option<u64>,
    /// Whether `Nats-Expected-Stream` names this stream.
    pub(crate) is_for_us: bool,
    /// The event that it carries; none if somebody else wrote it.
    pub(crate) event: Option<u64>,
    /// The event up to which the stream holds all once it holds this message.
    pub(crate) checkpoint: Option<u64>,
    /// The event up to which the stream should hold all before this message, if it says so.
    pub(crate) previous: Option<u64>,
}

impl Publish {
    /// What somebody else writes.
    pub(crate) const FOREIGN: Self =
        Self { id: None, expected: None, behind: None, is_for_us: true, event: None, checkpoint: None, previous: None };
}

/// What the stream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Stored(u64),
    Duplicate(u64),
    /// JetStream's error number.
    Refused(u32),
}

/// A stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) id: Option<u64>,
    pub(crate) event: Option<u64>,
    pub(crate) checkpoint: Option<u64>,
    pub(crate) previous: Option<u64>,
    pub(crate) at: u64,
}

/// Where the stream ends, as walpost finds it: the last sequence, and the last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Empty,
    At { sequence: u64, event: u64 },
    Removed { sequence: u64 },
}

/// JetStream's error numbers.
pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10071;
pub(crate) const WRONG_LAST_ID: u32 = 10070;
pub(crate) const WRONG_STREAM: u32 = 10060;
pub(crate) const TOO_MANY_MESSAGES: u32 = 10077;

/// The stream. Time is in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    messages: VecDeque<Stored>,
    /// The sequence of the last message, there or not.
    pub(crate) last: u64,
    /// The id of the last message that was stored, if it has one.
    last_id: Option<u64>,
    /// Remembered ids, with the sequence of the message and the time.
    known: HashMap<u64, (u64, u64)>,
    /// For how long.
    window: u64,
    /// Whether a message that is out of line is refused although its id is known.
    pub(crate) asks_sequence_first: bool,
    /// How many events were removed in good order.
    gone: u64,
    /// How many messages it takes.
    pub(crate) limit: Option<usize>,
}

impl Stream {
    pub(crate) fn new(window: u64) -> Self {
        Self {
            messages: VecDeque::new(),
            last: 0,
            last_id: None,
            known: HashMap::new(),
            window,
            asks_sequence_first: false,
            gone: 0,
            limit: None,
        }
    }

    /// A message arrives.
    pub(crate) fn publish(&mut self, message: Publish, now: u64) -> Answer {
        if !message.is_for_us {
            return Answer::Refused(WRONG_STREAM);
        }
        let is_out_of_line = message.expected.is_some_and(|expected| expected != self.last);
        if is_out_of_line && self.asks_sequence_first {
            return Answer::Refused(WRONG_LAST_SEQUENCE);
        }
        if let Some((sequence, at)) = message.id.and_then(|id| self.known.get(&id)).copied()
            && at + self.window > now
        {
            return Answer::Duplicate(sequence);
        }
        if is_out_of_line {
            return Answer::Refused(WRONG_LAST_SEQUENCE);
        }
        if message.behind.is_some_and(|behind| self.last_id != Some(behind)) {
            return Answer::Refused(WRONG_LAST_ID);
        }
        if self.limit.is_some_and(|limit| self.messages.len() >= limit) {
            return Answer::Refused(TOO_MANY_MESSAGES);
        }
        self.last += 1;
        let Publish { id, event, checkpoint, previous, .. } = message;
        self.last_id = id;
        self.messages.push_back(Stored { sequence: self.last, id, event, checkpoint, previous, at: now });
        if let Some(id) = id {
            self.known.insert(id, (self.last, now));
        }
        Answer::Stored(self.last)
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many events there are or were, without those that were forgotten.
    pub(crate) fn events(&self) -> u64 {
        self.messages.iter().rev().find_map(|message| message.event).map_or(self.gone, |event| event + 1)
    }

    /// Where the stream ends: passes over messages of others, and stops where one is missing.
    pub(crate) fn end(&self) -> End {
        let mut sequence = self.last;
        for message in self.messages.iter().rev() {
            if message.sequence != sequence {
                break;
            }
            if let Some(event) = message.checkpoint {
                return End::At { sequence: self.last, event };
            }
            sequence -= 1;
        }
        if self.last == 0 { End::Empty } else { End::Removed { sequence: self.last } }
    }

    /// The messages, from the last one back.
    pub(crate) fn back(&self) -> impl Iterator<Item = Stored> {
        self.messages.iter().rev().copied()
    }

    /// Whether somebody else ever wrote to it, as far as it still has that.
    pub(crate) fn has_foreign(&self) -> bool {
        self.messages.iter().any(|message| message.event.is_none())
    }

    /// The id of the last message that was stored.
    pub(crate) fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// The message under this sequence is removed; whether it was there. Its id is still remembered.
    pub(crate) fn remove(&mut self, sequence: u64) -> bool {
        let place = self.messages.iter().position(|message| message.sequence == sequence);
        place.and_then(|place| self.messages.remove(place)).is_some()
    }

    /// The oldest message goes, unless it is the last event.
    pub(crate) fn remove_oldest_but_the_last(&mut self) {
        let has_later_event = self.messages.iter().skip(1).any(|message| message.event.is_some());
        if has_later_event && let Some(oldest) = self.messages.pop_front() {
            self.gone = oldest.event.map_or(self.gone, |event| event + 1);
        }
    }

    /// Every message goes; sequences go on.
    pub(crate) fn purge(&mut self) {
        self.messages.clear();
    }

    /// The server starts again: it remembers the ids of messages that are there and young enough.
    pub(crate) fn restart(&mut self, now: u64) {
        self.known.clear();
        // The last id is read from the last message, if that is still there.
        self.last_id = self.messages.back().filter(|message| message.sequence == self.last).and_then(|last| last.id);
        for message in &self.messages {
            if let Some(id) = message.id.filter(|_| message.at + self.window > now) {
                self.known.insert(id, (message.sequence, message.at));
            }
        }
    }

    /// This id is remembered no longer.
    pub(crate) fn forget_id(&mut self, id: u64) {
        self.known.remove(&id);
    }

    /// Nor is any other.
    pub(crate) fn forget_ids(&mut self) {
        self.known.clear();
    }

    /// The server comes back from a loss of power, without what it stored after `kept`; how many messages that were.
    pub(crate) fn forget_after(&mut self, kept: u64, now: u64) -> usize {
        let before = self.messages.len();
        while self.messages.back().is_some_and(|message| message.at > kept) {
            self.messages.pop_back();
            self.last -= 1;
        }
        self.last_id = self.messages.back().and_then(|message| message.id);
        self.restart(now);
        before - self.messages.len()
    }

    /// Without its last messages: what an answer says that is late.
    pub(crate) fn end_before(&self, messages: usize) -> End {
        let mut earlier = Self { known: HashMap::new(), ..self.clone() };
        for _ in 0..messages {
            if earlier.messages.pop_back().is_some() {
                earlier.last -= 1;
            }
        }
        earlier.end()
    }
}
