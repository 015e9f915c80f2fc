//! What is asked about webhooks: which endpoints there are, and how each stands in JetStream.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Patience, Silence,
    answer::{Answer, within},
};
use crate::{
    config::Webhooks,
    endpoint_table::Listing,
    plan::Plan,
    publish::{BrokerError, lasting_client},
    webhooks::{Look, SetupError, Standing, Store},
};

/// Webhooks.
#[derive(Debug)]
pub struct WebhooksSide {
    /// The endpoints of the file, or of the table.
    pub listing: Answer<Listing>,
    /// How each of them stands, in their order.
    pub look: Answer<Look>,
    /// How long an instance that says nothing keeps an endpoint.
    pub lease: Duration,
    /// When one looked.
    pub at: Timestamp,
}

impl WebhooksSide {
    /// Asks; none if no endpoint is configured, and no table of them.
    pub(super) async fn ask(plan: &Plan, webhooks: &Webhooks, patience: Patience) -> Option<Self> {
        if webhooks.endpoints.is_empty() && webhooks.table.is_none() {
            return None;
        }
        let limit = patience.connection + patience.answer;
        let listing = within(limit, Listing::now(webhooks, Some(&plan.endpoint))).await;
        let look = match &listing {
            Ok(listing) => within(limit, look(plan, listing)).await,
            Err(_) => Err(Silence::unasked()),
        };
        Some(Self { listing, look, lease: webhooks.lease, at: Timestamp::now() })
    }

    /// How each endpoint stands, as far as that was answered.
    pub fn standings(&self) -> Vec<Standing> {
        let (Ok(listing), Ok(look)) = (&self.listing, &self.look) else { return Vec::new() };
        Standing::all(listing.endpoints.iter().map(AsRef::as_ref), look, self.lease, self.at)
    }
}

async fn look(plan: &Plan, listing: &Listing) -> Result<Look, Unseen> {
    let client = lasting_client(&plan.broker, "walpost").await.map_err(Unseen::Unreachable)?;
    Store::new(client, &plan.stream.name).look(&listing.endpoints).await.map_err(Unseen::Unset)
}

/// Why nothing was seen in JetStream.
enum Unseen {
    Unreachable(BrokerError),
    Unset(SetupError),
}

impl From<Unseen> for Silence {
    fn from(unseen: Unseen) -> Self {
        match unseen {
            Unseen::Unreachable(error) => error.into(),
            Unseen::Unset(error) => error.into(),
        }
    }
}
