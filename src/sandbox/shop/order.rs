//! An order of the example: what may happen to it next, and the event that tells of it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::dice::Dice;

/// The state of an order. Its names are those of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Waits for the money.
    Placed,
    /// Waits for its parcels to leave.
    Paid,
    /// All parcels have left.
    Shipped,
    /// Nothing happens any more.
    Cancelled,
}

/// One change of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A customer orders.
    Place,
    /// The customer pays.
    Pay,
    /// A parcel leaves.
    Ship,
    /// Somebody thinks better of it.
    Cancel,
}

/// An order as its row in the table holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The order's number.
    pub(super) id: Uuid,
    /// Who ordered.
    pub(super) customer: String,
    /// What happens next depends on it; none before the order is placed.
    pub(super) status: Option<Status>,
    /// The price.
    pub(super) total_cents: i64,
    /// How many parcels it takes.
    pub(super) parcels: i64,
    /// How many of them have left.
    pub(super) dispatched: i64,
    /// How often it has changed; 0 before it is placed.
    pub(super) version: i64,
}

impl Status {
    /// The name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Self::Placed, Self::Paid, Self::Shipped, Self::Cancelled].into_iter().find(|status| status.name() == name)
    }
}

impl Step {
    /// The type of the event that tells of it.
    pub(super) fn event_type(self) -> &'static str {
        match self {
            Self::Place => "OrderPlaced",
            Self::Pay => "OrderPaid",
            Self::Ship => "OrderShipped",
            Self::Cancel => "OrderCancelled",
        }
    }
}

impl Order {
    /// An order that is about to be placed.
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self {
            id: Uuid::now_v7(),
            customer: format!("c-{}", dice.between(1000, 1999)),
            status: None,
            total_cents: i64::from(u32::try_from(dice.between(490, 49_900)).unwrap_or_default()),
            parcels: dice.one_of([1, 1, 1, 2, 2, 3, 4]),
            dispatched: 0,
            version: 0,
        }
    }

    /// Whether something can still happen to it.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.status, Some(Status::Shipped | Status::Cancelled))
    }

    /// The next steps, at most so many.
    pub(super) fn plan(&self, most: u64, dice: &mut Dice) -> Vec<Step> {
        let mut later = self.clone();
        let mut steps = Vec::new();
        for _ in 0..most {
            let Some(step) = later.next_step(dice) else { break };
            later.apply(step);
            steps.push(step);
        }
        steps
    }

    /// Change the order.
    pub(super) fn apply(&mut self, step: Step) {
        self.version += 1;
        self.status = Some(match step {
            Step::Place => Status::Placed,
            Step::Pay => Status::Paid,
            Step::Cancel => Status::Cancelled,
            Step::Ship => {
                self.dispatched += 1;
                if self.dispatched < self.parcels { Status::Paid } else { Status::Shipped }
            }
        });
    }

    /// What the event says about a step that was just applied.
    pub(super) fn payload(&self, step: Step, dice: &mut Dice) -> Value {
        let mut payload =
            json!({ "order_id": self.id.to_string(), "version": self.version, "customer": self.customer });
        let details = match step {
            Step::Place => json!({ "items": items(dice), "total": self.total() }),
            Step::Pay => json!({ "total": self.total(), "method": dice.one_of(["card", "transfer", "invoice"]) }),
            Step::Ship => json!({
                "parcel": self.dispatched,
                "parcels": self.parcels,
                "carrier": dice.one_of(["DHL", "DPD", "UPS"]),
                "tracking": format!("{:012}", dice.roll() % 1_000_000_000_000),
            }),
            Step::Cancel => json!({ "reason": dice.one_of(["changed my mind", "out of stock", "too slow für mich"]) }),
        };
        if let (Value::Object(payload), Value::Object(details)) = (&mut payload, details) {
            payload.extend(details);
        }
        payload
    }

    /// The price as events say it.
    fn total(&self) -> Value {
        json!({ "cents": self.total_cents, "currency": "EUR" })
    }

    /// What happens next, if anything can.
    fn next_step(&self, dice: &mut Dice) -> Option<Step> {
        let is_regretted = dice.chance(8);
        match self.status {
            None => Some(Step::Place),
            Some(Status::Placed) if is_regretted => Some(Step::Cancel),
            Some(Status::Placed) => Some(Step::Pay),
            // What has left cannot be cancelled.
            Some(Status::Paid) if is_regretted && self.dispatched == 0 => Some(Step::Cancel),
            Some(Status::Paid) => Some(Step::Ship),
            Some(Status::Shipped | Status::Cancelled) => None,
        }
    }
}

/// What a customer orders.
fn items(dice: &mut Dice) -> Vec<Value> {
    let count = dice.between(1, 3);
    let sku = |dice: &mut Dice| dice.one_of(["MUG-01", "TEA-07", "BOOK-112", "LAMP-3", "PEN-20"]);
    (0..count).map(|_| json!({ "sku": sku(dice), "quantity": dice.between(1, 4) })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_ends_shipped_or_cancelled_and_counts_its_changes() {
        let mut dice = Dice::new();
        for _ in 0..200 {
            let mut order = Order::new(&mut dice);
            let steps = order.plan(100, &mut dice);
            for step in &steps {
                assert!(order.is_open());
                order.apply(*step);
            }
            assert_eq!(steps.first(), Some(&Step::Place));
            assert_eq!(order.version, i64::try_from(steps.len()).unwrap());
            assert!(!order.is_open());
            assert_eq!(order.status == Some(Status::Shipped), order.dispatched == order.parcels);
        }
    }

    #[test]
    fn a_payload_says_which_change_it_is() {
        let mut dice = Dice::new();
        let mut order = Order::new(&mut dice);
        order.apply(Step::Place);
        let payload = order.payload(Step::Place, &mut dice);
        assert_eq!(payload["version"], 1);
        assert_eq!(payload["order_id"], order.id.to_string());
        assert_eq!(payload["total"]["cents"], order.total_cents);
    }

    #[test]
    fn names_of_states_are_read_back() {
        assert_eq!(Status::of_name("shipped"), Some(Status::Shipped));
        assert_eq!(Status::of_name("lost"), None);
    }
}
