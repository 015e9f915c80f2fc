//! The watermark: what was confirmed to Postgres, as written down before the slot was told; pure.
//!
//! The stream says what is stored, and the slot says what is confirmed, but neither says who moved it. With the
//! watermark between them a slot that was moved or made anew, and a stream that was emptied, made anew or set back,
//! are told from those that we left behind. When one of them is met the answer is a refusal that names the difference.

use crate::{
    lsn::Lsn,
    position::{Place, Position, Source},
    publish::{StreamEnd, StreamIdentity},
    replication::TimelineHistory,
};

/// A position that may be confirmed, and the last event before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// The position; [`Lsn::ZERO`] until there is one.
    pub lsn: Lsn,
    /// The last event before it; none if there is none, or if the stream's order is not ours.
    pub event: Option<Stored>,
}

/// An event that the stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands in the log.
    pub place: Place,
    /// Its sequence in the stream.
    pub sequence: u64,
}

impl Stored {
    /// Whether a stream that ends so holds this event, to judge by its last one. A stream that was made anew does not: it
    /// counts from 1.
    pub fn is_reached_by(&self, end: &StreamEnd) -> bool {
        matches!(end, StreamEnd::At { sequence, position } if *sequence >= self.sequence && position.place >= self.place)
    }
}

/// What is written down, without whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// What was to be confirmed when it was written.
    pub confirmed: Confirmed,
    /// Up to where positions may be confirmed, as long as no event lies before them that is not in `confirmed`.
    pub ceiling: Lsn,
}

/// The watermark of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The log that was read.
    pub source: Source,
    /// The stream that was written.
    pub stream: StreamIdentity,
    /// How far.
    pub mark: Mark,
}

impl Mark {
    /// How much of `wish` it covers.
    pub fn covers(&self, wish: Confirmed) -> Lsn {
        let is_idle = wish.event == self.confirmed.event;
        let free = if is_idle { self.ceiling.max(self.confirmed.lsn) } else { self.confirmed.lsn };
        free.min(wish.lsn)
    }
}

impl Watermark {
    /// Whether it tells of this server. A copy of the database brings the row along, of another server's slot.
    pub fn is_of(&self, source: &Source) -> bool {
        self.source.system_id == source.system_id
    }

    /// Holds what the slot says was confirmed against what was.
    ///
    /// After a failover, what a standby had of the slot may be ahead of what it had of this row, but it had neither from
    /// behind the fork: a slot that stands there was made on the new primary.
    pub fn check_slot(&self, source: &Source, history: &TimelineHistory, confirmed: Lsn) -> Result<(), WatermarkError> {
        let is_same = self.source.timeline == source.timeline;
        let known = if is_same { Some(self.mark.ceiling) } else { history.end_of(self.source.timeline) };
        match known {
            Some(known) if confirmed > known => {
                Err(WatermarkError::SlotMoved { slot: source.slot.clone(), found: confirmed, known })
            }
            _ => Ok(()),
        }
    }

    /// Whether the stream is the one that was written, when it ends so. A stream of another name is somebody's choice.
    pub fn check_stream(&self, stream: &StreamIdentity, end: &StreamEnd) -> Result<(), WatermarkError> {
        if self.stream.is_again(stream) && !self.mark.confirmed.event.is_some_and(|event| event.is_reached_by(end)) {
            return Err(WatermarkError::StreamRecreated { stream: stream.name.clone() });
        }
        Ok(())
    }

    /// Where the stream ends, as far as both together know, for a stream whose order is ours.
    pub fn end_of(&self, stream: &StreamIdentity, end: StreamEnd) -> Result<StreamEnd, WatermarkError> {
        if self.stream.name == stream.name { self.known_end(end) } else { Ok(end) }
    }

    fn known_end(&self, end: StreamEnd) -> Result<StreamEnd, WatermarkError> {
        let Some(known) = self.mark.confirmed.event else { return Ok(end) };
        let forgot = || WatermarkError::StreamForgot { stream: self.stream.name.clone(), known: known.sequence };
        match end {
            StreamEnd::At { sequence, ref position } => {
                let is_before = position.source == self.source && position.place < known.place;
                if is_before || sequence < known.sequence { Err(forgot()) } else { Ok(end) }
            }
            StreamEnd::Empty => Err(forgot()),
            StreamEnd::Removed { sequence } if sequence < known.sequence => Err(forgot()),
            // The stream was emptied, and nothing was stored after what is written down: nothing is unknown.
            StreamEnd::Removed { sequence } if sequence == known.sequence => {
                Ok(StreamEnd::At { sequence, position: Position { source: self.source.clone(), place: known.place } })
            }
            StreamEnd::Removed { sequence } => Err(WatermarkError::StreamEmptied {
                stream: self.stream.name.clone(),
                known: known.sequence,
                last_sequence: sequence,
            }),
        }
    }
}

/// The slot or the stream is not as walpost left it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatermarkError {
    /// Somebody moved the slot, or dropped it and made it anew.
    #[error(
        "replication slot {slot:?} stands at {found}, and walpost never confirmed more than {known}: it was moved or \
         made anew, and events in between may never have been sent"
    )]
    SlotMoved {
        /// The slot.
        slot: String,
        /// What it says was confirmed.
        found: Lsn,
        /// What was.
        known: Lsn,
    },
    /// The stream was deleted and made anew.
    #[error("stream {stream:?} is not the one that walpost wrote: it was deleted and made anew")]
    StreamRecreated {
        /// The stream.
        stream: String,
    },
    /// The stream's last messages are gone, and whether there were more of them than is written down is unknown.
    #[error(
        "stream {stream:?} was emptied: message {known} is the last that walpost knows of, and {last_sequence} was stored"
    )]
    StreamEmptied {
        /// The stream.
        stream: String,
        /// The last sequence that is written down.
        known: u64,
        /// The last that was given.
        last_sequence: u64,
    },
    /// The stream ends before an event that was confirmed to Postgres.
    #[error(
        "stream {stream:?} ends before message {known}, whose event is confirmed to Postgres: the broker lost what it had \
         confirmed to store"
    )]
    StreamForgot {
        /// The stream.
        stream: String,
        /// The last sequence that is written down.
        known: u64,
    },
}

impl WatermarkError {
    /// What to do about it, when the watermark is a row of `table`.
    pub fn remedy(&self, table: &str, slot: &str) -> String {
        let go_on = format!("`DELETE FROM {table} WHERE slot = '{slot}';` to go on from where the slot stands");
        let anew = format!(
            "run `SELECT pg_drop_replication_slot('{slot}');`, then `walpost setup --existing-rows missing`, which makes the slot \
             anew and sends the rows that the stream does not hold"
        );
        match self {
            Self::SlotMoved { .. } => format!("{anew}; if none is missing, run {go_on}"),
            Self::StreamRecreated { .. } => {
                format!("see which events consumers lack, and insert them again; then run {go_on}")
            }
            Self::StreamEmptied { .. } => {
                format!("be ready for some events to be stored a second time; then run {go_on}")
            }
            Self::StreamForgot { .. } => {
                format!("set delivery.hold_back above the broker's sync_interval, {anew}; or run {go_on}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lsn: u64) -> Place {
        Place { commit_lsn: Lsn::new(lsn), index: 0 }
    }

    fn source() -> Source {
        Source { system_id: 7, timeline: 1, slot: "walpost".into() }
    }

    fn stream() -> StreamIdentity {
        StreamIdentity { name: "OUTBOX".into(), created_ns: 5 }
    }

    fn watermark() -> Watermark {
        let event = Some(Stored { place: place(90), sequence: 9 });
        let mark = Mark { confirmed: Confirmed { lsn: Lsn::new(100), event }, ceiling: Lsn::new(150) };
        Watermark { source: source(), stream: stream(), mark }
    }

    fn check_slot(confirmed: u64) -> Result<(), WatermarkError> {
        watermark().check_slot(&source(), &TimelineHistory::without_ancestors(1), Lsn::new(confirmed))
    }

    fn at(sequence: u64, lsn: u64) -> StreamEnd {
        StreamEnd::At { sequence, position: Position { source: source(), place: place(lsn) } }
    }

    fn end_of(end: StreamEnd) -> Result<StreamEnd, WatermarkError> {
        watermark().end_of(&stream(), end)
    }

    #[test]
    fn what_walpost_left_behind_is_admitted() {
        assert!(watermark().is_of(&source()));
        for confirmed in [0, 100, 150] {
            assert_eq!(check_slot(confirmed), Ok(()));
        }
        for end in [at(9, 90), at(12, 130)] {
            assert_eq!(end_of(end.clone()), Ok(end));
        }
    }

    #[test]
    fn a_slot_beyond_the_ceiling_was_moved() {
        let error = check_slot(151).unwrap_err();
        assert!(matches!(error, WatermarkError::SlotMoved { .. }), "{error}");
        let remedy = error.remedy("public.walpost_watermark", "walpost");
        assert!(remedy.contains("DELETE FROM public.walpost_watermark WHERE slot = 'walpost';"), "{remedy}");
    }

    #[test]
    fn a_standby_may_know_more_of_the_slot_than_of_the_watermark_and_nothing_from_behind_the_fork() {
        let promoted = Source { timeline: 2, ..source() };
        let history = TimelineHistory::parse(2, "1\t0/200\n").unwrap();
        let check = |confirmed| watermark().check_slot(&promoted, &history, Lsn::new(confirmed));
        assert_eq!((check(151), check(0x200)), (Ok(()), Ok(())));
        let moved =
            WatermarkError::SlotMoved { slot: "walpost".into(), found: Lsn::new(0x201), known: Lsn::new(0x200) };
        assert_eq!(check(0x201), Err(moved));
    }

    #[test]
    fn a_copy_of_the_database_brings_a_watermark_that_means_nothing() {
        assert!(!watermark().is_of(&Source { system_id: 8, ..source() }));
    }

    #[test]
    fn a_stream_that_is_another_is_told_from_one_that_was_made_anew() {
        let other = StreamIdentity { name: "OTHER".into(), created_ns: 6 };
        assert_eq!(watermark().check_stream(&other, &StreamEnd::Empty), Ok(()));
        assert_eq!(watermark().end_of(&other, StreamEnd::Empty), Ok(StreamEnd::Empty));
        let anew = StreamIdentity { created_ns: 6, ..stream() };
        for end in [StreamEnd::Empty, StreamEnd::Removed { sequence: 9 }, at(8, 90), at(9, 89)] {
            let outcome = watermark().check_stream(&anew, &end);
            assert!(matches!(outcome, Err(WatermarkError::StreamRecreated { .. })), "{end:?}");
        }
        assert_eq!(watermark().check_stream(&anew, &at(9, 90)), Ok(()), "some servers forget when they made it");
    }

    #[test]
    fn a_stream_that_ends_before_a_confirmed_event_forgot_it() {
        for end in [at(8, 89), at(8, 90), StreamEnd::Empty, StreamEnd::Removed { sequence: 8 }] {
            let outcome = end_of(end);
            assert!(matches!(outcome, Err(WatermarkError::StreamForgot { .. })), "{outcome:?}");
        }
    }

    #[test]
    fn an_emptied_stream_goes_on_if_its_last_event_is_written_down() {
        assert_eq!(end_of(StreamEnd::Removed { sequence: 9 }), Ok(at(9, 90)));
        let outcome = end_of(StreamEnd::Removed { sequence: 10 });
        assert!(matches!(outcome, Err(WatermarkError::StreamEmptied { .. })), "{outcome:?}");
    }

    #[test]
    fn positions_without_new_events_pass_up_to_the_ceiling_and_others_wait() {
        let mark = watermark().mark;
        let wish = |lsn, sequence| Confirmed {
            lsn: Lsn::new(lsn),
            event: Some(Stored { place: place(sequence * 10), sequence }),
        };
        assert_eq!(mark.covers(wish(140, 9)), Lsn::new(140));
        assert_eq!(mark.covers(wish(160, 9)), Lsn::new(150), "no further than the ceiling");
        assert_eq!(mark.covers(wish(140, 10)), Lsn::new(100), "an event that is not written down");
        assert_eq!(mark.covers(wish(80, 8)), Lsn::new(80), "confirmed before");
        assert_eq!(Mark::default().covers(wish(80, 8)), Lsn::ZERO, "nothing is written down");
    }
}
