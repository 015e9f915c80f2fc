//! Which table is the outbox, and which of its columns means what.
//!
//! Input: names from the configuration. Output: a [`Mapping`], checked as far as it can be without a database; whether
//! the table agrees is [`super::Binding`]'s to find out.

use super::identifier::{self, IdentifierError};
use crate::pgoutput::Relation;
use std::{fmt, str::FromStr};

/// The outbox table and the columns to read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The table.
    pub table: TableName,
    /// Its columns.
    pub columns: Columns,
}

/// The names of the columns; one column may have several meanings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The event's identity: uuid, text or a whole number; never null, never empty.
    pub id: String,
    /// The kind of thing the event is about: text, uuid or a whole number; never null.
    pub aggregate_type: String,
    /// Which thing it is about, the key of the order people think in: text, uuid or a whole number; never null.
    pub aggregate_id: String,
    /// What happened: text, uuid or a whole number; never null.
    pub event_type: String,
    /// The message's body: jsonb, json, text or bytea. Null gives an empty body, as a tombstone has.
    pub payload: String,
    /// More headers for the message, a JSON object: jsonb, json or text. Null gives none.
    pub headers: Option<OptionalColumn>,
    /// When the event was recorded: timestamptz or timestamp. Null gives no header.
    pub created_at: Option<OptionalColumn>,
}

/// A column that a table may do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionalColumn {
    /// Its name.
    pub name: String,
    /// Whether a table without it is refused: yes when the operator named it, no when it is a preset's guess.
    pub must_exist: bool,
}

/// A known layout of outbox tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// The table that `walpost setup` makes.
    #[default]
    Walpost,
    /// The table of Debezium's outbox event router.
    Debezium,
}

/// A table's schema and name, each a valid identifier.
///
/// Written as `name` (in schema `public`) or `schema.name`; a part that holds a dot, a blank or a double quote is
/// written in double quotes. Printed the same way, with quotes where SQL needs them: the text can be put into a statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// The schema.
    schema: String,
    /// The name in it.
    name: String,
}

impl Preset {
    /// All presets, the default first.
    pub const ALL: [Self; 2] = [Self::Walpost, Self::Debezium];

    /// The name by which a configuration chooses it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Walpost => "walpost",
            Self::Debezium => "debezium",
        }
    }

    /// The names of its columns.
    pub fn columns(self) -> Columns {
        let [aggregate_type, aggregate_id, event_type] = match self {
            Self::Walpost => ["aggregate_type", "aggregate_id", "event_type"],
            Self::Debezium => ["aggregatetype", "aggregateid", "type"],
        };
        let more = |name: &str| match self {
            Self::Walpost => Some(OptionalColumn::if_present(name)),
            Self::Debezium => None,
        };
        Columns {
            id: "id".to_owned(),
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
            event_type: event_type.to_owned(),
            payload: "payload".to_owned(),
            headers: more("headers"),
            created_at: more("created_at"),
        }
    }
}

impl OptionalColumn {
    /// A column that is used if the table has it.
    pub fn if_present(name: impl Into<String>) -> Self {
        Self { name: name.into(), must_exist: false }
    }

    /// A column that someone asked for: a table without it is refused.
    pub fn required(name: impl Into<String>) -> Self {
        Self { name: name.into(), must_exist: true }
    }
}

impl TableName {
    /// A table name from its parts, taken as they are.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Result<Self, IdentifierError> {
        let (schema, name) = (schema.into(), name.into());
        identifier::check(&schema)?;
        identifier::check(&name)?;
        Ok(Self { schema, name })
    }

    /// The schema, unquoted.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The name without its schema, unquoted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another table in the same schema.
    pub fn beside(&self, name: &'static str) -> Self {
        Self { schema: self.schema.clone(), name: name.to_owned() }
    }

    /// Whether a relation is this table.
    pub fn is_for(&self, relation: &Relation) -> bool {
        self.name == relation.name && self.schema == relation.namespace
    }
}

impl FromStr for TableName {
    type Err = TableNameError;

    fn from_str(text: &str) -> Result<Self, TableNameError> {
        let (first, rest) = identifier::split_first(text)?;
        if rest.is_empty() {
            return Ok(Self { schema: DEFAULT_SCHEMA.to_owned(), name: first });
        }
        let (second, rest) = identifier::split_first(rest.strip_prefix('.').ok_or(TableNameError::Trailing)?)?;
        if rest.is_empty() { Ok(Self { schema: first, name: second }) } else { Err(TableNameError::Trailing) }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_identifier(f, &self.schema)?;
        f.write_str(".")?;
        write_identifier(f, &self.name)
    }
}

/// Writes an identifier, in quotes if it needs them.
fn write_identifier(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if identifier::is_plain(name) { f.write_str(name) } else { f.write_str(&identifier::quoted(name)) }
}

/// Where a table is that was named without a schema; the search path of a session has no say in it.
const DEFAULT_SCHEMA: &str = "public";

/// Text that does not name a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableNameError {
    /// One of its parts is no identifier.
    #[error(transparent)]
    Part(#[from] IdentifierError),
    /// Something follows where the name should end.
    #[error("not a table name (expected table or schema.table; a part with a dot in it is written in double quotes)")]
    Trailing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, schema, name) in [
            ("outbox", "public", "outbox"),
            ("public.outbox", "public", "outbox"),
            ("shop.outbox", "shop", "outbox"),
            ("\"My Schema\".\"out.box\"", "My Schema", "out.box"),
            ("shop.\"say \"\"hi\"\"\"", "shop", "say \"hi\""),
            ("Outbox", "public", "Outbox"),
            ("\"\"\"\"", "public", "\""),
        ] {
            let table: TableName = text.parse().unwrap();
            assert_eq!((table.schema(), table.name()), (schema, name), "{text}");
        }
    }

    #[test]
    fn names_are_printed_with_quotes_where_sql_needs_them() {
        for (schema, name, shown) in [
            ("public", "outbox", "public.outbox"),
            ("My Schema", "out.box", "\"My Schema\".\"out.box\""),
            ("public", "Outbox", "public.\"Outbox\""),
            ("public", "order", "public.\"order\""),
            ("1st", "a\"b", "\"1st\".\"a\"\"b\""),
        ] {
            assert_eq!(TableName::new(schema, name).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_names_no_table_is_refused() {
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "a\"b\"", "a b", "public. outbox", "\"\"", "a\0"] {
            assert!(text.parse::<TableName>().is_err(), "{text:?}");
        }
        assert!("x".repeat(64).parse::<TableName>().is_err());
    }

    #[test]
    fn presets_name_the_columns_of_their_layouts() {
        let walpost = Preset::Walpost.columns();
        assert_eq!(walpost.headers, Some(OptionalColumn::if_present("headers")));
        assert_eq!(walpost.created_at, Some(OptionalColumn::if_present("created_at")));
        let debezium = Preset::Debezium.columns();
        let names = [&debezium.id, &debezium.aggregate_type, &debezium.aggregate_id, &debezium.event_type];
        assert_eq!(names, ["id", "aggregatetype", "aggregateid", "type"]);
        assert_eq!((debezium.headers, debezium.created_at), (None, None));
    }

    proptest! {
        #[test]
        fn any_name_is_read_back_from_its_printed_form(schema in "[^\0]{1,15}", name in "[^\0]{1,15}") {
            let table = TableName::new(schema, name).unwrap();
            prop_assert_eq!(table.to_string().parse(), Ok(table));
        }
    }
}
