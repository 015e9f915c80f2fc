//! Going on with another connection to the broker: which rows the stream turns out to hold, and which have their turn again.

use tokio::time::Instant;

use super::{Fate, Gaps, Mode, Relay, Resume, StopReason};

impl<R> Relay<R> {
    /// Goes on with a new connection to the broker, whose stream ends as said; nothing of the old one will be
    /// answered. Rows that turn out to be stored are counted as such, the others have their turn again. Gives the
    /// number of rows that were stored.
    ///
    /// If events were displaced, they cannot go to the end of this stretch of the chain, which was laid out without them.
    pub fn resume(&mut self, end: Resume, gaps: &Gaps, now: Instant) -> Result<usize, StopReason> {
        if self.rows.iter().any(|row| row.place != row.checkpoint || gaps.hold(row.place)) {
            return Err(StopReason::Displaced);
        }
        let stored = match self.mode {
            Mode::Chain => self.stored_up_to(end)?,
            Mode::Shared => 0,
        };
        self.unanswered = 0;
        self.waiting_since = None;
        self.proven = self.mode == Mode::Shared;
        if self.mode == Mode::Chain {
            // Answers out of turn may have told of more than the stream holds now. That was forgotten, and goes again.
            for (index, row) in self.rows.iter_mut().enumerate() {
                row.fate = if index < stored { Fate::Stored } else { Fate::Waiting };
            }
        }
        self.settle(now);
        self.acked_sequence = end.last_sequence;
        self.line_up_again();
        self.check();
        Ok(stored)
    }

    /// Chain: how many rows the stream holds, when it ends as said.
    pub(super) fn stored_up_to(&self, end: Resume) -> Result<usize, StopReason> {
        let forgotten = StopReason::Forgotten { known_sequence: self.acked_sequence, last_sequence: end.last_sequence };
        if end.last_sequence < self.acked_sequence {
            return Err(forgotten);
        }
        let Some(place) = end.stored else {
            // Its last message is gone. What was stored since may be ours or somebody else's, and nothing tells which.
            return if end.last_sequence == self.acked_sequence { Ok(0) } else { Err(forgotten) };
        };
        if self.last_stored.is_some_and(|last| place < last) {
            return Err(forgotten);
        }
        let stored = self.rows.partition_point(|row| row.checkpoint <= place);
        let last = stored.checked_sub(1).and_then(|last| self.rows.get(last)).map(|row| row.checkpoint);
        if last.or(self.last_stored) == Some(place) { Ok(stored) } else { Err(StopReason::Overtaken { place }) }
    }

    /// All rows that are not stored have their turn again, in order.
    fn line_up_again(&mut self) {
        self.ready.clear();
        self.lanes.clear();
        for (ticket, row) in (self.first_ticket..).zip(&mut self.rows) {
            if row.fate == Fate::Stored {
                continue;
            }
            row.fate = Fate::Waiting;
            if self.mode == Mode::Chain || self.lanes.enter(row.key, ticket) {
                self.ready.push_back(ticket);
            }
        }
    }
}
