//! What the relay needs of Postgres: looked up in a few statements, compared, and told all at once.
//!
//! ```text
//! Session + Needs -> Facts       the queries under sql/preflight/
//! Facts + Needs   -> Problems    pure
//! SQLSTATE + text -> hint        pure, for what fails before there are facts
//! ```
//!
//! Nothing here changes anything. The same answers serve the relay before it starts, `setup`, which creates what is
//! missing. A problem says what is wrong and how to mend it; whether the stream is fit is asked of the
//! broker elsewhere, and its problems join these as [`Problem::Stream`].
//!
//! The queries work from version 14 on and on managed servers: they read catalogs that every role may read, and never
//! name a column that only newer servers have.

mod dead_letters;
mod explain;
mod facts;
mod judge;
mod problem;
mod retention;
mod slot_look;
mod snapshot;
mod status;
mod template;
mod watermark;

pub use dead_letters::{DeadLetter, Decision, Wanted, decide, list_dead_letters};
pub use explain::explain;
pub use facts::{Facts, Publication, Server, Slot, Table, TableColumn, base_types, inspect, slot_reader};
pub use judge::problems;
pub use problem::{Problem, counted};
pub use retention::{HeldUp, Partition, RetentionFacts, RetentionProblem, Start, Step, Sweep, held_up};
pub use slot_look::{SlotLook, SlotStatus, look_at_slot};
pub use snapshot::Visibility;
pub use status::{
    Seen, StatusObjects, XID_COLUMN, delete_dead_letters, read_dead_letters_to, take_snapshot, write_dead_letters,
    write_delivered,
};
pub(crate) use template::fill;
pub use watermark::{WatermarkTable, read_watermark, write_watermark};

use crate::outbox::{Mapping, TableName};

/// What the relay is configured to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// The outbox table and its columns.
    pub mapping: Mapping,
    /// Whether delivered rows are to be deleted.
    pub deletes_rows: bool,
}

impl Needs {
    /// The table of watermarks: beside the outbox table.
    pub fn watermark(&self) -> TableName {
        self.mapping.table.beside("walpost_watermark")
    }

    /// The table of dead letters: beside the outbox table.
    pub fn dead_letters(&self) -> TableName {
        self.mapping.table.beside("walpost_dead_letter")
    }
}
