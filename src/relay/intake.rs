//! Reads the log's messages on the way into the state machine, and makes messages of the rows that are due: finds the
//! outbox among the tables, and rows among the changes.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    event::{Due, Effect, Event, Mode, StopReason},
    notes::StatusNotes,
    progress::Progress,
    state::Relay,
};
use crate::{
    lsn::Lsn,
    outbox::{BaseTypes, BindError, Binding, Mapping, Traceable},
    pgoutput::{DecodeError, KeptTuple, Message as LogMessage, Relation, Tuple},
    position::Place,
    publish::{CameTo, Chain, Composed, Composer, Halt, Message, MessageId, SizeLimits},
};

/// Makes messages out of log.
#[derive(Debug)]
pub struct Intake {
    mode: Mode,
    mapping: Mapping,
    base_types: BaseTypes,
    outbox: Option<Table>,
    foreign: HashSet<u32>,
    composer: Composer,
    /// Whether a message names the one before it.
    is_linked: bool,
    progress: Arc<Progress>,
    notes: Arc<StatusNotes>,
    /// The lower half of the id of the transaction that is being received.
    xid: u32,
    /// The same once the transaction has a row.
    xid_with_rows: Option<u32>,
}

/// A row as it came out of the log, with the description of its table at that moment: enough to make its message, more
/// than once if need be.
#[derive(Clone, Debug)]
pub struct LogRow {
    tuple: KeptTuple,
    binding: Arc<Binding>,
    /// What was said about its message so far.
    told: Cell<Told>,
    /// The id that its message went under, for the message behind it.
    id: RefCell<Option<MessageId>>,
}

/// How much was said about a row. A limit may change before its message is made again, so that more is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    DroppedHeaders,
    DeadLetter,
}

#[derive(Debug)]
struct Table {
    relation_id: u32,
    binding: Arc<Binding>,
}

impl Intake {
    /// Looks for the mapped table; `base_types` names the built-in type behind each type of the database's own.
    pub fn new(
        mode: Mode,
        mapping: Mapping,
        base_types: BaseTypes,
        composer: Composer,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            mode,
            mapping,
            base_types,
            outbox: None,
            foreign: HashSet::new(),
            composer,
            is_linked: true,
            progress,
            notes: Arc::default(),
            xid: 0,
            xid_with_rows: None,
        }
    }

    /// Takes notes for the delivery status from now on.
    pub fn take_notes(&mut self, notes: Arc<StatusNotes>) {
        self.notes = notes;
    }

    /// The notes that it takes.
    pub(super) fn notes(&self) -> &StatusNotes {
        &self.notes
    }

    /// Whether messages name the one before them from now on. Not where several servers keep the stream: a server
    /// that comes back and catches up knows the messages and not the last id, takes the next message for a contradiction,
    /// and gives its copy of the stream up (seen on 2.15.1 as "last msgid mismatch ... critical write error").
    pub fn link_messages(&mut self, is_linked: bool) {
        self.is_linked = is_linked;
    }

    /// The account that it keeps.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Makes messages within the limits of another broker connection from now on.
    pub fn limit_messages(&mut self, limits: SizeLimits) {
        self.composer.set_limits(limits);
    }

    /// Takes in one message of the log. At the end of a transaction: where the received log now ends.
    pub(super) fn take(
        &mut self,
        data: &Bytes,
        relay: &mut Relay<LogRow>,
        now: Instant,
    ) -> Result<Option<Lsn>, IntakeError> {
        let effect = match LogMessage::decode(data)? {
            LogMessage::Insert { relation_id, new } => {
                let effect = self.insert(relation_id, new, data, relay)?;
                if effect != Effect::None {
                    self.xid_with_rows = Some(self.xid);
                }
                effect
            }
            LogMessage::Begin(begin) => {
                self.progress.transaction_received();
                self.xid = begin.xid;
                relay.apply(Event::Begin { commit_lsn: begin.final_lsn, commit_time_us: begin.commit_time_us })
            }
            LogMessage::Commit(commit) => {
                let (commit_lsn, end_lsn) = (commit.commit_lsn, commit.end_lsn);
                if let Some(xid) = self.xid_with_rows.take() {
                    self.notes.transaction(xid);
                }
                stop_if_told(relay.apply(Event::Commit { commit_lsn, end_lsn, now }))?;
                return Ok(Some(end_lsn));
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
        Ok(None)
    }

    /// Makes the message of a row whose turn it is.
    pub(super) fn message(&mut self, due: &Due<'_, LogRow>) -> Result<Message, IntakeError> {
        let Due { place, checkpoint, expected_last_sequence, before, previous, row, .. } = *due;
        let LogRow { tuple, binding, told, id } = row;
        let chain = Chain { expected_last_sequence, place, checkpoint };
        let mut composed = self.composer.compose(binding, tuple.tuple(), tuple.message(), chain)?;
        if self.mode == Mode::Chain && self.is_linked {
            if let Some(before) = before
                && let Some(before) = &*before.id.borrow()
            {
                self.composer.link(&mut composed.message, before);
            }
            id.replace(Some(composed.message.id()));
        } else if let Some(previous) = previous {
            self.composer.name_previous(&mut composed.message, previous);
        }
        if place != checkpoint {
            let event_id = composed.id.as_deref().map(Traceable).map(tracing::field::display);
            tracing::warn!(event_id, position = %place, "an event that was displaced by somebody else's message goes to the end of the stream");
        }
        self.note(&composed, due, told.get());
        told.set(self.account_for(&composed, place, told.get()));
        self.progress.published(place.commit_lsn);
        Ok(composed.message)
    }

    /// Takes a note of a row that became a dead letter, or is none any more.
    fn note(&self, composed: &Composed<'_>, due: &Due<'_, LogRow>, told: Told) {
        match &composed.came_to {
            CameTo::DeadLetter(_) => {
                let sequence = due.expected_last_sequence.map(|last| last + 1);
                if let Some(letter) = composed.message.letter(sequence) {
                    self.notes.dead(due.place, letter);
                }
            }
            CameTo::Event(_) if told == Told::DeadLetter => self.notes.revive(due.place),
            CameTo::Event(_) => {}
        }
    }

    /// Counts and logs what is unusual about the message of a row, unless as much was told before.
    fn account_for(&self, composed: &Composed<'_>, place: Place, told: Told) -> Told {
        let event_id = composed.id.as_deref().map(Traceable).map(tracing::field::display);
        match &composed.came_to {
            CameTo::Event(dropped) if told < Told::DroppedHeaders => {
                let Some((reason, name)) = dropped.first() else { return told };
                let count = dropped.total();
                self.progress.headers_dropped(count.into());
                tracing::warn!(event_id, position = %place, count, %reason, name, "dropped headers that no message may carry");
                Told::DroppedHeaders
            }
            CameTo::DeadLetter(poison) if told < Told::DeadLetter => {
                self.progress.dead_letter(poison.reason);
                let (reason, detail) = (poison.reason, &poison.detail);
                tracing::warn!(event_id, position = %place, %reason, detail, "a dead letter takes the place of an event");
                Told::DeadLetter
            }
            CameTo::Event(_) | CameTo::DeadLetter(_) => told,
        }
    }

    /// A table is described before its first row and again after every change of its definition.
    fn learn(&mut self, relation: &Relation) -> Result<(), IntakeError> {
        self.progress.table_is_described();
        if self.mapping.table.is_for(relation) {
            let binding = Arc::new(Binding::bind(&self.mapping, relation, &self.base_types)?);
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
        &self,
        relation_id: u32,
        new: Tuple<'_>,
        data: &Bytes,
        relay: &mut Relay<LogRow>,
    ) -> Result<Effect, IntakeError> {
        let Some(table) = self.outbox.as_ref().filter(|table| table.relation_id == relation_id) else {
            if self.foreign.contains(&relation_id) {
                self.progress.change_ignored();
                return Ok(Effect::None);
            }
            return Err(IntakeError::UnknownRelation(relation_id));
        };
        let key = if self.mode == Mode::Shared { aggregate_key(&table.binding, new) } else { 0 };
        let bytes = data.len();
        let row = LogRow {
            tuple: KeptTuple::new(new, data).ok_or(IntakeError::NotAnInsert)?,
            binding: Arc::clone(&table.binding),
            told: Cell::new(Told::Nothing),
            id: RefCell::default(),
        };
        let effect = relay.apply(Event::Row { row, bytes, key });
        match effect {
            Effect::Skip => self.progress.skipped(),
            Effect::Displaced => self.progress.displaced(),
            _ => {}
        }
        Ok(effect)
    }
}

/// What stands for the aggregate of a row. Two aggregates that share a key only wait for each other; so do all rows
/// that cannot be read.
fn aggregate_key(binding: &Binding, row: Tuple<'_>) -> u64 {
    let Ok(event) = binding.read(row) else { return 0 };
    let mut hasher = DefaultHasher::new();
    (&*event.aggregate_type, &*event.aggregate_id).hash(&mut hasher);
    hasher.finish()
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
    /// A row that was taken for an insert is none.
    #[error("a message of the output plugin changed its kind (this is a defect in walpost)")]
    NotAnInsert,
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
            // What was made after the start is found when walpost looks again.
            Self::Bind(error) if error.unknown_types().next().is_some() => {
                Some(format!("nothing if the type is new: walpost looks again; otherwise {}", error.hint()))
            }
            Self::Bind(error) => Some(error.hint()),
            Self::Halt(halt) => halt.hint(),
            Self::Stop(reason) => reason.hint().map(str::to_owned),
            Self::Decode(_) | Self::NotAnInsert | Self::UnknownRelation(_) => {
                Some("report it with the versions of walpost and Postgres".to_owned())
            }
        }
    }
}
