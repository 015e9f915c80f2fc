//! Deleting rows that are delivered and old: what it takes, and how each step is said in SQL.

mod sweep;

use crate::{
    outbox::{TableName, quote_identifier},
    postgres::sql::{Session, SqlError},
};

use super::{Facts, Needs};

pub use sweep::{HeldUp, Partition, Start, Step, Sweep, held_up};

/// What there is of what deleting takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionFacts {
    /// Whether our role may read, lock and delete rows.
    pub may_delete: bool,
    /// Whether an index finds rows by their transaction.
    pub has_index: bool,
}

/// What keeps rows from being deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionProblem {
    /// The objects of the delivery status are missing, or of an older version.
    #[error("retention.delete_after is set, and no delivery status is kept of table {0}")]
    NoStatus(TableName),
    /// The table of dead letters is not ours to use.
    #[error("retention.delete_after is set, and role {role:?} may not use table {table}")]
    DeadLetterRights {
        /// The table.
        table: TableName,
        /// Our role.
        role: String,
    },
    /// Rows do not say which transaction wrote them.
    #[error("retention.delete_after is set, and table {0} has no column xid of type xid8")]
    NoXid(TableName),
    /// Rows do not say when they were recorded.
    #[error("retention.delete_after is set, and table {0} has no column that says when a row was recorded")]
    NoCreatedAt(TableName),
    /// Nothing finds rows by their transaction but reading all.
    #[error("retention.delete_after is set, and table {table} has no index on xid")]
    NoIndex {
        /// The table.
        table: TableName,
        /// Whether it is partitioned.
        is_partitioned: bool,
    },
    /// The role may not delete.
    #[error("retention.delete_after is set, and role {role:?} may not delete from table {table}")]
    Rights {
        /// The table.
        table: TableName,
        /// Our role.
        role: String,
    },
}

impl RetentionFacts {
    /// Asked only if rows are to be deleted.
    pub(super) async fn inspect(session: &Session, needs: &Needs) -> Result<Option<Self>, SqlError> {
        if !needs.deletes_rows {
            return Ok(None);
        }
        let (schema, name) = (needs.mapping.table.schema(), needs.mapping.table.name());
        let sql = include_str!("../../sql/preflight/retention.sql");
        let row = session.client().query_one(sql, &[&schema, &name]).await?;
        Ok(Some(Self { may_delete: row.try_get("may_delete")?, has_index: row.try_get("has_index")? }))
    }
}

impl RetentionProblem {
    /// Whether `walpost setup` mends it.
    pub fn made_by_setup(&self) -> bool {
        matches!(self, Self::NoStatus(_))
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let quoted = |name: &str| quote_identifier(name).unwrap_or_else(|_| name.to_owned());
        match self {
            Self::NoStatus(_) => "run `walpost setup`, which creates what it takes".to_owned(),
            Self::DeadLetterRights { table, role } => {
                format!("run `GRANT SELECT, INSERT, DELETE ON {table} TO {};`", quoted(role))
            }
            Self::NoXid(table) => format!(
                "run `ALTER TABLE {table} ADD COLUMN xid xid8; ALTER TABLE {table} ALTER COLUMN xid SET DEFAULT \
                 pg_current_xact_id();`, then `walpost setup`; rows from before are never deleted"
            ),
            Self::NoCreatedAt(_) => {
                "name a column of type timestamptz as outbox.columns.created_at, or leave retention.delete_after out"
                    .to_owned()
            }
            Self::NoIndex { table, is_partitioned: true } => format!("run `CREATE INDEX ON {table} (xid);`"),
            Self::NoIndex { table, is_partitioned: false } => {
                format!("run `CREATE INDEX CONCURRENTLY ON {table} (xid);`")
            }
            Self::Rights { table, role } => {
                format!("run `GRANT SELECT, UPDATE (xid), DELETE ON {table} TO {};`", quoted(role))
            }
        }
    }
}

/// What keeps rows from being deleted, if they are to be, and of what nothing else was told.
pub(super) fn problems(facts: &Facts, needs: &Needs) -> Vec<RetentionProblem> {
    let (Some(found), Some(table)) = (facts.retention, facts.table.as_ref().filter(|table| is_table(table.kind)))
    else {
        return Vec::new();
    };
    let (name, role) = (|| needs.mapping.table.clone(), || facts.server.role.clone());
    let mut problems = Vec::new();
    let objects = &facts.status_objects;
    if !facts.has_xid() {
        problems.push(RetentionProblem::NoXid(name()));
    } else if !found.has_index {
        problems.push(RetentionProblem::NoIndex { table: name(), is_partitioned: table.kind == 'p' });
    }
    if facts.created_at(needs).is_none() {
        problems.push(RetentionProblem::NoCreatedAt(name()));
    }
    if !found.may_delete {
        problems.push(RetentionProblem::Rights { table: name(), role: role() });
    }
    // That its table is missing is told already.
    if facts.watermark_table.is_there && (!objects.has_columns || !objects.has_dead_letters) {
        problems.push(RetentionProblem::NoStatus(name()));
    } else if objects.has_dead_letters && !objects.may_use_dead_letters {
        problems.push(RetentionProblem::DeadLetterRights { table: needs.dead_letters(), role: role() });
    }
    problems
}

fn is_table(kind: char) -> bool {
    matches!(kind, 'r' | 'p')
}
