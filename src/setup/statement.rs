//! The SQL that setup executes: files under `sql/` with names put in.
//!
//! Names go in as quoted identifiers or literals and in no other way, and a dry run prints the very text that is
//! executed.

use postgres_protocol::escape::{escape_identifier, escape_literal};

use crate::{
    outbox::{IdentifierError, quote_identifier},
    preflight::{Facts, Needs, XID_COLUMN, fill},
    replication::Snapshot,
};

/// From this version on a slot can be one that fails over
/// (<https://www.postgresql.org/docs/17/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION>).
const FAILS_OVER: i32 = 170_000;

/// Creates the outbox table.
pub(super) fn table(needs: &Needs) -> String {
    fill(include_str!("../../sql/outbox.sql"), &[("{table}", &needs.mapping.table.to_string())])
}

/// Creates the table of watermarks.
pub(super) fn watermark(needs: &Needs) -> String {
    fill(include_str!("../../sql/watermark.sql"), &[("{watermark}", &needs.watermark().to_string())])
}

/// Adds to the table of watermarks what an older version did not have.
pub(super) fn watermark_upgrade(needs: &Needs) -> String {
    fill(include_str!("../../sql/watermark_upgrade.sql"), &[("{watermark}", &needs.watermark().to_string())])
}

/// Creates the table of dead letters.
pub(super) fn dead_letters(needs: &Needs) -> String {
    fill(include_str!("../../sql/dead_letter.sql"), &[("{dead_letter}", &needs.dead_letters().to_string())])
}

/// Creates the views and functions that tell the delivery status, or replaces them.
pub(super) fn status(needs: &Needs, facts: &Facts) -> Result<String, IdentifierError> {
    let table = needs.mapping.table.to_string();
    let Expressions { id, xid, created_at } = Expressions::of(needs, facts);
    let renew = if xid == XID { "again.xid := pg_current_xact_id();\n    " } else { "" };
    let values = [
        ("{schema}", &*quote_identifier(needs.mapping.table.schema())?),
        ("{table}", &*table),
        ("{table_literal}", &*escape_literal(&table)),
        ("{watermark}", &*needs.watermark().to_string()),
        ("{dead_letter}", &*needs.dead_letters().to_string()),
        ("{form}", &*escape_literal(&status_form(needs, facts))),
        ("{id}", &*id),
        ("{xid}", xid),
        ("{created_at}", &*created_at),
        ("{renew}", renew),
    ];
    Ok(fill(include_str!("../../sql/status.sql"), &values))
}

/// What the view says of itself: which version of them the views and functions are, and for which table they are made.
pub(super) fn status_form(needs: &Needs, facts: &Facts) -> String {
    let Expressions { id, xid, created_at } = Expressions::of(needs, facts);
    format!("walpost status {STATUS_VERSION}: {}, id {id}, xid {xid}, created_at {created_at}", needs.mapping.table)
}

/// The version of `sql/status.sql`: to be raised with every change of it, so that `walpost setup` replaces an older one.
const STATUS_VERSION: u32 = 1;

/// What names the transaction that wrote a row, if the table has it.
const XID: &str = "t.xid";

/// What the status reads of a row.
struct Expressions {
    id: String,
    xid: &'static str,
    created_at: String,
}

impl Expressions {
    /// For the table that is there, or that setup makes.
    fn of(needs: &Needs, facts: &Facts) -> Self {
        let columns = &needs.mapping.columns;
        let quoted = |name: &str| quote_identifier(name).unwrap_or_else(|_| name.to_owned());
        let created_at = match &facts.table {
            None => columns.created_at.as_ref().map(|column| column.name.as_str()),
            Some(_) => facts.created_at(needs),
        };
        let created_at = created_at.map(|name| format!("t.{}::timestamptz", quoted(name)));
        Self {
            id: quoted(&columns.id),
            xid: if facts.table.is_none() || facts.has_xid() { XID } else { "NULL::xid8" },
            created_at: created_at.unwrap_or_else(|| "NULL::timestamptz".to_owned()),
        }
    }
}

/// Creates the publication.
pub(super) fn publication(needs: &Needs) -> Result<String, IdentifierError> {
    let name = quote_identifier(&needs.publication)?;
    let table = needs.mapping.table.to_string();
    Ok(fill(include_str!("../../sql/publication.sql"), &[("{publication}", &name), ("{table}", &table)]))
}

/// Begins a transaction that sees what a slot does not send.
pub(super) fn in_snapshot(Snapshot(name): &Snapshot) -> String {
    format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT {}", escape_literal(name))
}

/// Asks whether the outbox has rows.
pub(super) fn has_rows(needs: &Needs) -> String {
    format!("SELECT EXISTS (SELECT FROM {})", needs.mapping.table)
}

/// Asks whether the outbox, or a partition of it, has ever held a row since it was made or emptied by `TRUNCATE`.
pub(super) fn takes_room(needs: &Needs) -> String {
    let table = escape_literal(&needs.mapping.table.to_string());
    format!(
        "SELECT pg_relation_size({table}::regclass) > 0 OR EXISTS (
             SELECT FROM pg_partition_tree({table}::regclass) WHERE isleaf AND pg_relation_size(relid) > 0)"
    )
}

/// Begins a transaction in which nobody else writes to the outbox. Whoever waits for the table lets nobody else to it, so that
/// wait is short.
pub(super) fn begin_alone(needs: &Needs) -> String {
    format!("BEGIN; SET LOCAL lock_timeout = '10s'; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", needs.mapping.table)
}

/// Has a slot send nothing of the log that is flushed.
pub(super) const SKIP_TO_END: &str = "SELECT pg_replication_slot_advance($1, pg_current_wal_flush_lsn())";

/// Inserts again the rows that are visible.
pub(super) fn existing_rows(needs: &Needs, facts: &Facts) -> String {
    rows_again(needs, facts, "true")
}

/// Asks for the ids of rows that may never have been sent; `by_status` says whether the delivery status counts.
pub(super) fn unsent_ids(needs: &Needs, facts: &Facts, by_status: bool) -> String {
    let values = [
        ("{id}", &*Expressions::of(needs, facts).id),
        ("{table}", &*needs.mapping.table.to_string()),
        ("{unsent}", &*unsent(needs, facts, by_status)),
    ];
    fill(include_str!("../../sql/unsent_ids.sql"), &values)
}

/// Inserts again the rows that may never have been sent and whose ids are not among $1.
pub(super) fn missing_rows(needs: &Needs, facts: &Facts, by_status: bool) -> String {
    let Expressions { id, .. } = Expressions::of(needs, facts);
    let unsent = unsent(needs, facts, by_status);
    let held = format!("NOT EXISTS (SELECT FROM unnest($1::text[]) held(id) WHERE held.id = t.{id}::text)");
    rows_again(needs, facts, &format!("{unsent}\n   AND {held}"))
}

/// The condition for it.
fn unsent(needs: &Needs, facts: &Facts, by_status: bool) -> String {
    let Expressions { id, xid, .. } = Expressions::of(needs, facts);
    let mut all = Vec::new();
    if facts.status_objects.has_dead_letters {
        let letters = needs.dead_letters();
        all.push(format!(
            "NOT EXISTS (SELECT FROM {letters} d WHERE d.event_id = t.{id}::text AND d.state <> 'retried')"
        ));
    }
    if by_status {
        let (watermark, slot) = (needs.watermark(), escape_literal(&needs.slot));
        all.push(format!(
            "NOT COALESCE(pg_visible_in_snapshot({xid}, (SELECT w.delivered FROM {watermark} w WHERE w.slot = {slot}\n         \
             AND w.system_id = (SELECT c.system_identifier::text FROM pg_control_system() c))), false)"
        ));
    }
    if all.is_empty() { "true".to_owned() } else { all.join("\n   AND ") }
}

/// Forgets what a slot had confirmed.
pub(super) fn forget_watermark(needs: &Needs) -> String {
    format!("DELETE FROM {} WHERE slot = $1", needs.watermark())
}

/// Inserts rows again as they were.
fn rows_again(needs: &Needs, facts: &Facts, unsent: &str) -> String {
    let Expressions { xid, created_at, .. } = Expressions::of(needs, facts);
    let columns = facts.table.iter().flat_map(|table| &table.columns).filter(|column| !column.is_generated);
    let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let value = |name: &&str| match (xid, *name) {
        // The status is told by the transaction that wrote a row, and that is another one now.
        (XID, XID_COLUMN) => "pg_current_xact_id()".to_owned(),
        (_, name) => format!("t.{}", escape_identifier(name)),
    };
    let listed = |names: Vec<String>| names.join(", ");
    let values = [
        ("{table}", &*needs.mapping.table.to_string()),
        ("{columns}", &*listed(names.iter().map(|name| escape_identifier(name)).collect())),
        ("{values}", &*listed(names.iter().map(value).collect())),
        ("{unsent}", unsent),
        ("{order}", &*format!("{created_at}, t.walpost_place")),
    ];
    fill(include_str!("../../sql/existing_rows.sql"), &values)
}

/// Whether a slot can be one that goes over to a standby.
pub(super) fn fails_over(server_version_num: i32) -> bool {
    server_version_num >= FAILS_OVER
}

/// Creates the slot, in place of one that is lost; one that goes over to a standby where the server can do that.
pub(super) fn slot(needs: &Needs, facts: &Facts) -> String {
    let created = new_slot(needs, facts.server.version_num);
    if facts.slot.is_none() {
        return created;
    }
    format!("SELECT pg_drop_replication_slot({});\n{created}", escape_literal(&needs.slot))
}

fn new_slot(needs: &Needs, server_version_num: i32) -> String {
    let template = if fails_over(server_version_num) {
        include_str!("../../sql/failover_slot.sql")
    } else {
        include_str!("../../sql/slot.sql")
    };
    fill(template, &[("{slot}", &escape_literal(&needs.slot))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Mapping, Preset, TableName};

    fn needs(slot: &str, publication: &str, table: &str) -> Needs {
        let table = TableName::new("public", table).unwrap();
        let mapping = Mapping { table, columns: Preset::Walpost.columns() };
        Needs { slot: slot.into(), publication: publication.into(), mapping, deletes_rows: false }
    }

    #[test]
    fn names_stay_names_whatever_they_hold() {
        let needs = needs("a'b", "{table}\"; --", "{publication}");
        let sql = publication(&needs).unwrap();
        assert!(sql.contains(r#"CREATE PUBLICATION "{table}""; --" FOR TABLE public."{publication}""#), "{sql}");
        assert!(table(&needs).contains(r#"CREATE TABLE public."{publication}" ("#));
        assert!(new_slot(&needs, 160_010).contains("('a''b', 'pgoutput');"));
        assert!(new_slot(&needs, 170_000).contains("('a''b', 'pgoutput', failover => true);"));
    }

    #[test]
    fn a_name_that_the_server_would_cut_is_refused() {
        assert!(publication(&needs("walpost", &"x".repeat(64), "outbox")).is_err());
    }
}
