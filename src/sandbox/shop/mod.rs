//! The example: an order service with a few clerks that work at the same time.
//!
//! Input: a Postgres with an outbox table, a budget and a pace. Output: committed transactions, and how many.
//!
//! Two numbers in each payload say in which order events really happened, whatever walpost does with them:
//! - `version`: how often the order (the aggregate) had changed, counted under the lock of its row;
//! - `entry`: how many events the clerk had written. A clerk begins a transaction after the one before has committed, so
//!   along one clerk's transactions the entries rise in commit order, over all aggregates.

mod budget;
mod clerk;
mod dice;
mod order;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::budget::{Budget, Pace};
use self::clerk::Clerk;
use self::dice::Dice;
use super::error::SandboxError;
use super::options::Rate;
use super::servers::PrivatePostgres;

/// How many clerks there are: enough that transactions overlap and commit in another order than they began.
const CLERKS: u32 = 3;

/// How many orders are worked on at a time: few, so that clerks now and then want the same.
const MOST_OPEN_ORDERS: usize = 60;

/// The order service.
#[derive(Debug)]
pub(super) struct Shop {
    /// What the clerks share.
    desk: Arc<Desk>,
    /// The clerks at work.
    clerks: JoinSet<Result<(), tokio_postgres::Error>>,
}

/// How many events were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Events of committed transactions.
    pub(super) committed: u64,
    /// Events of transactions that were rolled back on purpose.
    pub(super) rolled_back: u64,
}

impl Shop {
    /// Let the clerks begin.
    pub(super) async fn open(
        postgres: &PrivatePostgres,
        events: Option<u64>,
        rate: Rate,
    ) -> Result<Self, SandboxError> {
        let failed = SandboxError::shop;
        postgres.execute_sql(include_str!("orders.sql")).await?;
        let desk = Arc::new(Desk {
            budget: Budget::new(events),
            pace: Pace::new(rate),
            open_orders: OpenOrders::default(),
            sales: Sales::default(),
            closing: CancellationToken::new(),
        });
        let mut clerks = JoinSet::new();
        for number in 1..=CLERKS {
            let clerk = Clerk::new(number, postgres.connect().await?, Arc::clone(&desk)).await.map_err(failed)?;
            clerks.spawn(clerk.work());
        }
        Ok(Self { desk, clerks })
    }

    /// Serve nobody new. The clerks finish what they are at.
    pub(super) fn close(&self) {
        self.desk.closing.cancel();
    }

    /// Wait until all clerks have gone home. May be dropped and called again.
    pub(super) async fn closed(&mut self) -> Result<(), SandboxError> {
        while let Some(clerk) = self.clerks.join_next().await {
            match clerk {
                Ok(done) => done.map_err(SandboxError::shop)?,
                Err(error) => return Err(SandboxError::Broken(error.to_string())),
            }
        }
        Ok(())
    }

    /// How many events were written so far.
    pub(super) fn written(&self) -> Written {
        let Sales { committed, rolled_back } = &self.desk.sales;
        Written { committed: committed.load(Ordering::Relaxed), rolled_back: rolled_back.load(Ordering::Relaxed) }
    }
}

/// What the clerks share.
#[derive(Debug)]
struct Desk {
    /// How many events may still be written.
    budget: Budget,
    /// When.
    pace: Pace,
    /// What they are working on.
    open_orders: OpenOrders,
    /// What they have done.
    sales: Sales,
    /// Says that the shop closes.
    closing: CancellationToken,
}

/// Orders that wait for their next step.
#[derive(Debug, Default)]
struct OpenOrders(Mutex<VecDeque<Uuid>>);

impl OpenOrders {
    /// One of them. It stays where it is, so another clerk may want it too.
    fn any(&self, dice: &mut Dice) -> Option<Uuid> {
        let orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = u64::try_from(orders.len()).ok()?.checked_sub(1)?;
        orders.get(usize::try_from(dice.between(0, last)).ok()?).copied()
    }

    /// Keep an order if it is open, else forget it. When there are too many, the oldest is forgotten.
    fn settle(&self, order: Uuid, is_open: bool) {
        let mut orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = orders.iter().position(|other| *other == order);
        match (known, is_open) {
            (Some(index), false) => {
                orders.remove(index);
            }
            (None, true) => {
                orders.push_back(order);
                if orders.len() > MOST_OPEN_ORDERS {
                    orders.pop_front();
                }
            }
            _ => {}
        }
    }
}

/// Counts of events.
#[derive(Debug, Default)]
struct Sales {
    /// In committed transactions.
    committed: AtomicU64,
    /// In transactions that were rolled back.
    rolled_back: AtomicU64,
}

impl Sales {
    /// So many more were committed.
    fn committed(&self, events: u64) {
        self.committed.fetch_add(events, Ordering::Relaxed);
    }

    /// So many more were rolled back.
    fn rolled_back(&self, events: u64) {
        self.rolled_back.fetch_add(events, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_orders_are_forgotten_and_the_list_stays_short() {
        let (orders, mut dice) = (OpenOrders::default(), Dice::new());
        assert_eq!(orders.any(&mut dice), None);
        let first = Uuid::new_v4();
        orders.settle(first, true);
        orders.settle(first, true);
        assert_eq!(orders.any(&mut dice), Some(first));
        orders.settle(first, false);
        assert_eq!(orders.any(&mut dice), None);
        for _ in 0..2 * MOST_OPEN_ORDERS {
            orders.settle(Uuid::new_v4(), true);
        }
        assert_eq!(orders.0.lock().unwrap().len(), MOST_OPEN_ORDERS);
    }
}
