//! Looks for events that messages of others displaced from the stream.

use super::{RunError, Supervisor, term::Course};
use crate::{
    lsn::Lsn,
    position::Position,
    preflight::Facts,
    publish::{Broker, Kept, StreamEnd},
    relay::{Gaps, Known, Mode, Resume, Seen, Session, Stored, WayBack},
};

/// What slot and watermark tell before a start.
pub(super) fn known_before(course: &Course, facts: &Facts) -> Known {
    let Course { origin, stream, .. } = course;
    let watermark = facts.watermark.as_ref().filter(|watermark| watermark.stream == *stream);
    let stored = watermark.and_then(|watermark| {
        let stored = watermark.mark.confirmed.event?;
        let position = Position { source: watermark.source.clone(), place: stored.place };
        origin.place_of(&position).is_some().then_some(stored)
    });
    Known { stored, confirmed: facts.slot.as_ref().and_then(|slot| slot.confirmed_flush).unwrap_or_default() }
}

/// What a session knows that goes on.
pub(super) fn known_to(session: &Session) -> Known {
    let Resume { last_sequence: sequence, stored } = session.known();
    Known { stored: stored.map(|place| Stored { place, sequence }), confirmed: Lsn::ZERO }
}

impl Supervisor {
    /// Reads the stream from its end back to what is known, and tells where events may be missing. In a shared stream
    /// nobody can tell.
    pub(super) async fn gaps(
        &self,
        broker: &Broker,
        course: &Course,
        end: &StreamEnd,
        known: Known,
    ) -> Result<Gaps, RunError> {
        let (Mode::Chain, StreamEnd::At { sequence: last, .. }) = (course.mode, end) else {
            return Ok(Gaps::default());
        };
        let mut way = WayBack::new(known);
        let depth =
            broker.inspector().read_back(*last, |sequence, kept| way.look(sequence, course.seen(&kept))).await?;
        let gaps = way.end(depth);
        if !gaps.is_empty() {
            tracing::warn!(
                places = gaps.len(),
                last_sequence = last,
                action = "let nobody but walpost write to its stream",
                "messages of others took the places of events; those go to the end of the stream",
            );
        }
        Ok(gaps)
    }
}

impl Course {
    fn seen(&self, kept: &Kept) -> Seen {
        let Kept::Ours { position, displaced, previous } = kept else { return Seen::Foreign };
        let place_of = |position: &Option<Position>| position.as_ref().map(|position| self.origin.place_of(position));
        match (self.origin.place_of(position), place_of(displaced), place_of(previous)) {
            (None, ..) | (_, Some(None), _) | (.., Some(None)) => Seen::OfAnotherLog,
            (Some(checkpoint), displaced, previous) => {
                Seen::Event { checkpoint, displaced: displaced.flatten(), previous: previous.flatten() }
            }
        }
    }
}
