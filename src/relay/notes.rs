//! What the delivery status must be told of: which transactions had rows, and which rows became dead letters.
//!
//! Notes are taken where rows are read and made into messages, and are fetched by whoever keeps the watermark. A dead
//! letter is handed out once its record is stored. Neither side waits for the other: if more is noted than anybody may
//! want to remember, the notes are thrown away, and the status must be found out anew from the stream.

use std::{
    collections::BTreeMap,
    mem,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{lsn::Lsn, position::Place, publish::Letter};

/// How many dead letters are remembered: each takes a few hundred bytes, at the most some thousand.
const MOST_DEAD: usize = 10_000;
/// How many transactions are remembered, of four bytes each: what comes in a minute.
const MOST_TRANSACTIONS: usize = 10_000_000;

/// The notes of one session.
#[derive(Debug, Default)]
pub struct StatusNotes {
    wants: Wants,
    noted: Mutex<Noted>,
}

/// What is noted at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The transactions.
    pub transactions: bool,
    /// The dead letters.
    pub dead_letters: bool,
}

#[derive(Debug, Default)]
struct Noted {
    /// Transactions with rows, by the lower half of their ids.
    transactions: Vec<u32>,
    /// Dead letters that are not written down.
    dead: BTreeMap<Place, Letter>,
    /// Places whose row was a dead letter first and can be carried after all.
    revived: Vec<Place>,
    /// Every row up to here is stored.
    stored: Option<Place>,
    /// There was too much to remember.
    is_lost: bool,
}

impl StatusNotes {
    /// No notes yet, of what is wanted.
    pub fn new(wants: Wants) -> Self {
        Self { wants, noted: Mutex::default() }
    }

    /// What is noted.
    pub fn wants(&self) -> Wants {
        self.wants
    }

    /// Whether a transaction with rows was noted that was not fetched.
    pub fn has_transactions(&self) -> bool {
        !self.noted().transactions.is_empty()
    }

    /// Fetches the transactions with rows.
    pub fn transactions(&self) -> Vec<u32> {
        mem::take(&mut self.noted().transactions)
    }

    /// Whether there are dead letters, stored or not.
    pub fn has_dead_letters(&self) -> bool {
        let noted = self.noted();
        !noted.dead.is_empty() || !noted.revived.is_empty()
    }

    /// The first so many dead letters that are stored, and those whose transaction commits before `lsn`.
    pub fn dead_letters(&self, lsn: Lsn, most: usize) -> Vec<(Place, Letter)> {
        let noted = self.noted();
        let is_stored = |place: Place| noted.stored.is_some_and(|stored| place <= stored) || place.commit_lsn < lsn;
        let stored = noted.dead.iter().take_while(|(place, _)| is_stored(**place));
        stored.take(most).map(|(place, letter)| (*place, letter.clone())).collect()
    }

    /// Dead letters up to this place are written down.
    pub fn wrote_down(&self, last: Place) {
        let mut noted = self.noted();
        noted.dead = noted.dead.split_off(&last);
        noted.dead.remove(&last);
    }

    /// The lowest sequence of a dead letter behind this place.
    pub fn first_sequence_behind(&self, place: Place) -> Option<u64> {
        let noted = self.noted();
        noted.dead.range((Bound::Excluded(place), Bound::Unbounded)).filter_map(|(_, letter)| letter.sequence).min()
    }

    /// The places whose row is no dead letter after all.
    pub fn revived(&self) -> Vec<Place> {
        self.noted().revived.clone()
    }

    /// The first so many of those are not written down any more.
    pub fn took_back(&self, count: usize) {
        self.noted().revived.drain(..count);
    }

    /// Whether notes were thrown away because nobody fetched them. There are no more of them then.
    pub fn are_lost(&self) -> bool {
        self.noted().is_lost
    }

    /// A transaction with rows has committed.
    pub(super) fn transaction(&self, xid: u32) {
        if self.wants.transactions {
            self.note(|noted| noted.transactions.push(xid));
        }
    }

    /// A row became a dead letter.
    pub(super) fn dead(&self, place: Place, letter: Letter) {
        if self.wants.dead_letters {
            self.note(|noted| {
                noted.dead.insert(place, letter);
            });
        }
    }

    /// A row that was a dead letter can be carried: a limit was raised before its record was stored.
    pub(super) fn revive(&self, place: Place) {
        if self.wants.dead_letters {
            self.note(|noted| {
                noted.dead.remove(&place);
                noted.revived.push(place);
            });
        }
    }

    /// Every row up to here is stored.
    pub(super) fn stored(&self, place: Option<Place>) {
        if self.wants.dead_letters {
            self.noted().stored = place;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Noted)) {
        let mut noted = self.noted();
        if noted.is_lost {
            return;
        }
        change(&mut noted);
        if noted.dead.len() + noted.revived.len() > MOST_DEAD || noted.transactions.len() > MOST_TRANSACTIONS {
            *noted = Noted { is_lost: true, ..Noted::default() };
        }
    }

    /// Every change is whole: nobody panics in the middle of one.
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lsn: u64) -> Place {
        Place { commit_lsn: Lsn::new(lsn), index: 0 }
    }

    fn letter(lsn: u64) -> Letter {
        let position = place(lsn).to_string();
        let body = format!(r#"{{"position":"{position}","reason":"null-value","detail":"it is null"}}"#);
        Letter::read(body.as_bytes(), Some(lsn)).unwrap()
    }

    fn notes() -> StatusNotes {
        StatusNotes::new(Wants { transactions: true, dead_letters: true })
    }

    fn places(notes: &StatusNotes, lsn: u64, most: usize) -> Vec<Place> {
        notes.dead_letters(Lsn::new(lsn), most).into_iter().map(|(place, _)| place).collect()
    }

    #[test]
    fn dead_letters_are_handed_out_once_stored_and_until_they_are_written_down() {
        let notes = notes();
        for lsn in [10, 20, 30, 40] {
            notes.dead(place(lsn), letter(lsn));
        }
        assert_eq!(places(&notes, 0, 10), []);
        notes.stored(Some(place(20)));
        assert_eq!(places(&notes, 0, 10), [place(10), place(20)]);
        assert_eq!(places(&notes, 0, 1), [place(10)]);
        assert_eq!(places(&notes, 31, 10), [place(10), place(20), place(30)], "confirmed is stored");
        assert_eq!(notes.first_sequence_behind(place(20)), Some(30));
        notes.wrote_down(place(20));
        assert_eq!(places(&notes, 100, 10), [place(30), place(40)]);
    }

    #[test]
    fn a_row_that_can_be_carried_after_all_is_no_dead_letter() {
        let notes = notes();
        notes.dead(place(10), letter(10));
        notes.revive(place(10));
        assert_eq!(places(&notes, 100, 10), []);
        assert_eq!(notes.revived(), [place(10)]);
        notes.took_back(1);
        assert!(!notes.has_dead_letters());
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let notes = StatusNotes::default();
        notes.dead(place(10), letter(10));
        notes.transaction(7);
        assert!(!notes.has_dead_letters() && !notes.has_transactions());
    }

    #[test]
    fn what_is_too_much_to_remember_is_thrown_away_once_and_for_all() {
        let notes = notes();
        for lsn in 1..=MOST_DEAD as u64 + 1 {
            assert!(!notes.are_lost());
            notes.dead(place(lsn), letter(lsn));
        }
        assert!(notes.are_lost() && !notes.has_dead_letters());
        notes.dead(place(1), letter(1));
        assert!(notes.are_lost() && !notes.has_dead_letters());
    }
}
