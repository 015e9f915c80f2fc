//! What a column can mean for an event, and which types may carry that meaning.

use super::{ColumnType, Columns};

/// The meaning of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The event's identity.
    Id,
    /// The kind of thing it is about.
    AggregateType,
    /// Which thing it is about.
    AggregateId,
    /// What happened.
    EventType,
    /// The message's body.
    Payload,
    /// More headers.
    Headers,
    /// When it was recorded.
    CreatedAt,
}

impl Role {
    /// The key under `[outbox.columns]` that names this column.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::AggregateType => "aggregate_type",
            Self::AggregateId => "aggregate_id",
            Self::EventType => "event_type",
            Self::Payload => "payload",
            Self::Headers => "headers",
            Self::CreatedAt => "created_at",
        }
    }

    /// Whether a column of this type can have this meaning.
    pub const fn accepts(self, column_type: ColumnType) -> bool {
        use ColumnType as T;
        match self {
            Self::Id | Self::AggregateType | Self::AggregateId | Self::EventType => {
                column_type.is_character() || matches!(column_type, T::Uuid | T::Int2 | T::Int4 | T::Int8)
            }
            Self::Payload => column_type.is_character() || matches!(column_type, T::Jsonb | T::Json | T::Bytea),
            Self::Headers => column_type.is_character() || matches!(column_type, T::Jsonb | T::Json),
            Self::CreatedAt => matches!(column_type, T::Timestamptz | T::Timestamp),
        }
    }

    /// What to tell someone whose column has another type.
    pub const fn accepted(self) -> &'static str {
        match self {
            Self::Id | Self::AggregateType | Self::AggregateId | Self::EventType => {
                "uuid, text, varchar, char, name, an enum, smallint, integer or bigint"
            }
            Self::Payload => "jsonb, json, text, varchar or bytea",
            Self::Headers => "jsonb, json, text or varchar",
            Self::CreatedAt => "timestamptz or timestamp",
        }
    }

    /// Every meaning with the column that has it, and whether the table must have that column.
    pub(super) fn assigned(columns: &Columns) -> impl Iterator<Item = (Self, &str, bool)> {
        let required = [
            (Self::Id, &columns.id),
            (Self::AggregateType, &columns.aggregate_type),
            (Self::AggregateId, &columns.aggregate_id),
            (Self::EventType, &columns.event_type),
            (Self::Payload, &columns.payload),
        ];
        let optional = [(Self::Headers, &columns.headers), (Self::CreatedAt, &columns.created_at)];
        let optional = optional
            .into_iter()
            .filter_map(|(role, column)| column.as_ref().map(|column| (role, column.name.as_str(), column.must_exist)));
        required.into_iter().map(|(role, name)| (role, name.as_str(), true)).chain(optional)
    }
}
