//! `[outbox]`: the table that events are read from.

use super::{keys, names::Identifier, problem::Reason, reader::Reader, units::one_of};
use crate::outbox::{Columns, Mapping, OptionalColumn, Preset, TableName, TableNameError};

/// Reads the section: the columns of the preset, those that have a name of their own replaced.
pub(super) fn read(reader: &mut Reader) -> Option<Mapping> {
    let table = reader.required(&keys::OUTBOX_TABLE, table);
    let presets = Preset::ALL.map(|preset| (preset.name(), preset));
    let preset = reader.required(&keys::OUTBOX_PRESET, |text| one_of(text, &presets));
    let renamed = Renamed::read(reader);
    Some(Mapping { table: table?, columns: renamed?.applied_to(preset?.columns()) })
}

/// The table in `text`.
fn table(text: &str) -> Result<TableName, Reason> {
    text.parse().map_err(|error: TableNameError| Reason::new(error.to_string()))
}

/// The columns with a name of their own.
struct Renamed {
    id: Option<Identifier>,
    aggregate_type: Option<Identifier>,
    aggregate_id: Option<Identifier>,
    event_type: Option<Identifier>,
    payload: Option<Identifier>,
    headers: Option<Identifier>,
    created_at: Option<Identifier>,
}

impl Renamed {
    /// Reads `[outbox.columns]`.
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

    /// The columns of a preset under these names. A column that somebody names must exist, one that the preset guesses
    /// need not.
    fn applied_to(self, preset: Columns) -> Columns {
        let named = |name: Option<Identifier>, preset: String| name.map_or(preset, |name| name.as_str().to_owned());
        let asked = |name: Option<Identifier>, preset: Option<OptionalColumn>| {
            name.map(|name| OptionalColumn::required(name.as_str())).or(preset)
        };
        Columns {
            id: named(self.id, preset.id),
            aggregate_type: named(self.aggregate_type, preset.aggregate_type),
            aggregate_id: named(self.aggregate_id, preset.aggregate_id),
            event_type: named(self.event_type, preset.event_type),
            payload: named(self.payload, preset.payload),
            headers: asked(self.headers, preset.headers),
            created_at: asked(self.created_at, preset.created_at),
        }
    }
}
