//! Events that the stream may lack although it holds later ones; pure.
//!
//! The broker takes a message if the stream ends at the sequence that the message expects. When a message of somebody
//! else takes the place of one of ours that is on its way, ours is refused; but the one behind it finds the sequence that
//! it expects, and is stored: the first one was displaced. With one replica a message names the id of the one before it,
//! and the broker refuses it. Elsewhere it names the place of the one before it, which the broker does not look at, but
//! whoever reads the stream back: where another event stands before it, the events between the two are missing.
//! A message that was sent when everything before it had been answered names none; nothing can be missing before it.
//!
//! The stream is read backwards, from its end to what is known to be whole. A displaced event that is found in the log
//! goes to the end of the stream. Its message carries the position that the stream ended with before, so that the
//! stream stays a checkpoint, and its own place beside it.

use std::{collections::BTreeSet, ops::ControlFlow};

use super::watermark::Stored;
use crate::{lsn::Lsn, position::Place, publish::Depth};

/// Where events may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Each behind the first place and before the second one; without a first place, from the beginning on.
    open: Vec<(Option<Place>, Place)>,
    /// Events that were displaced, and went to the end since.
    filled: BTreeSet<Place>,
}

/// How far back everything is known to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The stream holds every event up to this one. The message of that sequence is the last of them, or somebody else's
    /// behind it.
    pub stored: Option<Stored>,
    /// It holds every event that committed before this position.
    pub confirmed: Lsn,
}

/// A message of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An event, or a dead letter.
    Event {
        /// The stream holds everything up to here with this message.
        checkpoint: Place,
        /// Its own place, if it was displaced and went to the end.
        displaced: Option<Place>,
        /// What the stream was whole up to before it, as its sender hoped.
        previous: Option<Place>,
    },
    /// An event of another log, or one that a failover lost.
    OfAnotherLog,
    /// Somebody else's.
    Foreign,
}

/// The way back through the stream.
#[derive(Clone, Debug)]
pub struct WayBack {
    known: Known,
    gaps: Gaps,
    /// The event that was seen last, the next one in the stream, and which one should stand before it.
    next: Option<(Place, Place)>,
}

impl Gaps {
    /// Whether the stream lacks the event at this place, as far as the messages tell.
    pub fn hold(&self, place: Place) -> bool {
        let lies_in =
            |&(after, before): &(Option<Place>, Place)| after.is_none_or(|after| after < place) && place < before;
        self.open.iter().any(lies_in) && !self.filled.contains(&place)
    }

    /// Whether nothing can be missing.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

impl WayBack {
    /// Before the last message.
    pub fn new(known: Known) -> Self {
        Self { known, gaps: Gaps::default(), next: None }
    }

    /// Looks at the message before those that were seen. Breaks at one up to which everything is known to be there.
    pub fn look(&mut self, sequence: u64, seen: Seen) -> ControlFlow<()> {
        match seen {
            Seen::Foreign => {}
            // Nothing before it is in the log that we read.
            Seen::OfAnotherLog => return ControlFlow::Break(()),
            Seen::Event { checkpoint, .. } if self.is_known(sequence, checkpoint) => {
                self.pass(checkpoint);
                return ControlFlow::Break(());
            }
            Seen::Event { checkpoint, displaced, previous } => {
                self.pass(checkpoint);
                self.next = previous.map(|previous| (checkpoint, previous));
                self.gaps.filled.extend(displaced);
            }
        }
        ControlFlow::Continue(())
    }

    /// Where events may be missing, when the stream was read back as far as said.
    pub fn end(mut self, depth: Depth) -> Gaps {
        let before = self.known.stored.map(|stored| stored.place);
        // Of messages that are gone nobody knows what they were.
        let is_unknown = depth == Depth::Enough || (depth == Depth::Cut && before.is_none());
        if let Some((next, previous)) = self.next.filter(|_| !is_unknown)
            && before != Some(previous)
        {
            self.gaps.open.push((before, next));
        }
        self.gaps
    }

    fn is_known(&self, sequence: u64, checkpoint: Place) -> bool {
        let Known { stored, confirmed } = self.known;
        checkpoint.commit_lsn < confirmed || stored.is_some_and(|stored| sequence <= stored.sequence)
    }

    /// The stream is whole up to here by its own account.
    fn pass(&mut self, place: Place) {
        if let Some((next, previous)) = self.next.take()
            && previous != place
        {
            self.gaps.open.push((Some(place), next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: u32) -> Place {
        Place { commit_lsn: Lsn::new(100), index }
    }

    /// Which of the events 0 to 9 may be missing, when the stream reads so from its first message on: a number is an
    /// event, behind the number after `<`; `x` is somebody else's; `+` before a number an event that went to the end.
    fn missing(messages: &str, known: Known, depth: Depth) -> Vec<u32> {
        let number = |text: &str| place(text.parse().unwrap());
        let mut way = WayBack::new(known);
        let mut checkpoint = place(0);
        let seen: Vec<Seen> = messages
            .split_whitespace()
            .map(|word| {
                let (word, previous) =
                    word.split_once('<').map_or((word, None), |(word, previous)| (word, Some(number(previous))));
                match word.strip_prefix('+') {
                    Some(own) => Seen::Event { checkpoint, displaced: Some(number(own)), previous },
                    None if word == "x" => Seen::Foreign,
                    None => {
                        checkpoint = number(word);
                        Seen::Event { checkpoint, displaced: None, previous }
                    }
                }
            })
            .collect();
        let mut back = seen.iter().enumerate().rev();
        let is_broken_off = back.any(|(index, seen)| way.look(index as u64 + 1, *seen).is_break());
        let gaps = way.end(if is_broken_off { Depth::Enough } else { depth });
        (0..10).filter(|event| gaps.hold(place(*event))).collect()
    }

    fn all_missing(messages: &str) -> Vec<u32> {
        missing(messages, Known::default(), Depth::Cut)
    }

    #[test]
    fn where_each_message_stands_behind_the_one_that_it_names_nothing_is_missing() {
        for messages in ["1 2<1 5<2", "", "x x", "1 x 2<1 x", "1 x 3", "1 5 6<5"] {
            for depth in [Depth::Whole, Depth::Cut] {
                assert_eq!(missing(messages, Known::default(), depth), [0; 0], "{messages}");
            }
        }
    }

    #[test]
    fn where_another_one_stands_before_it_events_are_missing() {
        assert_eq!(all_missing("1 x 3<2 4<3"), [2]);
        assert_eq!(all_missing("1 2<1 x x 6<5 7<6 x 9<8 x"), [3, 4, 5, 8]);
        assert_eq!(all_missing("1 3<2"), [2], "two leaders whose messages expect different sequences");
    }

    #[test]
    fn what_went_to_the_end_is_not_missing_and_displaces_others_like_any_message() {
        assert_eq!(all_missing("1 x 4<3 +2"), [3]);
        assert_eq!(all_missing("1 x 4<3 +2 +3<4 5<4"), [0; 0]);
        assert_eq!(all_missing("1 x 4<3 +2 +3<4 6<5"), [5]);
    }

    #[test]
    fn before_the_first_of_ours_it_depends_on_what_is_known() {
        assert_eq!(missing("x 3<2 4<3", Known::default(), Depth::Whole), [0, 1, 2], "nothing was ever there");
        assert_eq!(missing("x 3<2 4<3", Known::default(), Depth::Cut), [0; 0], "nobody knows what is gone");
        let known = |index| Known { stored: Some(Stored { place: place(index), sequence: 0 }), confirmed: Lsn::ZERO };
        for depth in [Depth::Whole, Depth::Cut] {
            assert_eq!(missing("x 3<2 4<3", known(1), depth), [2]);
            assert_eq!(missing("x 3<2 4<3", known(2), depth), [0; 0]);
        }
    }

    #[test]
    fn the_way_ends_with_an_event_up_to_which_all_is_known() {
        let by_sequence = |sequence| Known { stored: Some(Stored { place: place(3), sequence }), confirmed: Lsn::ZERO };
        let messages = "1 x 3<2 x x 6<5 x 8<7";
        assert_eq!(missing(messages, by_sequence(3), Depth::Whole), [4, 5, 7]);
        assert_eq!(missing(messages, by_sequence(5), Depth::Whole), [4, 5, 7], "a message of others was the last one");
        assert_eq!(
            missing("1 x 3<2 +2 x 6<5", by_sequence(4), Depth::Whole),
            [4, 5],
            "behind one that went to the end"
        );
        let by_position = |lsn| Known { stored: None, confirmed: Lsn::new(lsn) };
        assert_eq!(missing(messages, by_position(100), Depth::Whole), [2, 4, 5, 7]);
        assert_eq!(missing(messages, by_position(101), Depth::Whole), [0; 0]);
    }
}
