//! What is asked about webhooks: which endpoints there are, what they are kept in, and how each stands in JetStream.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    Right, Scope, Silence,
    answer::{Answer, within},
    nats::{missing, refusal},
    watch::Watch,
};
use crate::{
    config::{EndpointTable, Webhooks},
    endpoint_table::{Listing, Shape, TableError, TableReader},
    outbox::quote_identifier,
    plan::Plan,
    publish::lasting_client,
    supervisor,
    webhooks::{Endpoint, Guard, Look, Outcome, OwnStream, Resolver, Standing, Store, admitted},
};

/// How many names are looked up; whoever has more of them has a table full of customers.
const MOST_NAMES: usize = 64;
/// How many at once.
const NAMES_AT_ONCE: usize = 8;

/// Webhooks.
#[derive(Debug)]
pub struct WebhooksSide {
    /// The endpoints of the file, or of the table.
    pub listing: Answer<Listing>,
    /// The table that they are in, if they are.
    pub table: Option<TableSide>,
    /// What NATS answers.
    pub kept: Kept,
    /// Whether the names of endpoints lead somewhere.
    pub ways: Vec<Way>,
    /// How long an instance that says nothing keeps an endpoint.
    pub lease: Duration,
    /// When one looked.
    pub at: Timestamp,
}

/// The table of endpoints.
#[derive(Debug)]
pub struct TableSide {
    /// Its name.
    pub name: String,
    /// What it is; none if there is none.
    pub shape: Answer<Option<Shape>>,
}

/// What is kept in JetStream.
#[derive(Debug)]
pub struct Kept {
    /// What we may not do of what webhooks need.
    pub rights: Answer<Vec<Right>>,
    /// The streams: that of the state, and that of the log.
    pub streams: Answer<[OwnStream; 2]>,
    /// How each endpoint stands, in their order.
    pub look: Answer<Look>,
}

/// The way to an endpoint whose URL has a name.
#[derive(Debug)]
pub struct Way {
    /// The endpoint's name.
    pub endpoint: String,
    /// Its URL, without path and query.
    pub url: String,
    /// Why no address can be connected to, if that is so.
    pub trouble: Answer<Option<Outcome>>,
}

impl WebhooksSide {
    /// Asks; none if no endpoint is configured, and no table of them.
    pub(super) async fn ask(plan: &Plan, webhooks: &Webhooks, scope: Scope, watch: Watch) -> Option<Self> {
        if webhooks.endpoints.is_empty() && webhooks.table.is_none() {
            return None;
        }
        let told = |error: TableError| silence(&error, plan, webhooks);
        let listing = async { Listing::now(webhooks, Some(&plan.endpoint)).await.map_err(told) };
        let table = async {
            let table = webhooks.table.as_ref()?;
            let shape = match scope {
                Scope::Glance => Err(Silence::unasked()),
                Scope::Whole => {
                    let mut reader = TableReader::new(plan.endpoint.clone(), table.clone());
                    within(watch.connection(), async { reader.shape().await.map_err(told) }).await
                }
            };
            Some(TableSide { name: table.name.to_string(), shape })
        };
        // At once, and no longer than for a connection: what NATS keeps is to be asked for, too.
        let (listing, table) = tokio::join!(within(watch.connection(), listing), table);
        let endpoints = listing.as_ref().map_or(&[][..], |listing| &listing.endpoints[..]);
        let (kept, ways) = match scope {
            Scope::Whole => {
                tokio::join!(Kept::ask(plan, endpoints, scope, watch), ways(endpoints, &webhooks.guard, watch))
            }
            Scope::Glance => (Kept::ask(plan, endpoints, scope, watch).await, Vec::new()),
        };
        Some(Self { listing, table, kept, ways, lease: webhooks.lease, at: Timestamp::now() })
    }

    /// How each endpoint stands, as far as that was answered.
    pub fn standings(&self) -> Vec<Standing> {
        let (Ok(listing), Ok(look)) = (&self.listing, &self.kept.look) else { return Vec::new() };
        Standing::all(listing.endpoints.iter().map(AsRef::as_ref), look, self.lease, self.at)
    }
}

impl Kept {
    async fn ask(plan: &Plan, endpoints: &[Arc<Endpoint>], scope: Scope, watch: Watch) -> Self {
        let client = match within(watch.connection(), lasting_client(&plan.broker, "walpost")).await {
            Ok(client) => client,
            Err(silence) => {
                return Self { rights: Err(silence.clone()), streams: Err(silence.clone()), look: Err(silence) };
            }
        };
        let store = Store::new(client, &plan.stream.name);
        let rights = match scope {
            Scope::Whole => missing(plan, needed(&store), watch).await,
            Scope::Glance => Err(Silence::unasked()),
        };
        let refused = ["$JS.API.STREAM.INFO.", "$JS.API.STREAM.MSG.GET."]
            .into_iter()
            .find_map(|api| refusal(rights.as_deref().ok()?, api));
        if let Some(silence) = refused {
            return Self { rights, streams: Err(silence.clone()), look: Err(silence) };
        }
        let streams = match scope {
            Scope::Whole => within(watch.answer(), store.own_streams()).await,
            Scope::Glance => Err(Silence::unasked()),
        };
        Self { rights, streams, look: within(watch.answer(), store.look(endpoints)).await }
    }
}

/// What the NATS user must be allowed.
fn needed(store: &Store) -> Vec<Right> {
    let [all, for_setup] = store.rights();
    let right = |is_for_setup| move |subjects| Right { subjects, is_to_listen: false, is_for_setup };
    all.into_iter().map(right(false)).chain(for_setup.into_iter().map(right(true))).collect()
}

/// Looks up the names of endpoints; nothing is connected to.
async fn ways(endpoints: &[Arc<Endpoint>], guard: &Guard, watch: Watch) -> Vec<Way> {
    let resolver = Resolver::system();
    let named = endpoints.iter().filter(|endpoint| endpoint.is_enabled && endpoint.target.literal().is_none());
    let ways = stream::iter(named.take(MOST_NAMES)).map(|endpoint| {
        let (endpoint, resolver) = (Arc::clone(endpoint), &resolver);
        async move {
            let looked_up = async { Ok::<_, Silence>(admitted(&endpoint.target, guard, resolver).await.err()) };
            let trouble = within(watch.answer(), looked_up).await;
            Way { endpoint: endpoint.name.to_string(), url: endpoint.target.to_string(), trouble }
        }
    });
    ways.buffered(NAMES_AT_ONCE).collect().await
}

/// Why the table was not read, and what mends it.
fn silence(error: &TableError, plan: &Plan, webhooks: &Webhooks) -> Silence {
    let code = error.cause().map(|cause| supervisor::of_sql(cause).0);
    let remedy = match &webhooks.table {
        Some(EndpointTable { name, .. }) if error.is_about_rights() => {
            let (schema, role) = (quoted(name.schema()), quoted(plan.endpoint.user()));
            format!("run `GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {name} TO {role};`")
        }
        _ => error.hint().to_owned(),
    };
    Silence { code, why: error.why(), remedy: Some(remedy) }
}

fn quoted(name: &str) -> String {
    quote_identifier(name).unwrap_or_else(|_| name.to_owned())
}
