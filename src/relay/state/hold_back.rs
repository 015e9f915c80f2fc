//! When what is stored may be confirmed: at once, or after the hold-back, if the stream holds it then.
//!
//! A broker that loses power comes back without what it stored last. That a time has passed says nothing about it: the
//! broker may have been away all the while. So a held-back position is confirmed only once the stream was known to be
//! whole after the hold-back was over: by the answer to a message that was sent then, because the chain refuses one behind a
//! loss, or by a look at the end of the stream.

use tokio::time::Instant;

use super::{Mode, Relay, Resume, StopReason};
use crate::position::Place;

impl<R> Relay<R> {
    /// The place up to which every row is known to be stored.
    pub fn stored_to(&self) -> Option<Place> {
        self.last_stored
    }

    /// The stream ends as said, which was asked at `asked`: what was stored for long enough may be confirmed.
    pub fn look(&mut self, end: Resume, asked: Instant) -> Result<(), StopReason> {
        self.stored_up_to(end)?;
        self.sees_whole(Some(asked));
        self.ledger.ripen(self.seen_whole);
        Ok(())
    }

    /// When to look at the end of the stream and tell [`Relay::look`]; `None` if there is nothing to learn from it. While
    /// messages are answered the answers tell as much.
    pub fn next_look(&self) -> Option<Instant> {
        self.ledger.next_ripe().filter(|_| self.needs_to_see())
    }

    /// Time has passed: a position may have been held back for long enough.
    pub fn pass_time(&mut self, now: Instant) {
        self.ledger.ripen(self.seen(now));
    }

    /// When [`Relay::pass_time`] will confirm more.
    pub fn next_confirmation(&self) -> Option<Instant> {
        self.ledger.next_ripe().filter(|_| !self.needs_to_see())
    }

    pub(super) fn settle_ledger(&mut self, now: Instant) {
        self.ledger.settle(self.first_ticket, self.acked_sequence, now, self.seen(now));
    }

    /// Whether a position may be confirmed only after another look at the stream. The end of a shared stream tells nothing.
    fn needs_to_see(&self) -> bool {
        self.mode == Mode::Chain && self.ledger.holds_back()
    }

    /// Up to when everything that was stored is known to be there still.
    fn seen(&self, now: Instant) -> Option<Instant> {
        if self.needs_to_see() { self.seen_whole } else { Some(now) }
    }

    /// The chain held at that time or later.
    pub(super) fn sees_whole(&mut self, at: Option<Instant>) {
        self.seen_whole = self.seen_whole.max(at);
    }
}
