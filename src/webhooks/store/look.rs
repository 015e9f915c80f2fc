//! What JetStream tells of endpoints at a moment, for whoever looks. Nothing is changed by it, and it needs no consumer.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{OutboxSeen, Record, SetupError, Store, StoreError, Written, is_absence, millis};
use crate::webhooks::endpoint::Endpoint;

/// How many endpoints are asked about at once.
const AT_ONCE: usize = 16;

/// Everything that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The stream that the events come from.
    pub outbox: OutboxSeen,
    /// How each endpoint stands, in the order in which they were asked about.
    pub endpoints: Vec<EndpointLook>,
}

/// How one endpoint stands in JetStream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointLook {
    /// Its record; none if it was never served.
    pub record: Option<Record>,
    /// Whether the record is of another stream, of the same name.
    pub is_strange: bool,
    /// When that was written, in milliseconds since 1970.
    pub written_ms: u64,
    /// The first event that it wants and that is not read yet.
    pub first_unread: Option<u64>,
    /// The oldest event that is neither delivered nor a dead letter; none if there is none that the stream still has.
    pub oldest: Option<Stored>,
    /// How many dead letters it has.
    pub dead: u64,
}

/// A message of the outbox stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Its sequence.
    pub sequence: u64,
    /// When it was stored, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Store {
    /// Looks at these endpoints.
    pub async fn look(&self, endpoints: &[Arc<Endpoint>]) -> Result<Look, SetupError> {
        self.check().await?;
        let (outbox, mut dead) = (self.outbox().await?, self.count_dead().await?);
        let looks = stream::iter(endpoints).map(|endpoint| self.look_at(endpoint, &outbox)).buffered(AT_ONCE);
        let mut looks: Vec<EndpointLook> = looks.try_collect().await?;
        for (endpoint, look) in endpoints.iter().zip(&mut looks) {
            look.dead = dead.remove(endpoint.name.as_str()).unwrap_or_default();
        }
        Ok(Look { outbox, endpoints: looks })
    }

    async fn look_at(&self, endpoint: &Endpoint, outbox: &OutboxSeen) -> Result<EndpointLook, StoreError> {
        let Some((Written { value: record, .. }, written_ms)) = self.record_at(&endpoint.name).await? else {
            return Ok(EndpointLook::default());
        };
        let unread = self.first_behind(record.ledger.read, &endpoint.subjects).await?;
        let open = match record.ledger.open.first() {
            Some(open) => self.stored_at_ms(open.0).await?.map(|at_ms| Stored { sequence: open.0, at_ms }),
            None => None,
        };
        Ok(EndpointLook {
            is_strange: !self.is_of_stream(&record, outbox).await?,
            written_ms,
            first_unread: unread.map(|unread| unread.sequence),
            oldest: open.or(unread),
            record: Some(record),
            dead: 0,
        })
    }

    /// The first message of the outbox stream behind this sequence that has one of these subjects.
    async fn first_behind(&self, read: u64, subjects: &[String]) -> Result<Option<Stored>, StoreError> {
        const WHAT: &str = "look for what is not read";
        let stream = self.stream(&self.outbox, WHAT).await?;
        let mut first: Option<Stored> = None;
        for subject in subjects {
            match stream.get_first_raw_message_by_subject(subject, read.saturating_add(1)).await {
                Ok(message) => {
                    let at_ms = millis(message.time.unix_timestamp_nanos());
                    let found = Stored { sequence: message.sequence, at_ms };
                    first = Some(first.map_or(found, |first| first.min(found)));
                }
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(StoreError::new(WHAT, error)),
            }
        }
        Ok(first)
    }

    /// How many dead letters each endpoint has that has any.
    async fn count_dead(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        const WHAT: &str = "count dead letters";
        let stream = self.stream(&self.state_stream(), WHAT).await?;
        let prefix = self.state_prefix("dead");
        let subjects = stream.info_with_subjects(format!("{prefix}.>")).await;
        let mut subjects = subjects.map_err(|error| StoreError::new(WHAT, error))?;
        let mut dead = BTreeMap::new();
        while let Some((subject, _)) = subjects.try_next().await.map_err(|error| StoreError::new(WHAT, error))? {
            let endpoint = subject.strip_prefix(&prefix).and_then(|rest| rest.split('.').nth(1));
            *dead.entry(endpoint.unwrap_or_default().to_owned()).or_default() += 1;
        }
        Ok(dead)
    }
}
