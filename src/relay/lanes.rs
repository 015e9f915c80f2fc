//! One message of an aggregate at a time; pure.
//!
//! Where the broker does not keep our order, only the answer to one message makes it safe to send the next one of the
//! same aggregate. Aggregates do not wait for one another.

use std::collections::{HashMap, VecDeque};

/// The aggregates that have a message under way, and what waits behind it.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Tickets that wait, in order, by the key of their aggregate. A key without an entry is free.
    busy: HashMap<u64, VecDeque<u64>>,
}

impl Lanes {
    /// Whether the row may go now; otherwise it waits in the lane of its key.
    pub(super) fn enter(&mut self, key: u64, ticket: u64) -> bool {
        match self.busy.get_mut(&key) {
            None => self.busy.insert(key, VecDeque::new()).is_none(),
            Some(waiting) => {
                waiting.push_back(ticket);
                false
            }
        }
    }

    /// The message of this key was answered; the ticket that may go next, if one waits.
    pub(super) fn leave(&mut self, key: u64) -> Option<u64> {
        let next = self.busy.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.busy.remove(&key);
        }
        next
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.busy.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_aggregate_go_one_after_the_other() {
        let mut lanes = Lanes::default();
        assert!(lanes.enter(7, 1));
        assert!(!lanes.enter(7, 2) && !lanes.enter(7, 3));
        assert!(lanes.enter(8, 4), "another aggregate does not wait");
        assert_eq!([lanes.leave(7), lanes.leave(7), lanes.leave(7)], [Some(2), Some(3), None]);
        assert!(lanes.enter(7, 5), "free again");
    }

    #[test]
    fn an_idle_aggregate_takes_no_room() {
        let mut lanes = Lanes::default();
        for key in 0..1000 {
            lanes.enter(key, key);
            lanes.leave(key);
        }
        assert!(lanes.busy.is_empty());
    }
}
