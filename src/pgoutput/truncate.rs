//! The list of tables that one truncate empties.
//!
//! `Truncate` in <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>. The numbers stay
//! where they are on the wire, so that a list of any length costs no allocation.

use super::{DecodeError, reader::Reader};
use std::fmt;

/// The ids of the relations that a truncate empties.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RelationIds<'a> {
    /// The ids as they are on the wire, each big endian.
    ids: &'a [[u8; 4]],
}

impl<'a> RelationIds<'a> {
    /// Reads `count` ids.
    pub(super) fn read(reader: &mut Reader<'a>, count: usize) -> Result<Self, DecodeError> {
        reader.blocks(count, "relation ids").map(|ids| Self { ids })
    }

    /// The ids, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.ids.iter().map(|&id| u32::from_be_bytes(id))
    }
}

impl fmt::Debug for RelationIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
