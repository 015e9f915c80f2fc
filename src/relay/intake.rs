//! Reads the log's messages on the way into the state machine: finds the outbox among the tables, rows among the
//! changes, and makes messages of the rows that are to be published.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    progress::Progress,
    state::{Effect, Event, Relay, StopReason},
};
use crate::{
    lsn::Lsn,
    outbox::{BaseTypes, BindError, Binding, Mapping, Traceable},
    pgoutput::{DecodeError, Message as LogMessage, Relation, Tuple},
    position::Place,
    publish::{CameTo, Chain, Composed, Composer, Halt, Message},
};

/// Makes messages out of log.
#[derive(Debug)]
pub struct Intake {
    mapping: Mapping,
    base_types: BaseTypes,
    outbox: Option<Table>,
    foreign: HashSet<u32>,
    composer: Composer,
    progress: Arc<Progress>,
}

#[derive(Debug)]
struct Table {
    relation_id: u32,
    binding: Binding,
}

/// What one piece of log came to.
#[derive(Debug)]
pub(super) enum Taken {
    /// Nothing to send.
    Nothing,
    /// A message to publish under this sequence.
    Message(Message, u64),
    /// The end of a transaction, which is where the received log now ends.
    Commit(Lsn),
}

impl Intake {
    /// Looks for the mapped table; `base_types` names the built-in type behind each type of the database's own.
    pub fn new(mapping: Mapping, base_types: BaseTypes, composer: Composer, progress: Arc<Progress>) -> Self {
        Self { mapping, base_types, outbox: None, foreign: HashSet::new(), composer, progress }
    }

    /// Takes in one message of the log.
    pub(super) fn take(&mut self, data: &Bytes, relay: &mut Relay, now: Instant) -> Result<Taken, IntakeError> {
        let effect = match LogMessage::decode(data)? {
            LogMessage::Insert { relation_id, new } => {
                return self.insert(relation_id, new, Row { data, now }, relay);
            }
            LogMessage::Begin(begin) => {
                self.progress.transaction_received();
                relay.apply(Event::Begin { commit_lsn: begin.final_lsn, commit_time_us: begin.commit_time_us })
            }
            LogMessage::Commit(commit) => {
                let (commit_lsn, end_lsn) = (commit.commit_lsn, commit.end_lsn);
                stop_if_told(relay.apply(Event::Commit { commit_lsn, end_lsn }))?;
                return Ok(Taken::Commit(end_lsn));
            }
            LogMessage::Relation(relation) => {
                self.learn(&relation)?;
                Effect::None
            }
            LogMessage::Update { .. } | LogMessage::Delete { .. } | LogMessage::Truncate { .. } => {
                self.progress.change_ignored();
                Effect::None
            }
            LogMessage::Origin { .. } | LogMessage::Type { .. } | LogMessage::Logical { .. } => Effect::None,
        };
        stop_if_told(effect)?;
        Ok(Taken::Nothing)
    }

    /// A table is described before its first row and again after every change of its definition.
    fn learn(&mut self, relation: &Relation) -> Result<(), IntakeError> {
        if self.mapping.table.is_for(relation) {
            let binding = Binding::bind(&self.mapping, relation, &self.base_types)?;
            self.outbox = Some(Table { relation_id: relation.id, binding });
            self.foreign.remove(&relation.id);
            return Ok(());
        }
        // It may have been the outbox until it was renamed.
        self.outbox.take_if(|table| table.relation_id == relation.id);
        if self.foreign.insert(relation.id) {
            tracing::warn!(
                table = %format_args!("{}.{}", relation.namespace, relation.name),
                "the publication holds a table that is not the outbox; its rows are ignored",
            );
        }
        Ok(())
    }

    fn insert(
        &mut self,
        relation_id: u32,
        tuple: Tuple<'_>,
        row: Row<'_>,
        relay: &mut Relay,
    ) -> Result<Taken, IntakeError> {
        let Some(table) = self.outbox.as_ref().filter(|table| table.relation_id == relation_id) else {
            if self.foreign.contains(&relation_id) {
                self.progress.change_ignored();
                return Ok(Taken::Nothing);
            }
            return Err(IntakeError::UnknownRelation(relation_id));
        };
        let (expected_last_sequence, place) = match relay.apply(Event::Row { bytes: row.data.len(), now: row.now }) {
            Effect::Publish { expected_last_sequence, place } => (expected_last_sequence, place),
            Effect::Skip => {
                self.progress.skipped();
                return Ok(Taken::Nothing);
            }
            other => return stop_if_told(other).map(|()| Taken::Nothing),
        };
        let chain = Chain { expected_last_sequence, place };
        let composed = self.composer.compose(&table.binding, tuple, row.data, chain)?;
        self.account_for(&composed, place);
        self.progress.published(place.commit_lsn);
        Ok(Taken::Message(composed.message, expected_last_sequence + 1))
    }

    /// Counts and logs what is unusual about the message of a row; to be done once for each row.
    fn account_for(&self, composed: &Composed<'_>, place: Place) {
        let event_id = composed.id.as_deref().map(Traceable).map(tracing::field::display);
        match &composed.came_to {
            CameTo::Event(dropped) => {
                let Some((reason, name)) = dropped.first() else { return };
                let count = dropped.total();
                self.progress.headers_dropped(count.into());
                tracing::warn!(event_id, position = %place, count, %reason, name, "dropped headers that no message may carry");
            }
            CameTo::DeadLetter(poison) => {
                self.progress.dead_letter(poison.reason);
                let (reason, detail) = (poison.reason, &poison.detail);
                tracing::warn!(event_id, position = %place, %reason, detail, "no message can carry an event; a dead letter takes its place");
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Row<'a> {
    data: &'a Bytes,
    now: Instant,
}

fn stop_if_told(effect: Effect) -> Result<(), IntakeError> {
    match effect {
        Effect::Stop(reason) => Err(IntakeError::Stop(reason)),
        _ => Ok(()),
    }
}

/// Log that cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Bytes that are no pgoutput.
    #[error("a message of the output plugin cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// The table does not have the columns that the configuration names.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A row of a table that was never described.
    #[error("a row came of relation {0}, which Postgres did not describe")]
    UnknownRelation(u32),
    /// A row that is not to be passed over.
    #[error(transparent)]
    Halt(#[from] Box<Halt>),
    /// The state machine says stop.
    #[error("{0}")]
    Stop(StopReason),
}

impl IntakeError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bind(error) => Some(error.hint()),
            Self::Halt(halt) => halt.hint(),
            Self::Decode(_) | Self::UnknownRelation(_) | Self::Stop(_) => None,
        }
    }
}
