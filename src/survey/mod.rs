//! What can be seen of both sides from outside, beyond what preflight asks: for `walpost doctor` and `walpost status`.
//!
//! ```text
//! Plan + Patience -> Survey      everything is asked at once, nothing is changed
//! ```
//!
//! Each question has a time limit of its own, and one that fails costs its own answer only: whoever looks at a system
//! that is half broken wants to see the other half. Nothing is judged here.

mod answer;
mod nats;
mod outbox_lag;
mod postgres;
mod settings;
mod slots;
mod watch;
mod webhooks;

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::join;

use self::watch::Watch;
pub use self::{
    answer::{Answer, Silence},
    nats::{NatsAnswers, NatsSide, Right},
    outbox_lag::OutboxLag,
    postgres::{Link, LoggedIn, OldTransaction, PostgresAnswers, PostgresSide, Provider},
    settings::{Setting, Settings},
    slots::SlotSeen,
    webhooks::{Kept, TableSide, Way, WebhooksSide},
};
use crate::{admin, config::Config, plan::Plan};

/// How much to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Whole,
    /// What changes from one moment to the next: no rights, no replication connection, no rate.
    Glance,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connection: Duration,
    /// For each answer.
    pub answer: Duration,
    /// Between two looks at what the slot holds back, for how fast that grows.
    pub sample: Duration,
    /// For everything together.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            // Whoever looks is waiting; a server that needs longer is worth a finding.
            connection: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            sample: Duration::from_secs(1),
            // A server that takes connections and is stuck costs each question its time, and there are a dozen.
            whole: Duration::from_secs(15),
        }
    }
}

/// What was seen.
#[derive(Debug)]
pub struct Survey {
    /// Of Postgres.
    pub postgres: PostgresSide,
    /// Of NATS.
    pub nats: NatsSide,
    /// Of webhooks; none if there are to be none.
    pub webhooks: Option<WebhooksSide>,
    /// Of the walpost that runs here; none if none does.
    pub service: Answer<Option<Value>>,
    /// Where that was looked for.
    pub admin: SocketAddr,
}

impl Survey {
    /// Asks everybody.
    pub async fn of(plan: &Plan, config: &Config, scope: Scope, patience: Patience) -> Self {
        let admin = config.admin.listen;
        let watch = Watch::start(patience);
        let (postgres, nats, webhooks, service) = join!(
            Box::pin(PostgresSide::ask(plan, scope, watch)),
            Box::pin(NatsSide::ask(plan, scope, watch)),
            Box::pin(WebhooksSide::ask(plan, &config.webhooks, scope, watch)),
            answer::within(watch.answer(), admin::ask_status(admin)),
        );
        Self { postgres, nats, webhooks, service, admin }
    }
}
