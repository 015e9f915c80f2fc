//! The types a column of an outbox table may have, and how types that users made lead to them.
//!
//! A relation names types by object id. The ids of built-in types are fixed for ever
//! (`src/include/catalog/pg_type.dat` in <https://github.com/postgres/postgres>); those of enums, domains and extension
//! types are given by each database, so they are looked up in it and handed over as [`BaseTypes`].

use std::{collections::BTreeMap, fmt};

/// A type whose text and binary forms walpost reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `uuid`: 16 bytes, or 36 characters.
    Uuid,
    /// `text`; also what enums and `citext` are read as.
    Text,
    /// `varchar`.
    Varchar,
    /// `char(n)`: padded with blanks, which are not part of the value.
    Bpchar,
    /// `name`.
    Name,
    /// `json`: the text as it was written.
    Json,
    /// `jsonb`: a version byte and text, or text.
    Jsonb,
    /// `bytea`: bytes, or text in one of two escapings.
    Bytea,
    /// `smallint`: 2 bytes, big endian.
    Int2,
    /// `integer`: 4 bytes, big endian.
    Int4,
    /// `bigint`: 8 bytes, big endian.
    Int8,
    /// `timestamptz`: microseconds since 2000-01-01 UTC.
    Timestamptz,
    /// `timestamp` without zone, taken as UTC.
    Timestamp,
}

/// What the types of one database that are not built in are made of: object id of the type -> object id of the built-in
/// type that both of its wire forms are those of.
///
/// Whoever fills it follows the catalog to its end: an enum and `citext` lead to `text` (25), a domain to its base type,
/// a domain over a domain or over an enum to what that leads to. An entry is one step, never a chain. Types that have no
/// built-in form (composites, ranges, arrays) are left out. A type made after the map was filled is not in it: on
/// [`super::BindProblem::UnknownType`], fill it again once before giving up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseTypes(BTreeMap<u32, u32>);

impl BaseTypes {
    /// A map without entries: only built-in types are known.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The object id of the built-in type behind `oid`; `oid` itself if nothing is known of it.
    fn base_of(&self, oid: u32) -> u32 {
        self.0.get(&oid).copied().unwrap_or(oid)
    }
}

impl FromIterator<(u32, u32)> for BaseTypes {
    fn from_iter<T: IntoIterator<Item = (u32, u32)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl ColumnType {
    /// The built-in type with this object id, if walpost reads it.
    pub const fn from_oid(oid: u32) -> Option<Self> {
        Some(match oid {
            17 => Self::Bytea,
            19 => Self::Name,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            25 => Self::Text,
            114 => Self::Json,
            1042 => Self::Bpchar,
            1043 => Self::Varchar,
            1114 => Self::Timestamp,
            1184 => Self::Timestamptz,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }

    /// The type with this object id, built in or by way of `base_types`, if walpost reads it.
    pub fn resolve(oid: u32, base_types: &BaseTypes) -> Option<Self> {
        Self::from_oid(oid).or_else(|| Self::from_oid(base_types.base_of(oid)))
    }

    /// The name as SQL has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Varchar => "varchar",
            Self::Bpchar => "char",
            Self::Name => "name",
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::Bytea => "bytea",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Timestamptz => "timestamptz",
            Self::Timestamp => "timestamp",
        }
    }

    /// Whether values are characters, in both wire forms.
    pub(super) const fn is_character(self) -> bool {
        matches!(self, Self::Text | Self::Varchar | Self::Bpchar | Self::Name)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_types_are_known_by_their_fixed_ids() {
        for (oid, name) in [
            (2950, "uuid"),
            (25, "text"),
            (1043, "varchar"),
            (1042, "char"),
            (19, "name"),
            (114, "json"),
            (3802, "jsonb"),
            (17, "bytea"),
            (21, "smallint"),
            (23, "integer"),
            (20, "bigint"),
            (1184, "timestamptz"),
            (1114, "timestamp"),
        ] {
            assert_eq!(ColumnType::from_oid(oid).map(ColumnType::name), Some(name));
        }
        for oid in [0, 16, 700, 1700, 1009, 3807, u32::MAX] {
            assert_eq!(ColumnType::from_oid(oid), None, "{oid}");
        }
    }

    #[test]
    fn a_type_that_users_made_is_read_as_what_it_is_made_of() {
        let base_types: BaseTypes = [(16_400, 25), (16_401, 2950), (16_402, 600)].into_iter().collect();
        assert_eq!(ColumnType::resolve(16_400, &base_types), Some(ColumnType::Text));
        assert_eq!(ColumnType::resolve(16_401, &base_types), Some(ColumnType::Uuid));
        assert_eq!(ColumnType::resolve(16_402, &base_types), None, "a domain over point");
        assert_eq!(ColumnType::resolve(16_403, &base_types), None);
    }

    #[test]
    fn no_entry_can_give_a_built_in_type_another_meaning() {
        let base_types: BaseTypes = [(2950, 25)].into_iter().collect();
        assert_eq!(ColumnType::resolve(2950, &base_types), Some(ColumnType::Uuid));
    }
}
