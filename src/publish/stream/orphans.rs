//! Events in the stream that the database has lost: how many there are, and which.

use std::fmt;

use async_nats::jetstream::stream::RawMessageErrorKind;

use super::{MAX_FOREIGN, POSITION_HEADER, StreamError, StreamInspector, StreamProblem};
use crate::{outbox::Traceable, position::Position};

/// How many are looked at, one question to the broker each: a failover that lost more lost too much for a list.
const MOST: u64 = 10_000;
/// How many ids are told in a line for people.
const MOST_TOLD: usize = 20;

/// Events at the end of the stream that the database has lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// The sequence of the first of them.
    pub first_sequence: u64,
    /// The sequence of the last of them.
    pub last_sequence: u64,
    /// Their message ids, in the order of the stream.
    pub ids: Vec<String>,
    /// Whether there may be more before the first: some were removed, or they are too many.
    pub is_cut: bool,
}

impl StreamInspector {
    /// The events at the end of the stream whose position is lost; those of others between them are passed over.
    pub async fn orphans(&self, is_lost: impl Fn(&Position) -> bool) -> Result<Orphans, StreamError> {
        let stream = self.stream().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        let state = &stream.cached_info().state;
        let mut orphans = Orphans::default();
        let mut foreign = 0;
        for sequence in (state.first_sequence.max(1)..=state.last_sequence).rev() {
            let message = match stream.get_raw_message(sequence).await {
                Ok(message) => message,
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                    orphans.is_cut = true;
                    break;
                }
                Err(error) => return Err(self.unanswered(&error)),
            };
            let Some(header) = message.headers.get(POSITION_HEADER) else {
                foreign += 1;
                if foreign > MAX_FOREIGN {
                    return Err(StreamError::Foreign { sequence });
                }
                continue;
            };
            let position = header.as_str().parse().map_err(|source| StreamError::Position { sequence, source })?;
            if !is_lost(&position) {
                break;
            }
            if orphans.ids.len() as u64 == MOST {
                orphans.is_cut = true;
                break;
            }
            let id = message.headers.get(async_nats::header::NATS_MESSAGE_ID).map_or("", |id| id.as_str());
            orphans.ids.push(Traceable(id).to_string());
            orphans.first_sequence = sequence;
            orphans.last_sequence = orphans.last_sequence.max(sequence);
        }
        orphans.ids.reverse();
        Ok(orphans)
    }
}

/// `3 events, sequences 12 to 14: a, b, c`.
impl fmt::Display for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first_sequence, last_sequence, ids, is_cut } = self;
        let at_least = if *is_cut { "at least " } else { "" };
        let plural = if ids.len() == 1 { "" } else { "s" };
        write!(f, "{at_least}{} event{plural}, sequences {first_sequence} to {last_sequence}: ", ids.len())?;
        let told: Vec<&str> = ids.iter().take(MOST_TOLD).map(String::as_str).collect();
        f.write_str(&told.join(", "))?;
        if ids.len() > MOST_TOLD { write!(f, " and {} more", ids.len() - MOST_TOLD) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_stays_a_line() {
        let orphans = |count: u64| Orphans {
            first_sequence: 3,
            last_sequence: 2 + count,
            ids: (0..count).map(|n| format!("id{n}")).collect(),
            is_cut: false,
        };
        assert_eq!(orphans(1).to_string(), "1 event, sequences 3 to 3: id0");
        assert_eq!(orphans(3).to_string(), "3 events, sequences 3 to 5: id0, id1, id2");
        let many = Orphans { is_cut: true, ..orphans(21) }.to_string();
        assert!(many.starts_with("at least 21 events, sequences 3 to 23: id0, "), "{many}");
        assert!(many.ends_with("id19 and 1 more"), "{many}");
    }
}
