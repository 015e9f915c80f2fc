//! Holds confirmations back until they are written down.
//!
//! The driver asks for each position through the [`Gate`]; whoever keeps the watermark hears of it through the
//! [`Wishes`], writes it down and says so. Neither waits for the other.

use tokio::sync::watch;

use super::watermark::{Confirmed, Mark};
use crate::lsn::Lsn;

/// The driver's side.
#[derive(Debug)]
pub struct Gate {
    wish: watch::Sender<Confirmed>,
    mark: watch::Receiver<Mark>,
}

/// The keeper's side.
#[derive(Debug)]
pub struct Wishes {
    wish: watch::Receiver<Confirmed>,
    mark: watch::Sender<Mark>,
}

/// Both sides, when `mark` is written down already.
pub fn gate(mark: Mark) -> (Gate, Wishes) {
    let (wish_sender, wish) = watch::channel(Confirmed::default());
    let (mark_sender, mark) = watch::channel(mark);
    (Gate { wish: wish_sender, mark }, Wishes { wish, mark: mark_sender })
}

impl Gate {
    /// Asks for a position, and gives the one that may be confirmed now: this one or one before it.
    pub(super) fn pass(&mut self, wish: Confirmed) -> Lsn {
        self.wish.send_if_modified(|last| {
            let is_new = *last != wish;
            *last = wish;
            is_new
        });
        self.mark.borrow_and_update().covers(wish)
    }

    /// Waits until something more is written down; for ever if there is nobody to do it. Safe to cancel.
    pub(super) async fn opened(&mut self) {
        if self.mark.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Wishes {
    /// Waits for a wish that is not covered by what is written down. Safe to cancel.
    pub async fn next(&mut self) -> Confirmed {
        loop {
            let wish = self.last();
            if self.mark().covers(wish) < wish.lsn {
                return wish;
            }
            if self.wish.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Another view of the wishes: what is stored, for whoever tells the delivery status.
    pub fn stored(&self) -> watch::Receiver<Confirmed> {
        self.wish.clone()
    }

    /// The last wish.
    pub fn last(&mut self) -> Confirmed {
        *self.wish.borrow_and_update()
    }

    /// What is written down.
    pub fn mark(&self) -> Mark {
        *self.mark.borrow()
    }

    /// This is written down now.
    pub fn written(&self, mark: Mark) {
        self.mark.send_replace(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{position::Place, relay::watermark::Stored};

    fn wish(lsn: u64) -> Confirmed {
        let place = Place { commit_lsn: Lsn::new(lsn - 1), index: 0 };
        Confirmed { lsn: Lsn::new(lsn), event: Some(Stored { place, sequence: lsn }) }
    }

    #[tokio::test]
    async fn nothing_passes_before_it_is_written_down() {
        let (mut gate, mut wishes) = gate(Mark::default());
        assert_eq!(gate.pass(wish(10)), Lsn::ZERO);
        assert_eq!(wishes.next().await, wish(10));
        assert_eq!(gate.pass(wish(20)), Lsn::ZERO);
        wishes.written(Mark { confirmed: wish(10), ceiling: Lsn::new(15) });
        gate.opened().await;
        assert_eq!(gate.pass(wish(20)), Lsn::new(10), "the second event is not written down");
        assert_eq!(wishes.next().await, wish(20), "and still wished for");
    }

    #[tokio::test]
    async fn idle_positions_need_no_writing_up_to_the_ceiling() {
        let mark = Mark { confirmed: wish(10), ceiling: Lsn::new(15) };
        let (mut gate, mut wishes) = gate(mark);
        let idle = |lsn| Confirmed { lsn: Lsn::new(lsn), ..wish(10) };
        assert_eq!(gate.pass(idle(15)), Lsn::new(15));
        assert_eq!(gate.pass(idle(16)), Lsn::new(15));
        assert_eq!(wishes.next().await, idle(16), "that one was not asked for in vain");
    }
}
