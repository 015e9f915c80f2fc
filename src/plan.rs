//! From the configuration to what each stage wants to know.
//!
//! Stages know no configuration: they take small values of their own. This is the one place that knows both.

use std::{sync::Arc, time::Duration};

use crate::{
    config::{self, Config},
    outbox::Template,
    postgres::Endpoint,
    preflight::Needs,
    publish::{BrokerOptions, Credentials, OnPoison, StreamPlan, TlsFiles},
    relay::{Limits, OnOrphans, Window},
};

/// How much whoever does not deliver has under way at once.
const FEW_IN_FLIGHT: usize = 256;

/// What it takes to deliver.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The database.
    pub endpoint: Endpoint,
    /// Slot, publication and table.
    pub needs: Needs,
    /// How subjects are made.
    pub template: Arc<Template>,
    /// The way to NATS.
    pub broker: BrokerOptions,
    /// The stream.
    pub stream: StreamPlan,
    /// How much may be under way.
    pub window: Window,
    /// How much later than it was stored an event is confirmed to Postgres.
    pub hold_back: Duration,
    /// How long things may take.
    pub limits: Limits,
    /// What becomes of an event that no message can carry.
    pub on_poison: OnPoison,
    /// What becomes of events in the stream that a failover lost.
    pub on_orphans: OnOrphans,
    /// How old delivered rows must be to be deleted; none keeps them.
    pub delete_after: Option<Duration>,
}

impl Plan {
    /// The plan that a configuration describes.
    pub fn new(config: &Config) -> Self {
        let Config { postgres, outbox, nats, delivery, retention, .. } = config;
        let template = &nats.subject;
        Self {
            endpoint: postgres.endpoint.clone(),
            needs: Needs {
                slot: postgres.slot.to_string(),
                publication: postgres.publication.to_string(),
                mapping: outbox.clone(),
                deletes_rows: retention.delete_after.is_some(),
            },
            template: Arc::new(template.clone()),
            broker: BrokerOptions { max_in_flight: delivery.max_in_flight, ..broker(nats) },
            stream: StreamPlan {
                name: nats.stream.to_string(),
                subjects: vec![template.stream_subjects(), template.dead_letter_subjects()],
            },
            window: Window { max_in_flight: delivery.max_in_flight, max_in_flight_bytes: delivery.max_in_flight_bytes },
            hold_back: delivery.hold_back,
            limits: Limits { publish_timeout: delivery.publish_timeout, drain_timeout: delivery.drain_timeout },
            on_poison: delivery.on_poison,
            on_orphans: delivery.on_orphans,
            delete_after: retention.delete_after,
        }
    }
}

/// The way to NATS, for somebody who has little under way at once.
pub fn broker(nats: &config::Nats) -> BrokerOptions {
    BrokerOptions {
        servers: nats.servers.clone(),
        credentials: credentials(&nats.login),
        url_file: nats.url_file.as_ref().map(|file| file.map(|nats| (nats.servers, credentials(&nats.login)))),
        tls: tls(&nats.tls),
        inbox_prefix: nats.inbox_prefix.to_string(),
        stream: nats.stream.to_string(),
        max_in_flight: FEW_IN_FLIGHT,
    }
}

fn credentials(login: &config::Login) -> Credentials {
    match login {
        config::Login::Anonymous => Credentials::None,
        config::Login::CredentialsFile(path) => Credentials::CredsFile(path.clone()),
        config::Login::Nkey(seed) => Credentials::NkeySeed(seed.source()),
        config::Login::User { user, password } => Credentials::UserPassword(user.clone(), password.source()),
        config::Login::Token(token) => Credentials::Token(token.source()),
    }
}

fn tls(tls: &config::Tls) -> TlsFiles {
    TlsFiles { required: tls.is_required, ca: tls.ca.clone(), client: tls.identity.clone() }
}
