//! A clerk: one connection that writes one transaction after the other, the way an application would.
//!
//! Each transaction locks or makes an order, changes it, and records an event for each change in the outbox. Some are
//! rolled back on purpose, some roll back to a savepoint: none of those events may ever be seen.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_postgres::{Client, Error, Statement, Transaction};
use uuid::Uuid;

use super::Desk;
use super::dice::Dice;
use super::order::{Order, Status, Step};

/// The most events of one transaction.
const MOST_EVENTS: u64 = 3;

/// How many transactions in a hundred are rolled back.
const MISTAKES_PERCENT: u64 = 10;

/// How many transactions in a hundred make a detour that is rolled back to its savepoint.
const DETOURS_PERCENT: u64 = 8;

/// How many transactions in a hundred go on with an order that is there, if there is any.
const FOLLOW_UPS_PERCENT: u64 = 75;

/// One writer.
pub(super) struct Clerk {
    /// From 1.
    number: u32,
    /// The connection.
    client: Client,
    /// What is said on it.
    statements: Statements,
    /// What decides.
    dice: Dice,
    /// How many events this clerk has written, those of rolled back transactions included: the later, the higher.
    entry: u64,
    /// What all clerks share.
    desk: Arc<Desk>,
}

/// The statements of one connection.
struct Statements {
    /// Locks an order and reads it.
    lock: Statement,
    /// Makes an order.
    place: Statement,
    /// Changes an order.
    change: Statement,
    /// Records an event.
    record: Statement,
}

/// How a transaction ended.
enum Outcome {
    /// Committed, with so many events.
    Committed(u64),
    /// Rolled back on purpose, with so many events.
    RolledBack(u64),
    /// Somebody else had closed the order meanwhile.
    Nothing,
}

impl Clerk {
    /// A clerk on a connection of its own.
    pub(super) async fn new(number: u32, client: Client, desk: Arc<Desk>) -> Result<Self, Error> {
        let statements = Statements {
            lock: client.prepare(include_str!("lock_order.sql")).await?,
            place: client.prepare(include_str!("place_order.sql")).await?,
            change: client.prepare(include_str!("change_order.sql")).await?,
            record: client.prepare(include_str!("record_event.sql")).await?,
        };
        Ok(Self { number, client, statements, dice: Dice::new(), entry: 0, desk })
    }

    /// Serve until the shop closes or enough is written.
    pub(super) async fn work(mut self) -> Result<(), Error> {
        let desk = Arc::clone(&self.desk);
        while !desk.budget.is_spent() {
            let wanted = self.dice.between(1, MOST_EVENTS);
            if !desk.pace.turn(wanted, &desk.closing).await || desk.closing.is_cancelled() {
                break;
            }
            let outcome = self.serve(wanted).await?;
            let done = if let Outcome::Committed(events) = outcome { events } else { 0 };
            desk.pace.give_back(wanted - done);
            match outcome {
                Outcome::Committed(events) => desk.sales.committed(events),
                Outcome::RolledBack(events) => desk.sales.rolled_back(events),
                Outcome::Nothing => {}
            }
        }
        Ok(())
    }

    /// One transaction.
    async fn serve(&mut self, wanted: u64) -> Result<Outcome, Error> {
        let Self { number, client, statements, dice, entry, desk } = self;
        let mut transaction = client.transaction().await?;
        let known = desk.open_orders.any(dice).filter(|_| dice.chance(FOLLOW_UPS_PERCENT));
        let found = match known {
            Some(id) => lock(&transaction, statements, id).await?,
            None => None,
        };
        let mut order = found.unwrap_or_else(|| Order::new(dice));
        let mut steps = order.plan(wanted, dice);
        let is_mistake = dice.chance(MISTAKES_PERCENT);
        if !is_mistake {
            let granted = desk.budget.take(count(&steps));
            steps.truncate(usize::try_from(granted).unwrap_or(usize::MAX));
        }
        if steps.is_empty() {
            desk.open_orders.settle(order.id, order.is_open() && order.version > 0);
            transaction.rollback().await?;
            return Ok(Outcome::Nothing);
        }
        let mut pen = Pen { statements, dice, clerk: *number, entry, correlation: Uuid::new_v4() };
        if pen.dice.chance(DETOURS_PERCENT) {
            let detour = transaction.savepoint("on_second_thought").await?;
            pen.write(&detour, &mut order.clone(), &steps).await?;
            detour.rollback().await?;
        }
        pen.write(&transaction, &mut order, &steps).await?;
        if is_mistake {
            transaction.rollback().await?;
            return Ok(Outcome::RolledBack(count(&steps)));
        }
        transaction.commit().await?;
        desk.open_orders.settle(order.id, order.is_open());
        Ok(Outcome::Committed(count(&steps)))
    }
}

/// What a clerk writes one transaction with.
struct Pen<'a> {
    /// The statements of its connection.
    statements: &'a Statements,
    /// What decides about the details.
    dice: &'a mut Dice,
    /// The clerk.
    clerk: u32,
    /// How many events it has written.
    entry: &'a mut u64,
    /// What the events of the transaction have in common.
    correlation: Uuid,
}

impl Pen<'_> {
    /// Change the order step by step, and record an event for each.
    async fn write(&mut self, transaction: &Transaction<'_>, order: &mut Order, steps: &[Step]) -> Result<(), Error> {
        let is_new = order.version == 0;
        let mut events = Vec::new();
        for step in steps {
            order.apply(*step);
            events.push((step.event_type(), self.payload(order, *step)));
        }
        let id = order.id.to_string();
        let status = order.status.map(Status::name);
        if is_new {
            let Order { customer, total_cents, parcels, dispatched, version, .. } = &*order;
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                [&id, customer, &status, total_cents, parcels, dispatched, version];
            transaction.execute(&self.statements.place, &values).await?;
        } else {
            let change = &self.statements.change;
            transaction.execute(change, &[&id, &status, &order.dispatched, &order.version]).await?;
        }
        for (event_type, payload) in events {
            let (event_id, headers) = (Uuid::now_v7().to_string(), self.headers().to_string());
            let record = &self.statements.record;
            transaction.execute(record, &[&event_id, &id, &event_type, &payload.to_string(), &headers]).await?;
        }
        Ok(())
    }

    /// The body of an event: what happened, and the clerk's entry in its book.
    fn payload(&mut self, order: &Order, step: Step) -> Value {
        *self.entry += 1;
        let mut payload = order.payload(step, self.dice);
        if let Value::Object(fields) = &mut payload {
            fields.insert("clerk".to_owned(), json!(self.clerk));
            fields.insert("entry".to_owned(), json!(*self.entry));
        }
        payload
    }

    /// What an application that is traced would send along (<https://www.w3.org/TR/trace-context/#traceparent-header>).
    fn headers(&mut self) -> Value {
        let trace = format!("00-{}-{:016x}-01", self.correlation.simple(), self.dice.roll());
        json!({ "correlation_id": self.correlation.to_string(), "traceparent": trace })
    }
}

/// Lock an order; nothing if there is none of this number.
async fn lock(transaction: &Transaction<'_>, statements: &Statements, id: Uuid) -> Result<Option<Order>, Error> {
    let Some(row) = transaction.query_opt(&statements.lock, &[&id.to_string()]).await? else { return Ok(None) };
    let status: String = row.try_get("status")?;
    Ok(Some(Order {
        id,
        customer: row.try_get("customer")?,
        status: Status::of_name(&status),
        total_cents: row.try_get("total_cents")?,
        parcels: row.try_get("parcels")?,
        dispatched: row.try_get("dispatched")?,
        version: row.try_get("version")?,
    }))
}

/// How many events these steps make.
fn count(steps: &[Step]) -> u64 {
    u64::try_from(steps.len()).unwrap_or(u64::MAX)
}
