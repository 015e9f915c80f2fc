//! `[webhooks]` and `[[webhooks.endpoint]]`: where events are sent to over HTTP.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use super::{
    endpoint::{self, Surroundings},
    endpoint_table::EndpointTable,
    endpoints::ENDPOINT,
    keys,
    nats::Nats,
    origin::Origin,
    problem::{Problem, Reason, quoted},
    reader::Reader,
    units::one_of,
};
use crate::{
    outbox::TableNameError,
    webhooks::{Cidr, Endpoint, Guard, Ports, PortsError},
};

/// Where events are sent to over HTTP.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// How long an instance that says nothing keeps an endpoint from the others.
    pub lease: Duration,
    /// The addresses and ports that may be connected to.
    pub guard: Guard,
    /// Certificates that receivers' are verified against; the system's if absent.
    pub tls_ca: Option<PathBuf>,
    /// The endpoints of the file.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Where each of them stands, in the same order.
    pub origins: Vec<Origin>,
    /// The table that the endpoints are in, if they are not in the file.
    pub table: Option<EndpointTable>,
}

/// Where the endpoints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In the file.
    File,
    /// In a table of the database.
    Table,
}

impl Source {
    /// The words for it.
    const WORDS: [(&'static str, Self); 2] = [("file", Self::File), ("table", Self::Table)];

    /// What the text of the key says, before anybody looks whether it is right.
    pub(super) fn is_table(reader: &Reader) -> bool {
        reader.text(&keys::WEBHOOKS_SOURCE).is_some_and(|text| text == "table")
    }

    /// Whether somebody has configured webhooks, with endpoints that are not in a table.
    pub(super) fn is_file_alone(reader: &Reader) -> bool {
        !Self::is_table(reader) && (reader.has_endpoints() || reader.has(&keys::WEBHOOKS_SOURCE))
    }
}

impl Webhooks {
    /// Reads the section. `nats` tells which subjects there are.
    pub(super) fn read(reader: &mut Reader, nats: Option<&Nats>) -> Option<Self> {
        let lease = reader.duration(&keys::WEBHOOKS_LEASE);
        let allowed = reader.optional(&keys::WEBHOOKS_ALLOW_ADDRESSES, networks);
        let ports = reader.optional(&keys::WEBHOOKS_ALLOW_PORTS, ports);
        let tls_ca = reader.path(&keys::WEBHOOKS_TLS_CA);
        let source = reader.required(&keys::WEBHOOKS_SOURCE, |text| one_of(text, &Source::WORDS));
        let table = reader.required(&keys::WEBHOOKS_TABLE, |text| {
            text.parse().map_err(|error: TableNameError| Reason::new(error.to_string()))
        });
        let refresh = reader.duration(&keys::WEBHOOKS_REFRESH);
        let guard = Guard::allowing(allowed.clone().flatten().unwrap_or_default());
        let guard = guard.at_ports(ports.clone().flatten().unwrap_or_else(|| usual_ports(source)));
        let subjects = nats.map_or_else(Vec::new, |nats| vec![nats.subject.stream_subjects()]);
        let read = read_endpoints(reader, source, &guard, &subjects);

        let (lease, tls_ca, table, refresh) = (lease?, tls_ca?, table?, refresh?);
        allowed.and(ports)?;
        let table = EndpointTable { name: table, refresh, guard: guard.clone(), subjects };
        let table = Some(table).filter(|_| source == Some(Source::Table));
        let (endpoints, origins) = read?;
        source.map(|_| Self { lease, guard, tls_ca, endpoints, origins, table })
    }
}

/// The endpoints of the file, and where each stands; none if anything is wrong with them.
fn read_endpoints(
    reader: &mut Reader,
    source: Option<Source>,
    guard: &Guard,
    all_subjects: &[String],
) -> Option<(Vec<Arc<Endpoint>>, Vec<Origin>)> {
    let (mut endpoints, mut origins, mut names, mut is_whole) = (Vec::new(), Vec::new(), BTreeSet::new(), true);
    for given in reader.take_endpoints() {
        let origin = given.origin.clone();
        if source == Some(Source::Table) {
            let reason = Reason::new(format!("{ENDPOINT}: cannot go together with webhooks.source = \"table\""));
            let hint = "insert the endpoint into the table, or take `source` away";
            reader.refuse(Problem::at(origin, reason.hint(hint)));
            is_whole = false;
            continue;
        }
        let around = Surroundings { of: Some(ENDPOINT), guard, all_subjects, variables: Some(reader.variables()) };
        match endpoint::read(given, &around) {
            Ok(endpoint) if !names.insert(endpoint.name.clone()) => {
                let reason =
                    format!("{ENDPOINT}.name: {} is the name of another endpoint", quoted(endpoint.name.as_str()));
                reader.refuse(Problem::at(origin, Reason::new(reason)));
                is_whole = false;
            }
            Ok(endpoint) => {
                endpoints.push(Arc::new(endpoint));
                origins.push(origin);
            }
            Err(problems) => {
                problems.into_iter().for_each(|problem| reader.refuse(problem));
                is_whole = false;
            }
        }
    }
    is_whole.then_some((endpoints, origins))
}

/// The ports that endpoints may have if nobody says which. The file is the operator's, who knows where receivers are; rows
/// may be written by anybody whom an application lets.
fn usual_ports(source: Option<Source>) -> Ports {
    if source == Some(Source::Table) { Ports::of_the_web() } else { Ports::any() }
}

/// Ports with commas between them.
fn ports(text: &str) -> Result<Ports, Reason> {
    text.parse().map_err(|error: PortsError| Reason::new(format!("{}: {error}", quoted(text))))
}

/// Networks with commas between them.
fn networks(text: &str) -> Result<Vec<Cidr>, Reason> {
    let one = |text: &str| {
        let text = text.trim();
        text.parse().map_err(|error| Reason::new(format!("{}: {error}", quoted(text))))
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
#[path = "webhooks/tests.rs"]
mod tests;
