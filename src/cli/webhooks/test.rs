//! `walpost webhooks test`: one sample event, from here, past every queue.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{EndpointArgs, find};
use crate::{
    cli::{
        Exit, Failure,
        console::{Console, Ink},
        runtime,
    },
    config::WorkerConfig,
    webhooks::{Event, HttpClient, Outcome, OutcomeClass, Patience, Resolver, compose, tls_config},
};

/// Sends the sample.
pub(super) fn test(args: &EndpointArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let endpoint = &*runtime::block_on(find(config, &args.endpoint))?;
    let webhooks = &config.webhooks;
    let tls = tls_config(webhooks.tls_ca.as_deref()).map_err(Failure::new)?;
    let patience = Patience { connect: endpoint.timeout, total: endpoint.timeout };
    let client = HttpClient::new(
        endpoint.target.clone(),
        webhooks.guard.clone(),
        Resolver::system(),
        Arc::clone(&tls),
        patience,
    );
    let now = Timestamp::now();
    let event = Event {
        sequence: 0,
        subject: "walpost.webhook.test".to_owned(),
        id: format!("test-{}", Uuid::new_v4()),
        aggregate_type: "webhook".to_owned(),
        aggregate_id: endpoint.name.to_string(),
        event_type: "walpost.webhook.test".to_owned(),
        created_at: Some(now.to_string()),
        headers: Vec::new(),
        payload: Bytes::from_static(br#"{"test": true}"#),
    };
    let delivery = compose(endpoint, &event, config.nats.stream.as_str(), 1, now);
    let outcome = runtime::block_on(async { Ok(client.post(&delivery).await) })?;
    let (word, exit) = match outcome.class() {
        OutcomeClass::Delivered => (console.out().paint(Ink::Good, "delivered"), Exit::Done),
        class => (console.out().paint(Ink::Error, class.name()), Exit::Failed),
    };
    let status = outcome.status().map(|status| format!("  status {status}")).unwrap_or_default();
    writeln!(console.out(), "{word}{status}  {}  {}", event.id, endpoint.target)?;
    if let Some(hint) = hint(&outcome) {
        let hint_word = console.err().paint(Ink::Hint, "hint:");
        writeln!(console.err(), "{hint_word} {hint}")?;
    }
    Ok(exit)
}

/// What to do about an outcome, where that is known.
fn hint(outcome: &Outcome) -> Option<&'static str> {
    Some(match outcome.class() {
        OutcomeClass::Delivered | OutcomeClass::ServerError => return None,
        OutcomeClass::Redirect => "redirects are not followed: give the URL that it leads to",
        OutcomeClass::ClientError => {
            "see what the endpoint says about it: a signature that it does not accept, a wrong path"
        }
        OutcomeClass::Gone => "the endpoint says that it wants no more events: `run` would disable it",
        OutcomeClass::Timeout => "the endpoint must answer within its timeout: let it store the event, and work later",
        OutcomeClass::Unresolved => "the host name of the URL is unknown: check its spelling and the resolver",
        OutcomeClass::AddressRefused => {
            "the name leads to no address of the public internet: webhooks.allow_addresses lets it"
        }
        OutcomeClass::Unreachable => "nothing listens there, or a firewall is between",
        OutcomeClass::Tls => "check the certificate: its name, its date, and its authority (webhooks.tls_ca)",
        OutcomeClass::Broken => "what listens there breaks the connection or does not speak HTTP",
    })
}
