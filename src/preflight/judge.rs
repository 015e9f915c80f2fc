//! From facts to problems: a pure comparison.
//!
//! Invariants:
//! - Everything that is wrong is told, but nothing that only follows from something else that is told.
//! - With no problems left the relay can start; with only problems that `setup` mends, `setup` can begin.

use super::{Facts, Needs, Problem, Publication, Server, Slot, Table, TableColumn, facts::OLDEST_VERSION_NUM};
use crate::{
    outbox::{Binding, Columns, Preset},
    pgoutput::{Column, Relation, ReplicaIdentity},
};

/// From this version on the server raises the level by itself with the first logical slot, unless it is `minimal`
/// (<https://www.postgresql.org/docs/19/runtime-config-wal.html>).
const LEVEL_FOLLOWS_SLOTS: i32 = 190_000;

/// From this version on a publication can send generated columns
/// (<https://www.postgresql.org/docs/18/sql-createpublication.html>, `publish_generated_columns`).
const SENDS_GENERATED: i32 = 180_000;

/// Everything that keeps the relay from working, in the order in which one would mend it.
pub fn problems(facts: &Facts, needs: &Needs) -> Vec<Problem> {
    if facts.server.version_num < OLDEST_VERSION_NUM {
        return vec![Problem::VersionTooOld(facts.server.version.clone())];
    }
    let mut problems = Vec::new();
    judge_server(facts, &mut problems);
    judge_table(facts, needs, &mut problems);
    judge_watermark(facts, needs, &mut problems);
    problems.extend(super::retention::problems(facts, needs).into_iter().map(Problem::Retention));
    judge_publication(facts, needs, &mut problems);
    match &facts.slot {
        None => problems.push(missing_slot(facts, needs)),
        Some(slot) => judge_slot(slot, &facts.server, needs, &mut problems),
    }
    if facts.server.is_in_recovery {
        // Nothing can be created on a standby; on the primary these may well exist.
        problems.retain(|problem| !problem.made_by_setup());
    }
    problems
}

/// The server's settings and our role.
fn judge_server(facts: &Facts, problems: &mut Vec<Problem>) {
    let server = &facts.server;
    if server.is_in_recovery {
        problems.push(Problem::InRecovery);
    }
    if !can_decode(server) {
        problems.push(Problem::WalLevel(server.wal_level.clone()));
    }
    if !server.may_replicate {
        problems.push(Problem::NoReplication(server.role.clone()));
    }
    if facts.slot.is_none() && server.used_slots >= server.max_slots {
        problems.push(Problem::NoFreeSlot(server.max_slots));
    }
    // A slot in use means that another walpost leads: this one only waits, and takes over its connection's place.
    let is_led = facts.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
    if !is_led && server.used_senders >= server.max_senders {
        problems.push(Problem::NoFreeSender(server.max_senders));
    }
}

/// The table of watermarks.
fn judge_watermark(facts: &Facts, needs: &Needs, problems: &mut Vec<Problem>) {
    let table = facts.watermark_table;
    if !facts.has_schema {
        return;
    }
    if !table.is_there {
        problems.push(Problem::WatermarkMissing(needs.watermark()));
    } else if !table.may_use {
        problems.push(Problem::WatermarkRights { table: needs.watermark(), role: facts.server.role.clone() });
    }
}

/// A slot that was never there is created by `setup`. One that is gone took its place in the log with it, and a new one
/// would begin elsewhere.
fn missing_slot(facts: &Facts, needs: &Needs) -> Problem {
    let slot = needs.slot.clone();
    match &facts.watermark {
        None => Problem::SlotMissing(slot),
        Some(watermark) => {
            let confirmed = watermark.mark.confirmed.lsn.to_string();
            Problem::SlotGone { slot, confirmed }
        }
    }
}

/// Whether the log holds enough, or will once there is a slot.
fn can_decode(server: &Server) -> bool {
    let is_logical = |level: &str| level == "logical";
    is_logical(&server.wal_level)
        || server.effective_wal_level.as_deref().is_some_and(is_logical)
        || (server.version_num >= LEVEL_FOLLOWS_SLOTS && server.wal_level != "minimal")
}

/// The table and its columns.
fn judge_table(facts: &Facts, needs: &Needs, problems: &mut Vec<Problem>) {
    let name = &needs.mapping.table;
    let Some(table) = &facts.table else {
        problems.push(if facts.has_schema {
            Problem::TableMissing { table: name.clone(), is_ours: is_ours(&needs.mapping.columns) }
        } else {
            Problem::SchemaMissing(name.clone())
        });
        return;
    };
    if let Some(kind) = not_a_table(table) {
        problems.push(Problem::NotATable { table: name.clone(), kind });
        return;
    }
    if table.persistence != 'p' {
        problems.push(Problem::NotLogged(name.clone()));
    }
    if let Err(error) = Binding::bind(&needs.mapping, &relation(table, needs), &facts.base_types) {
        problems.push(Problem::Columns(error));
    }
    for column in mapped(&needs.mapping.columns, table).filter(|column| column.is_generated) {
        if !is_sent(column, facts) {
            problems.push(Problem::GeneratedColumn { table: name.clone(), column: column.name.clone() });
        }
    }
}

/// Whether the values of a generated column reach the log's reader. Older servers list such a column and do not send it.
fn is_sent(column: &TableColumn, facts: &Facts) -> bool {
    let is_listed = |publication: &Publication| publication.column_names.contains(&column.name);
    facts.server.version_num >= SENDS_GENERATED && facts.publication.as_ref().is_some_and(is_listed)
}

/// Whether the columns are those of the table that `setup` creates.
fn is_ours(columns: &Columns) -> bool {
    let ours = Preset::Walpost.columns();
    let names = |columns: &Columns| {
        let optional = [&columns.headers, &columns.created_at].map(|column| column.as_ref().map(|c| c.name.clone()));
        (columns.id.clone(), columns.aggregate_type.clone(), columns.aggregate_id.clone(), optional)
    };
    names(columns) == names(&ours) && columns.event_type == ours.event_type && columns.payload == ours.payload
}

/// What something is, unless it is a table with rows of its own or of its partitions.
fn not_a_table(table: &Table) -> Option<&'static str> {
    match table.kind {
        'r' | 'p' => None,
        'v' => Some("a view"),
        'm' => Some("a materialized view"),
        _ => Some("a foreign table"),
    }
}

/// The table as the log would describe it.
fn relation(table: &Table, needs: &Needs) -> Relation {
    let column = |column: &TableColumn| Column {
        name: column.name.clone(),
        type_oid: column.type_oid,
        type_modifier: -1,
        is_key: false,
    };
    Relation {
        id: table.oid,
        namespace: needs.mapping.table.schema().to_owned(),
        name: needs.mapping.table.name().to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: table.columns.iter().map(column).collect(),
    }
}

/// The columns of the table that mean something.
fn mapped<'a>(columns: &'a Columns, table: &'a Table) -> impl Iterator<Item = &'a TableColumn> {
    table.columns.iter().filter(|column| {
        let is_optional = [&columns.headers, &columns.created_at]
            .into_iter()
            .any(|optional| optional.as_ref().is_some_and(|optional| optional.name == column.name));
        let required =
            [&columns.id, &columns.aggregate_type, &columns.aggregate_id, &columns.event_type, &columns.payload];
        is_optional || required.contains(&&column.name)
    })
}

/// The publication, as far as the table is concerned.
fn judge_publication(facts: &Facts, needs: &Needs, problems: &mut Vec<Problem>) {
    let name = || needs.publication.clone();
    let Some(publication) = &facts.publication else {
        problems.push(Problem::PublicationMissing(name()));
        return;
    };
    if !publication.publishes_insert {
        problems.push(Problem::NoInserts(name()));
    }
    // What is no table, or is not logged, cannot be published, and that was told already.
    let Some(table) = facts.table.as_ref().filter(|t| not_a_table(t).is_none() && t.persistence == 'p') else { return };
    let table_name = || needs.mapping.table.clone();
    if !publication.has_table {
        problems.push(if table.kind == 'p' && publication.is_member && !publication.is_via_root {
            Problem::NotViaRoot { publication: name(), table: table_name() }
        } else {
            Problem::TableNotPublished { publication: name(), table: table_name() }
        });
        return;
    }
    let columns = left_out(publication, table, needs);
    if !columns.is_empty() {
        problems.push(Problem::ColumnsLeftOut { publication: name(), table: table_name(), columns });
    }
    if let Some(filter) = &publication.row_filter {
        problems.push(Problem::RowFilter { publication: name(), table: table_name(), filter: filter.clone() });
    }
}

/// The mapped columns that a column list leaves out.
fn left_out(publication: &Publication, table: &Table, needs: &Needs) -> Vec<String> {
    if publication.column_names.is_empty() {
        return Vec::new();
    }
    mapped(&needs.mapping.columns, table)
        .filter(|column| !column.is_generated && !publication.column_names.contains(&column.name))
        .map(|column| column.name.clone())
        .collect()
}

/// The slot that has our slot's name.
fn judge_slot(slot: &Slot, server: &Server, needs: &Needs, problems: &mut Vec<Problem>) {
    let name = || needs.slot.clone();
    // Another session is making it: the server writes the name first, and the rest a moment later.
    if slot.plugin.as_deref() == Some("") {
        return;
    }
    if slot.plugin.as_deref() != Some("pgoutput") {
        problems.push(Problem::SlotPlugin { slot: name(), plugin: slot.plugin.clone() });
        return;
    }
    if let Some(found) = slot.database.as_ref().filter(|found| **found != server.database) {
        let expected = server.database.clone();
        problems.push(Problem::SlotDatabase { slot: name(), found: found.clone(), expected });
        return;
    }
    if slot.is_temporary {
        problems.push(Problem::SlotTemporary(name()));
    }
    if slot.is_two_phase {
        problems.push(Problem::SlotTwoPhase(name()));
    }
    let is_lost = slot.wal_status.as_deref() == Some("lost");
    let reason = slot.invalidation_reason.clone().or_else(|| is_lost.then(|| "wal_removed".to_owned()));
    if let Some(reason) = reason {
        let confirmed = slot.confirmed_flush.unwrap_or_default().to_string();
        problems.push(Problem::SlotLost { slot: name(), reason, confirmed });
    }
}

#[cfg(test)]
mod tests;
