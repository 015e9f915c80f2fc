//! Where to continue: what the stream holds, held against the server that we are connected to; pure.
//!
//! Positions compare only within one log. When it is not certain that the stream was fed from this very log, the answer
//! is a refusal that names the difference, never a guess.
//!
//! A failover begins a new timeline, whose log continues another's from the fork on. A position of the older timeline is
//! one of the new log if it lies before the fork. Behind the fork it is not, however large it is: the new log uses the
//! same numbers again, for other transactions.

use super::event::{Resume, StopReason};
use crate::{
    lsn::Lsn,
    position::{Place, Position, Source},
    publish::StreamEnd,
    replication::TimelineHistory,
};

/// How to begin a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// What the state machine continues from.
    pub resume: Resume,
    /// Where the server begins to send; [`Lsn::ZERO`] is the slot's own position.
    pub lsn: Lsn,
}

impl Start {
    /// Decides where to continue on the log of `source`, whose timeline has this history, and which ends at `wal_end` now.
    ///
    /// The server is asked to begin at the commit record of the last stored event, so it sends that transaction again
    /// (it may be stored in part) and none before it.
    pub fn after(
        end: &StreamEnd,
        source: &Source,
        history: &TimelineHistory,
        wal_end: Lsn,
    ) -> Result<Self, ResumeError> {
        let from_slot = |last_sequence| Self { resume: Resume { last_sequence, stored: None }, lsn: Lsn::ZERO };
        match end {
            StreamEnd::Empty => Ok(from_slot(0)),
            StreamEnd::Removed { sequence } => Ok(from_slot(*sequence)),
            StreamEnd::At { sequence, position } => {
                let place = comparable(position, source, history, *sequence)?;
                if place.commit_lsn > wal_end {
                    return Err(ResumeError::Ahead { stream: place.commit_lsn, server: wal_end });
                }
                let resume = Resume { last_sequence: *sequence, stored: Some(place) };
                Ok(Self { resume, lsn: place.commit_lsn })
            }
        }
    }
}

impl Start {
    /// Whether the log from here on has all that a stream lacks that ends as said now. It has not if the broker lost
    /// messages since the end was read that this was decided by.
    pub fn reaches(&self, end: Resume) -> Result<(), StopReason> {
        let Resume { last_sequence: known_sequence, stored } = self.resume;
        if end.last_sequence >= known_sequence && end.stored.is_none_or(|end| Some(end) >= stored) {
            return Ok(());
        }
        Err(StopReason::Forgotten { known_sequence, last_sequence: end.last_sequence })
    }
}

/// The position as a place in the log of `source`, if it is one.
pub fn place_in(position: &Position, source: &Source, history: &TimelineHistory) -> Option<Place> {
    comparable(position, source, history, 0).ok()
}

/// The position as a place in the log of `source`.
fn comparable(
    position: &Position,
    source: &Source,
    history: &TimelineHistory,
    last_sequence: u64,
) -> Result<Place, ResumeError> {
    let Position { source: written, place } = position;
    if written.system_id != source.system_id {
        return Err(ResumeError::OtherSystem { stream: written.system_id, server: source.system_id });
    }
    if written.slot != source.slot {
        return Err(ResumeError::OtherSlot { stream: written.slot.clone(), configured: source.slot.clone() });
    }
    match history.end_of(written.timeline) {
        None => Err(ResumeError::OtherTimeline { stream: written.timeline, server: source.timeline }),
        // A commit record that begins before the fork also ends before it: the fork is the end of a record.
        Some(fork) if place.commit_lsn >= fork => {
            Err(ResumeError::LostLog(LostLog { source: written.clone(), fork, server: source.timeline, last_sequence }))
        }
        Some(_) => Ok(*place),
    }
}

/// What to do about events in the stream that the database has lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOrphans {
    /// End, until somebody has decided.
    #[default]
    Halt,
    /// Leave them in the stream, tell which they are, and go on behind them.
    Keep,
}

impl OnOrphans {
    /// Both, by their names.
    pub const ALL: [(&'static str, Self); 2] = [("halt", Self::Halt), ("keep", Self::Keep)];
}

/// The log behind a fork, on the side that was given up: events of it are in the stream, and the database has lost them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLog {
    /// The log that the stream was fed from.
    pub source: Source,
    /// Where the server's log parted from it.
    pub fork: Lsn,
    /// The server's timeline.
    pub server: u32,
    /// The sequence of the stream's last message.
    pub last_sequence: u64,
}

impl LostLog {
    /// Whether an event at this position is lost.
    pub fn holds(&self, position: &Position) -> bool {
        position.source == self.source && position.place.commit_lsn >= self.fork
    }

    /// Continues behind the lost events, which stay in the stream: with the first commit behind the fork.
    ///
    /// Nothing is skipped that was not stored: the stream is in the order of commits, so with an event from behind the
    /// fork it holds every event from before it. And nothing else is: no place behind the fork counts as stored.
    pub fn start_behind(&self) -> Start {
        let before_fork = Lsn::new(self.fork.as_u64().saturating_sub(1));
        let stored = Some(Place { commit_lsn: before_fork, index: u32::MAX });
        Start { resume: Resume { last_sequence: self.last_sequence, stored }, lsn: self.fork }
    }
}

/// The stream was not fed from the log that the server has now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResumeError {
    /// Another cluster.
    #[error("the stream was written from another database cluster (system {stream}; this server is {server})")]
    OtherSystem {
        /// The system of the stream's last event.
        stream: u64,
        /// The server's.
        server: u64,
    },
    /// Another slot.
    #[error("the stream was written through slot {stream:?}, and the configured slot is {configured:?}")]
    OtherSlot {
        /// The slot of the stream's last event.
        stream: String,
        /// The configured one.
        configured: String,
    },
    /// A timeline that is not an ancestor of the server's.
    #[error("the stream was written on timeline {stream}, which the server's timeline {server} does not continue")]
    OtherTimeline {
        /// The timeline of the stream's last event.
        stream: u32,
        /// The server's.
        server: u32,
    },
    /// The last events of the stream are not in the server's log.
    #[error(
        "the stream holds events of timeline {} from {} on, where the server's timeline {} left it",
        .0.source.timeline, .0.fork, .0.server
    )]
    LostLog(LostLog),
    /// The server lost log that the stream has seen.
    #[error("the stream has seen the log up to {stream}, and the server's log ends at {server}")]
    Ahead {
        /// The place of the stream's last event.
        stream: Lsn,
        /// The end of the server's log.
        server: Lsn,
    },
}

/// What to do about events that a failover lost.
pub const LOST_LOG_REMEDY: &str = "decide what becomes of these events (record them again, or tell consumers); then set \
                                   delivery.on_orphans = \"keep\" to leave them in the stream and go on behind them; see \
                                   docs/guides/failover.md";

impl ResumeError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::OtherSystem { .. } => {
                "point [postgres] url at the cluster that fed the stream, or [nats] stream at a new stream"
            }
            Self::OtherSlot { .. } => {
                "set [postgres] slot to the slot that fed the stream, or [nats] stream to a new stream"
            }
            Self::OtherTimeline { .. } => {
                "this looks like a primary from before a failover: let postgres.url lead to the one after it, and stop this \
                 one; see docs/guides/failover.md"
            }
            Self::LostLog(_) => LOST_LOG_REMEDY,
            Self::Ahead { .. } => {
                "this looks like an old copy of the database: let postgres.url lead to the right one; see \
                 docs/guides/failover.md"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source { system_id: 7, timeline: 1, slot: "walpost".into() }
    }

    fn end(source: Source) -> StreamEnd {
        let place = Place { commit_lsn: Lsn::new(100), index: 2 };
        StreamEnd::At { sequence: 9, position: Position { source, place } }
    }

    fn after(end: &StreamEnd, wal_end: u64) -> Result<Start, ResumeError> {
        Start::after(end, &source(), &TimelineHistory::without_ancestors(1), Lsn::new(wal_end))
    }

    /// The same on timeline 3, which left timeline 1 at `fork` and timeline 2 at 500.
    fn after_failovers(end: &StreamEnd, fork: u64) -> Result<Start, ResumeError> {
        let text = format!("1\t{}\n2\t{}\n", Lsn::new(fork), Lsn::new(500));
        let source = Source { timeline: 3, ..source() };
        Start::after(end, &source, &TimelineHistory::parse(3, &text).unwrap(), Lsn::new(1000))
    }

    #[test]
    fn a_session_continues_at_the_commit_of_the_last_stored_event() {
        let start = after(&end(source()), 1000).unwrap();
        assert_eq!(start.lsn, Lsn::new(100));
        let stored = Some(Place { commit_lsn: Lsn::new(100), index: 2 });
        assert_eq!(start.resume, Resume { last_sequence: 9, stored });
    }

    #[test]
    fn an_empty_stream_begins_where_the_slot_is() {
        assert_eq!(after(&StreamEnd::Empty, 1000).unwrap().lsn, Lsn::ZERO);
        assert_eq!(after(&StreamEnd::Removed { sequence: 5 }, 1000).unwrap().resume.last_sequence, 5);
    }

    #[test]
    fn a_stream_that_lost_messages_since_the_log_was_asked_for_begins_anew() {
        let start = after(&end(source()), 1000).unwrap();
        let place = |lsn, index| Some(Place { commit_lsn: Lsn::new(lsn), index });
        for (last_sequence, stored) in [(9, place(100, 2)), (10, place(100, 3)), (9, None), (12, place(120, 0))] {
            assert_eq!(start.reaches(Resume { last_sequence, stored }), Ok(()));
        }
        for (last_sequence, stored) in [(0, None), (8, place(100, 1)), (9, place(90, 0))] {
            assert!(start.reaches(Resume { last_sequence, stored }).is_err(), "{last_sequence} {stored:?}");
        }
    }

    #[test]
    fn a_stream_of_another_log_is_refused() {
        let cases = [
            (Source { system_id: 8, ..source() }, "another database cluster"),
            (Source { slot: "other".into(), ..source() }, "through slot \"other\""),
            (Source { timeline: 2, ..source() }, "on timeline 2, which the server's timeline 1 does not continue"),
        ];
        for (written, part) in cases {
            let text = after(&end(written), 1000).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_position_of_an_ancestor_counts_if_it_lies_before_the_fork() {
        let before = end(source());
        assert_eq!(after_failovers(&before, 101).unwrap(), after(&before, 1000).unwrap());
        let on_second = end(Source { timeline: 2, ..source() });
        assert_eq!(after_failovers(&on_second, 50).unwrap().lsn, Lsn::new(100));
        let never_heard_of = end(Source { timeline: 4, ..source() });
        let refused = ResumeError::OtherTimeline { stream: 4, server: 3 };
        assert_eq!(after_failovers(&never_heard_of, 101), Err(refused));
    }

    #[test]
    fn behind_the_fork_events_are_lost_and_what_follows_is_new_whatever_its_number() {
        for fork in [100, 99, 1] {
            let Err(ResumeError::LostLog(lost)) = after_failovers(&end(source()), fork) else { panic!("{fork}") };
            let at = |timeline, lsn| Position {
                source: Source { timeline, ..source() },
                place: Place { commit_lsn: Lsn::new(lsn), index: 0 },
            };
            assert!(lost.holds(&at(1, fork)) && lost.holds(&at(1, 100)));
            assert!(!lost.holds(&at(1, fork - 1)) && !lost.holds(&at(2, 100)) && !lost.holds(&at(3, 100)));
            let start = lost.start_behind();
            assert_eq!((start.lsn, start.resume.last_sequence), (Lsn::new(fork), 9));
            let stored = start.resume.stored.unwrap();
            assert!(stored < at(3, fork).place, "a place of the new log counts as stored");
            assert!(stored > Place { commit_lsn: Lsn::new(fork - 1), index: 1000 }, "a stored place does not count");
        }
    }

    #[test]
    fn a_server_that_lost_log_is_refused() {
        let expected = ResumeError::Ahead { stream: Lsn::new(100), server: Lsn::new(99) };
        assert_eq!(after(&end(source()), 99), Err(expected));
    }
}
