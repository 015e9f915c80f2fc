//! Events that came to the end of the stream: there must have been a reason.

use std::collections::BTreeSet;

use walpost::position::Place;

use super::{Kind, Message, Violation};

/// Late events that nothing had displaced, or that say wrongly what the stream ended with.
///
/// An event is displaced by a message of somebody else, or by another event that came late: one of them must lie
/// between the two events that it should stand between.
pub(super) fn without_reason(stream: &[Message]) -> Vec<Violation> {
    let in_place: Vec<&Message> = stream.iter().filter(|message| message.behind.is_none()).collect();
    let mut taken: BTreeSet<Place> = in_place.iter().map(|message| message.place).collect();
    let mut found = Vec::new();
    let mut last = None;
    for message in stream {
        let Message { sequence, place, behind, .. } = message;
        let Some(behind) = behind else {
            last = Some(*place);
            continue;
        };
        let mut reasons = Vec::new();
        if !taken.insert(*place) {
            found.push(Violation::new(Kind::PlaceTwice, format!("{place:?} at {sequence}")));
        }
        if last != Some(*behind) {
            reasons.push(format!("the stream ended with {last:?}, and it says {behind:?}"));
        }
        let next = in_place.partition_point(|other| other.place < *place);
        let before = next.checked_sub(1).map_or(0, |before| in_place[before].sequence);
        if in_place.get(next).is_none_or(|next| next.sequence == before + 1 || next.sequence > *sequence) {
            reasons.push(format!("nothing lies between {before} and the event behind it"));
        }
        let violation = |reason| Violation::new(Kind::LateWithoutReason, format!("{place:?} at {sequence}: {reason}"));
        found.extend(reasons.into_iter().map(violation));
    }
    found
}
