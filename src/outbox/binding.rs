//! Where in a row each part of an event is: a mapping applied to one description of the table.
//!
//! Input: the operator's [`Mapping`], the [`Relation`] that the server sent, the types that users made. Output: a
//! [`Binding`], which reads rows (`row.rs`), or everything that is wrong at once.
//!
//! The server describes the table again after any change to it, so a binding is made anew for each description. Columns
//! are found by name: their order, and columns that nobody mapped, do not matter. A table that no longer fits stops the
//! line before anything wrong is published. Whether the relation is the mapped table is the caller's question
//! ([`super::TableName::is_for`]): a partition goes by another name.

use super::{BaseTypes, ColumnType, Mapping, Role, Traceable};
use crate::pgoutput::Relation;
use std::fmt;

/// How to read the rows of a table as they are until its next description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The columns to read, ordered by place; several for one place if a column has several meanings.
    ///
    /// Invariant: every required role occurs exactly once, and every place is less than `columns`.
    pub(super) slots: Vec<Slot>,
    /// How many values a row has.
    pub(super) columns: usize,
}

/// One column to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its place in the row, counted from 0.
    pub(super) place: usize,
    /// What it means.
    pub(super) role: Role,
    /// How its values are written.
    pub(super) column_type: ColumnType,
    /// Its name, for errors.
    pub(super) name: String,
}

impl Binding {
    /// Finds the mapped columns in a table, or says everything that stands in the way.
    pub fn bind(mapping: &Mapping, relation: &Relation, base_types: &BaseTypes) -> Result<Self, BindError> {
        let mut slots = Vec::new();
        let mut problems = Vec::new();
        for (role, name, must_exist) in Role::assigned(&mapping.columns) {
            match find(relation, role, name, base_types) {
                Ok(slot) => slots.push(slot),
                Err(BindProblem::Missing { .. }) if !must_exist => {}
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            slots.sort_by_key(|slot| slot.place);
            return Ok(Self { slots, columns: relation.columns.len() });
        }
        let columns = relation.columns.iter().map(|column| column.name.clone()).collect();
        Err(BindError { table: mapping.table.to_string(), problems, columns })
    }
}

/// The column of this name, if it can have this meaning.
fn find(relation: &Relation, role: Role, name: &str, base_types: &BaseTypes) -> Result<Slot, BindProblem> {
    let column = || name.to_owned();
    let (place, found) = relation
        .columns
        .iter()
        .enumerate()
        .find(|(_, candidate)| candidate.name == name)
        .ok_or_else(|| BindProblem::Missing { role, column: column() })?;
    let column_type = ColumnType::resolve(found.type_oid, base_types).ok_or_else(|| BindProblem::UnknownType {
        role,
        column: column(),
        oid: found.type_oid,
    })?;
    if !role.accepts(column_type) {
        return Err(BindProblem::WrongType { role, column: column(), found: column_type });
    }
    Ok(Slot { place, role, column_type, name: column() })
}

/// A table that cannot be read as an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The table, as SQL would name it.
    table: String,
    /// Everything that is wrong; never empty.
    problems: Vec<BindProblem>,
    /// The columns that the table has, as far as they are published.
    columns: Vec<String>,
}

/// One thing that is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindProblem {
    /// There is no such column, or the publication leaves it out.
    #[error("column \"{}\" ({}) is missing", Traceable(column), role.key())]
    Missing {
        /// What it should mean.
        role: Role,
        /// The name that was looked for.
        column: String,
    },
    /// The column is of a type that cannot have this meaning.
    #[error("column \"{}\" ({}) is {found}, expected {}", Traceable(column), role.key(), role.accepted())]
    WrongType {
        /// What it should mean.
        role: Role,
        /// Its name.
        column: String,
        /// Its type.
        found: ColumnType,
    },
    /// The column is of a type that walpost cannot read, or that was made after the types were looked up.
    #[error(
        "column \"{}\" ({}) is of a type that cannot be read (oid {oid}), expected {}",
        Traceable(column),
        role.key(),
        role.accepted()
    )]
    UnknownType {
        /// What it should mean.
        role: Role,
        /// Its name.
        column: String,
        /// The object id of its type: `select oid::regtype` names it.
        oid: u32,
    },
}

impl BindError {
    /// Everything that is wrong.
    pub fn problems(&self) -> &[BindProblem] {
        &self.problems
    }

    /// The object ids of types that were not known: worth one look into the catalog before giving up.
    pub fn unknown_types(&self) -> impl Iterator<Item = u32> {
        self.problems.iter().filter_map(|problem| match problem {
            BindProblem::UnknownType { oid, .. } => Some(*oid),
            BindProblem::Missing { .. } | BindProblem::WrongType { .. } => None,
        })
    }

    /// What an operator can do about it, one line.
    pub fn hint(&self) -> String {
        if self.is_like_debezium() {
            return "this looks like a Debezium outbox table: set outbox.preset = \"debezium\"".to_owned();
        }
        let mut hint = "name the table's own columns under [outbox.columns], or change the table".to_owned();
        if self.problems.iter().any(|problem| matches!(problem, BindProblem::Missing { .. })) {
            hint.push_str("; columns that the publication's column list leaves out do not arrive");
        }
        hint
    }

    /// Whether the table has the columns by which Debezium's layout is known, and they were not asked for.
    fn is_like_debezium(&self) -> bool {
        let asks_for = |name: &str| {
            self.problems.iter().any(|problem| matches!(problem, BindProblem::Missing { column, .. } if column == name))
        };
        let has = |name: &str| self.columns.iter().any(|column| column == name);
        asks_for("aggregate_type") && asks_for("aggregate_id") && has("aggregatetype") && has("aggregateid")
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} cannot be read as an outbox: ", self.table)?;
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        f.write_str("; the table has ")?;
        if self.columns.is_empty() {
            return f.write_str("no published columns");
        }
        for (index, column) in self.columns.iter().take(MAX_LISTED).enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, Traceable(column))?;
        }
        match self.columns.len().saturating_sub(MAX_LISTED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for BindError {}

/// How many columns an error lists: enough for any outbox, and still a line that someone reads.
const MAX_LISTED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Columns, OptionalColumn, Preset, sample::relation};

    const UUID: u32 = 2950;
    const TEXT: u32 = 25;
    const JSONB: u32 = 3802;
    const POINT: u32 = 600;
    const BOOL: u32 = 16;

    fn mapping(columns: Columns) -> Mapping {
        Mapping { table: "public.outbox".parse().unwrap(), columns }
    }

    fn full() -> Vec<(&'static str, u32)> {
        vec![
            ("id", UUID),
            ("aggregate_type", TEXT),
            ("aggregate_id", TEXT),
            ("event_type", TEXT),
            ("payload", JSONB),
            ("headers", JSONB),
            ("created_at", 1184),
        ]
    }

    fn bind(columns: Columns, table: &[(&str, u32)]) -> Result<Binding, BindError> {
        let base_types = [(16_500, TEXT)].into_iter().collect();
        Binding::bind(&mapping(columns), &relation(table), &base_types)
    }

    #[test]
    fn optional_columns_of_a_preset_may_be_missing() {
        let binding = bind(Preset::Walpost.columns(), &full()[..5]).unwrap();
        assert_eq!(binding.slots.len(), 5);
        assert_eq!(bind(Preset::Walpost.columns(), &full()).unwrap().slots.len(), 7);
    }

    #[test]
    fn an_optional_column_that_someone_named_must_exist() {
        let columns = Columns { headers: Some(OptionalColumn::required("meta")), ..Preset::Walpost.columns() };
        let error = bind(columns, &full()).unwrap_err();
        assert_eq!(error.problems(), [BindProblem::Missing { role: Role::Headers, column: "meta".into() }]);
    }

    #[test]
    fn an_optional_column_of_a_wrong_type_is_a_problem_even_if_it_is_a_guess() {
        let mut table = full();
        table[5].1 = UUID;
        assert_eq!(
            bind(Preset::Walpost.columns(), &table).unwrap_err().problems(),
            [BindProblem::WrongType { role: Role::Headers, column: "headers".into(), found: ColumnType::Uuid }]
        );
    }

    #[test]
    fn all_problems_are_told_together_with_what_to_do() {
        let table = [("id", POINT), ("aggregate_id", TEXT), ("event_type", BOOL), ("payload", UUID), ("extra", TEXT)];
        let error = bind(Preset::Walpost.columns(), &table).unwrap_err();
        assert_eq!(
            error.to_string(),
            "table public.outbox cannot be read as an outbox: \
             column \"id\" (id) is of a type that cannot be read (oid 600), expected \
             uuid, text, varchar, char, name, an enum, smallint, integer or bigint; \
             column \"aggregate_type\" (aggregate_type) is missing; \
             column \"event_type\" (event_type) is of a type that cannot be read (oid 16), expected \
             uuid, text, varchar, char, name, an enum, smallint, integer or bigint; \
             column \"payload\" (payload) is uuid, expected jsonb, json, text, varchar or bytea; \
             the table has id, aggregate_id, event_type, payload, extra"
        );
        assert_eq!(error.unknown_types().collect::<Vec<_>>(), [POINT, BOOL]);
        assert!(error.hint().contains("[outbox.columns]"));
    }

    #[test]
    fn a_debezium_table_is_recognised() {
        let table = [("id", UUID), ("aggregatetype", TEXT), ("aggregateid", TEXT), ("type", TEXT), ("payload", JSONB)];
        assert!(bind(Preset::Walpost.columns(), &table).unwrap_err().hint().contains("outbox.preset = \"debezium\""));
        assert!(bind(Preset::Debezium.columns(), &table).is_ok());
    }

    #[test]
    fn types_that_users_made_are_read_as_what_they_are_made_of() {
        let mut table = full();
        table[3].1 = 16_500;
        let binding = bind(Preset::Walpost.columns(), &table).unwrap();
        assert_eq!(binding.slots[3].column_type, ColumnType::Text);
        table[3].1 = 16_501;
        assert_eq!(bind(Preset::Walpost.columns(), &table).unwrap_err().unknown_types().collect::<Vec<_>>(), [16_501]);
    }

    #[test]
    fn one_column_may_have_several_meanings() {
        let columns = Columns { aggregate_id: "id".into(), ..Preset::Walpost.columns() };
        let binding = bind(columns, &full()).unwrap();
        assert_eq!(binding.slots.iter().filter(|slot| slot.place == 0).count(), 2);
    }

    #[test]
    fn a_wide_table_and_hostile_names_give_one_readable_line() {
        let names: Vec<String> = (0..40).map(|n| format!("c{n}\n\u{202e}")).collect();
        let table: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), TEXT)).collect();
        let shown = bind(Preset::Walpost.columns(), &table).unwrap_err().to_string();
        assert!(shown.is_ascii() && !shown.contains('\n') && shown.ends_with(" and 20 more"), "{shown}");
        assert!(bind(Preset::Walpost.columns(), &[]).unwrap_err().to_string().ends_with("no published columns"));
    }
}
