//! Webhooks: how much one worker delivers and what that costs, and whether those that are well notice those that are not.
//!
//! `-- webhooks --deliveries 12000 --rounds 3 --webhook-seconds 9`. Events are messages that walpost has stored in its
//! stream; the worker is a process of its own, with the defaults of each endpoint unless it is said otherwise.

mod bare;
mod beside;
mod office;
mod rate;
mod receiver;

use serde_json::{Value, json};

use crate::{arguments::Arguments, world::World};

pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let beside = beside::measure(world, arguments).await;
    let rate = rate::measure(world, arguments).await;
    json!({ "rate": rate, "beside": beside })
}
