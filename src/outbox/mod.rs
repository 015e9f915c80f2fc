//! The outbox stage: from the row of an outbox table to an [`Event`], and from an event to what its message needs.
//!
//! ```text
//! Mapping + Relation -> Binding         once for each description of the table
//! Binding + Tuple    -> Event           for each row
//! Binding + Tuple    -> Identity        for a row that is no event, or that no message can carry
//! Template + Event   -> subject         for each message
//! Event::headers     -> header pairs    for each message
//! ```
//!
//! Input: decoded rows ([`crate::pgoutput`]) and what the operator configured. Output: values that borrow from the row.
//! This stage is pure: it opens nothing, knows no clock and no broker client, and never parses a payload.
//!
//! Invariants:
//! - Columns are found by name, so the order of columns, and columns that nobody mapped, never change an event.
//! - Any value in a data column gives exactly one valid subject token, and two values never give the same one.
//! - No header reaches the sink that the broker would act on, or that could be read back as something else.
//! - Errors carry names and kinds, never a value of the row.

mod binding;
mod bytea;
mod column_type;
mod decode;
mod event;
mod headers;
mod identifier;
mod identity;
mod mapping;
mod role;
mod row;
mod subject;
mod template;
mod text;
mod timestamp;
mod token;
mod traceable;

pub use binding::{BindError, BindProblem, Binding};
pub use column_type::{BaseTypes, ColumnType};
pub use decode::RowFault;
pub use event::Event;
pub use headers::{
    DropReason, Dropped, HeaderName, HeaderText, MAX_HEADERS, MAX_HEADERS_BYTES, MAX_VALUE_BYTES, check_value,
    for_each_header,
};
pub use identifier::{IdentifierError, quote_identifier};
pub use identity::Identity;
pub use mapping::{Columns, Mapping, OptionalColumn, Preset, TableName, TableNameError};
pub use role::Role;
pub use row::{BadColumn, RowError};
pub use subject::{MAX_SUBJECT_BYTES, SubjectError, Template};
pub use template::{MAX_LITERAL_BYTES, TemplateError};
pub use text::Text;
pub use timestamp::Timestamp;
pub use token::{escape_token, unescape_token};
pub use traceable::Traceable;

#[cfg(test)]
pub(crate) mod sample;
