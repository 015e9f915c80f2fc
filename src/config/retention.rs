//! `[retention]`: how long delivered rows are kept.

use std::time::Duration;

use super::{keys, reader::Reader, units};

/// What becomes of rows that are delivered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// How old they must be to be deleted; none keeps them.
    pub delete_after: Option<Duration>,
}

impl Retention {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let key = &keys::RETENTION_DELETE_AFTER;
        Some(Self { delete_after: reader.optional(key, |text| units::duration(text, key.kind()))? })
    }
}
