//! `[outbox]`: the table that events are read from.

use super::{
    keys,
    names::{Identifier, not_blank},
    problem::Reason,
    reader::Reader,
    units::one_of,
};

/// The outbox table.
#[derive(Clone, Debug)]
pub struct Outbox {
    /// The table, with its schema.
    pub table: String,
    /// How its columns are named, unless [`Outbox::columns`] says otherwise.
    pub preset: Preset,
    /// The columns with a name of their own.
    pub columns: Columns,
}

impl Outbox {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let table = reader.required(&keys::OUTBOX_TABLE, table);
        let preset = reader.required(&keys::OUTBOX_PRESET, |text| one_of(text, &Preset::WORDS));
        let columns = Columns::read(reader);
        Some(Self { table: table?, preset: preset?, columns: columns? })
    }
}

/// The table in `text`.
fn table(text: &str) -> Result<String, Reason> {
    not_blank(text)
}

/// A set of column names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The table that `walpost setup` creates.
    Walpost,
    /// The table of Debezium's outbox event router.
    Debezium,
}

impl Preset {
    /// The presets, with their words.
    const WORDS: [(&'static str, Self); 2] = [("walpost", Self::Walpost), ("debezium", Self::Debezium)];
}

/// Names of columns that differ from the preset.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The unique id of the event.
    pub id: Option<Identifier>,
    /// The type of the thing that the event is about.
    pub aggregate_type: Option<Identifier>,
    /// The id of the thing that the event is about.
    pub aggregate_id: Option<Identifier>,
    /// The type of the event.
    pub event_type: Option<Identifier>,
    /// The body of the message.
    pub payload: Option<Identifier>,
    /// Further headers.
    pub headers: Option<Identifier>,
    /// The time of the event.
    pub created_at: Option<Identifier>,
}

impl Columns {
    /// Reads the section.
    fn read(reader: &mut Reader) -> Option<Self> {
        let id = reader.optional(&keys::COLUMN_ID, Identifier::parse);
        let aggregate_type = reader.optional(&keys::COLUMN_AGGREGATE_TYPE, Identifier::parse);
        let aggregate_id = reader.optional(&keys::COLUMN_AGGREGATE_ID, Identifier::parse);
        let event_type = reader.optional(&keys::COLUMN_EVENT_TYPE, Identifier::parse);
        let payload = reader.optional(&keys::COLUMN_PAYLOAD, Identifier::parse);
        let headers = reader.optional(&keys::COLUMN_HEADERS, Identifier::parse);
        let created_at = reader.optional(&keys::COLUMN_CREATED_AT, Identifier::parse);
        Some(Self {
            id: id?,
            aggregate_type: aggregate_type?,
            aggregate_id: aggregate_id?,
            event_type: event_type?,
            payload: payload?,
            headers: headers?,
            created_at: created_at?,
        })
    }
}
