//! The description of a table, which the server sends before the rows that need it.
//!
//! `Relation` in <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>. Columns that are
//! dropped, generated, or left out by the publication's column list are absent here and in the rows alike.

use super::{DecodeError, reader::Reader};

/// A published table as it is when the next row of it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The number by which rows refer to it: the table's object id.
    pub id: u32,
    /// The schema.
    pub namespace: String,
    /// The table's name.
    pub name: String,
    /// Which columns tell rows apart.
    pub replica_identity: ReplicaIdentity,
    /// The columns, in the order of the values of a row.
    pub columns: Vec<Column>,
}

/// A column of a published table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// The object id of its type.
    pub type_oid: u32,
    /// What the type was declared with, such as a length; -1 if nothing.
    pub type_modifier: i32,
    /// Whether it is part of the replica identity.
    pub is_key: bool,
}

/// How a table tells its rows apart in updates and deletes
/// (`relreplident` in <https://www.postgresql.org/docs/current/catalog-pg-class.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// By the primary key, if there is one.
    Default,
    /// Not at all: inserts only.
    Nothing,
    /// By all columns.
    Full,
    /// By a chosen unique index.
    Index,
}

impl Relation {
    /// Reads a relation, from after the message's tag.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = reader.u32("relation id")?;
        let namespace = namespace(reader)?.to_owned();
        let name = reader.cstring("relation name")?.to_owned();
        let replica_identity = ReplicaIdentity::read(reader)?;
        let count = usize::from(reader.u16("column count")?);
        // Before anything is allocated for them, the columns must fit in what is left of the message.
        reader.expect(count * SMALLEST_COLUMN_BYTES, "columns")?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            columns.push(Column::read(reader)?);
        }
        Ok(Self { id, namespace, name, replica_identity, columns })
    }
}

impl Column {
    /// Reads one column.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.u8("column flags")?;
        Ok(Self {
            name: reader.cstring("column name")?.to_owned(),
            type_oid: reader.u32("column type")?,
            type_modifier: reader.i32("column type modifier")?,
            is_key: flags & KEY_COLUMN != 0,
        })
    }
}

impl ReplicaIdentity {
    /// Reads the one letter by which the catalog knows it.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        match reader.u8("replica identity")? {
            b'd' => Ok(Self::Default),
            b'n' => Ok(Self::Nothing),
            b'f' => Ok(Self::Full),
            b'i' => Ok(Self::Index),
            byte => Err(DecodeError::Unknown { reading: "replica identity", offset, byte }),
        }
    }
}

/// Reads the schema of a relation or type; `pg_catalog` is empty on the wire.
pub(super) fn namespace<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    match reader.cstring("namespace")? {
        "" => Ok("pg_catalog"),
        namespace => Ok(namespace),
    }
}

/// The flag of a column that is part of the replica identity; no other flag is defined.
const KEY_COLUMN: u8 = 1;

/// What a column takes on the wire: flags, a name that is empty but ends, type and type modifier.
const SMALLEST_COLUMN_BYTES: usize = 1 + 1 + 4 + 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_field_by_field() {
        let wire =
            b"\0\0\x40\x01public\0outbox\0d\0\x02\x01id\0\0\0\x0B\x86\xFF\xFF\xFF\xFF\0note\0\0\0\x04\x13\0\0\0\x0E";
        let mut reader = Reader::new(wire);
        let relation = Relation::read(&mut reader).unwrap();
        let id = Column { name: "id".into(), type_oid: 2950, type_modifier: -1, is_key: true };
        let note = Column { name: "note".into(), type_oid: 1043, type_modifier: 14, is_key: false };
        assert_eq!((relation.id, relation.namespace.as_str(), relation.name.as_str()), (0x4001, "public", "outbox"));
        assert_eq!(relation.replica_identity, ReplicaIdentity::Default);
        assert_eq!(relation.columns, [id, note]);
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn an_empty_namespace_means_the_catalog() {
        let relation = Relation::read(&mut Reader::new(b"\0\0\0\x01\0t\0f\0\0")).unwrap();
        assert_eq!(relation.namespace, "pg_catalog");
    }

    #[test]
    fn nothing_is_allocated_for_columns_that_are_not_there() {
        let error = Relation::read(&mut Reader::new(b"\0\0\0\x01\0t\0f\xFF\xFF12345")).unwrap_err();
        assert_eq!(error, DecodeError::EndsEarly { reading: "columns", offset: 10, needed: 655_350, left: 5 });
    }
}
