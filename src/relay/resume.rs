//! Where to continue: what the stream holds, held against the server that we are connected to; pure.
//!
//! Positions compare only within one log. When it is not certain that the stream was fed from this very log, the answer
//! is a refusal that names the difference, never a guess.

use super::event::Resume;
use crate::{
    lsn::Lsn,
    position::{Place, Position, Source},
    publish::StreamEnd,
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
    /// Decides where to continue on the log of `source`, which ends at `wal_end` now.
    ///
    /// The server is asked to begin at the commit record of the last stored event, so it sends that transaction again
    /// (it may be stored in part) and none before it.
    pub fn after(end: &StreamEnd, source: &Source, wal_end: Lsn) -> Result<Self, ResumeError> {
        let from_slot = |last_sequence| Self { resume: Resume { last_sequence, stored: None }, lsn: Lsn::ZERO };
        match end {
            StreamEnd::Empty => Ok(from_slot(0)),
            StreamEnd::Removed { sequence } => Ok(from_slot(*sequence)),
            StreamEnd::At { sequence, position } => {
                let place = comparable(position, source, wal_end)?;
                let resume = Resume { last_sequence: *sequence, stored: Some(place) };
                Ok(Self { resume, lsn: place.commit_lsn })
            }
        }
    }
}

fn comparable(position: &Position, source: &Source, wal_end: Lsn) -> Result<Place, ResumeError> {
    let Position { source: written, place } = position;
    if written.system_id != source.system_id {
        return Err(ResumeError::OtherSystem { stream: written.system_id, server: source.system_id });
    }
    if written.slot != source.slot {
        return Err(ResumeError::OtherSlot { stream: written.slot.clone(), configured: source.slot.clone() });
    }
    if written.timeline != source.timeline {
        return Err(ResumeError::OtherTimeline { stream: written.timeline, server: source.timeline });
    }
    if place.commit_lsn > wal_end {
        return Err(ResumeError::Ahead { stream: place.commit_lsn, server: wal_end });
    }
    Ok(*place)
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
    /// Another timeline.
    #[error(
        "the stream was written on timeline {stream}, and the server is on timeline {server} after a failover or restore"
    )]
    OtherTimeline {
        /// The timeline of the stream's last event.
        stream: u32,
        /// The server's.
        server: u32,
    },
    /// The server lost log that the stream has seen.
    #[error("the stream has seen the log up to {stream}, and the server's log ends at {server}")]
    Ahead {
        /// The place of the stream's last event.
        stream: Lsn,
        /// The end of the server's log.
        server: Lsn,
    },
}

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
            Self::OtherTimeline { .. } | Self::Ahead { .. } => {
                "check which committed events the stream holds that the server lost; then continue with a new stream"
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
        Start::after(end, &source(), Lsn::new(wal_end))
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
    fn a_stream_of_another_log_is_refused() {
        let cases = [
            (Source { system_id: 8, ..source() }, "another database cluster"),
            (Source { slot: "other".into(), ..source() }, "through slot \"other\""),
            (Source { timeline: 2, ..source() }, "on timeline 2"),
        ];
        for (written, part) in cases {
            let text = after(&end(written), 1000).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_server_that_lost_log_is_refused() {
        let expected = ResumeError::Ahead { stream: Lsn::new(100), server: Lsn::new(99) };
        assert_eq!(after(&end(source()), 99), Err(expected));
    }
}
