//! A row of the outbox table, read as an event in one pass and without copying.
//!
//! Input: a tuple of the relation that a [`Binding`] was made for. Output: an [`Event`] that borrows from it, or the
//! first column that cannot be used.

use super::{
    Binding, Event, Role, Traceable,
    binding::Slot,
    decode::{RowFault, present},
};
use crate::pgoutput::{Tuple, Value};
use std::fmt;

impl Binding {
    /// Reads an inserted row.
    ///
    /// Allocates for `bytea` in text form and for errors, for nothing else.
    pub fn read<'a>(&self, row: Tuple<'a>) -> Result<Event<'a>, RowError> {
        if row.len() != self.columns {
            return Err(RowError::ColumnCount { sent: row.len(), described: self.columns });
        }
        let mut event = Event::BLANK;
        let mut failed: Option<(&Slot, RowFault)> = None;
        let mut slots = self.slots.iter();
        let mut next = slots.next();
        for (place, value) in row.iter().enumerate() {
            while let Some(slot) = next
                && slot.place == place
            {
                if let Err(fault) = fill(&mut event, slot, value) {
                    failed.get_or_insert((slot, fault));
                }
                next = slots.next();
            }
            if next.is_none() {
                break;
            }
        }
        debug_assert!(next.is_none(), "slots are in order, and a row has as many values as its table columns");
        match failed {
            None => Ok(event),
            Some((slot, fault)) => Err(RowError::Column(Box::new(BadColumn { column: slot.name.clone(), fault }))),
        }
    }
}

/// Puts one value where it belongs in the event.
#[inline]
fn fill<'a>(event: &mut Event<'a>, slot: &Slot, value: Value<'a>) -> Result<(), RowFault> {
    let column_type = slot.column_type;
    match (slot.role, value) {
        (Role::Payload | Role::Headers | Role::CreatedAt, Value::Null) => {}
        (Role::Id, value) => {
            event.id = present(value)?.text(column_type)?;
            if event.id.is_empty() {
                return Err(RowFault::Empty);
            }
        }
        (Role::AggregateType, value) => event.aggregate_type = present(value)?.text(column_type)?,
        (Role::AggregateId, value) => event.aggregate_id = present(value)?.text(column_type)?,
        (Role::EventType, value) => event.event_type = present(value)?.text(column_type)?,
        (Role::Payload, value) => event.payload = present(value)?.document(column_type)?,
        (Role::Headers, value) => event.headers = Some(present(value)?.json(column_type)?),
        (Role::CreatedAt, value) => event.created_at = present(value)?.moment(column_type)?,
    }
    Ok(())
}

/// A row that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The row does not have the columns of its table: the server or walpost is at fault.
    #[error("the row has {sent} values, its table {described} columns")]
    ColumnCount {
        /// Values in the row.
        sent: usize,
        /// Columns in the relation.
        described: usize,
    },
    /// One column cannot be used.
    #[error(transparent)]
    Column(Box<BadColumn>),
}

impl RowError {
    /// The column that cannot be used, if it is one column.
    pub fn bad_column(&self) -> Option<&BadColumn> {
        match self {
            Self::ColumnCount { .. } => None,
            Self::Column(bad) => Some(bad),
        }
    }
}

/// The first column of a row that cannot be used.
#[derive(Clone, PartialEq, Eq)]
pub struct BadColumn {
    /// The name of the column.
    pub column: String,
    /// What is wrong with its value.
    pub fault: RowFault,
}

impl fmt::Display for BadColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column \"{}\" {}", Traceable(&self.column), self.fault)
    }
}

impl fmt::Debug for BadColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BadColumn {}

#[cfg(test)]
mod captured;
#[cfg(test)]
mod tests;
