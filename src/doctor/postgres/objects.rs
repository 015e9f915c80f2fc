//! What walpost uses in the database: table, watermark, publication, slot. Preflight judges it; its words are told here.

use super::provider;
use crate::{
    doctor::{check::Check, finding::Finding},
    plan::Plan,
    preflight::{self, Facts, Problem, Slot},
    survey::Provider,
    words::span,
};

/// What is judged here.
pub(super) const CHECKS: [Check; 9] = [
    Check::TABLE,
    Check::WATERMARK,
    Check::RETENTION,
    Check::PUBLICATION,
    Check::PUBLICATION_INSERTS,
    Check::PUBLICATION_TABLE,
    Check::PUBLICATION_COLUMNS,
    Check::PUBLICATION_ROWS,
    Check::SLOT,
];

pub(super) fn judge(plan: &Plan, facts: &Facts, provider: Provider, findings: &mut Vec<Finding>) {
    let problems = preflight::problems(facts, &plan.needs);
    for problem in &problems {
        if let Some(check) = check_of(problem) {
            findings.push(Finding::problem(check, problem, provider::remedy(problem, provider)));
        }
    }
    let is_too_old = problems.iter().any(|problem| matches!(problem, Problem::VersionTooOld(_)));
    if is_too_old {
        return;
    }
    for (check, found) in good(plan, facts) {
        if !findings.iter().any(|finding| finding.check == check) {
            findings.push(Finding::ok(check, found));
        }
    }
}

/// The check that a problem belongs to; none if another file judges it.
fn check_of(problem: &Problem) -> Option<Check> {
    Some(match problem {
        // Judged in `server`, which knows more of it.
        Problem::VersionTooOld(_) | Problem::InRecovery | Problem::NoFreeSender(_) => return None,
        // On the other side.
        Problem::Stream(_) => return None,
        Problem::WalLevel(_) => Check::WAL_LEVEL,
        Problem::NoReplication(_) => Check::ROLE,
        Problem::NoFreeSlot(_) => Check::SLOTS_LEFT,
        Problem::SchemaMissing(_)
        | Problem::TableMissing { .. }
        | Problem::NotATable { .. }
        | Problem::NotLogged(_)
        | Problem::Columns(_)
        | Problem::GeneratedColumn { .. } => Check::TABLE,
        Problem::Retention(_) => Check::RETENTION,
        Problem::WatermarkMissing(_) | Problem::WatermarkRights { .. } => Check::WATERMARK,
        Problem::PublicationMissing(_) => Check::PUBLICATION,
        Problem::NoInserts(_) => Check::PUBLICATION_INSERTS,
        Problem::TableNotPublished { .. } | Problem::NotViaRoot { .. } => Check::PUBLICATION_TABLE,
        Problem::ColumnsLeftOut { .. } => Check::PUBLICATION_COLUMNS,
        Problem::RowFilter { .. } => Check::PUBLICATION_ROWS,
        Problem::ExistingRows(_)
        | Problem::RowsUndecided { .. }
        | Problem::SlotMissing(_)
        | Problem::SlotPlugin { .. }
        | Problem::SlotDatabase { .. }
        | Problem::SlotTemporary(_)
        | Problem::SlotTwoPhase(_)
        | Problem::SlotLost { .. }
        | Problem::SlotGone { .. } => Check::SLOT,
    })
}

/// What is said of each thing that is there, where no problem is told of it.
fn good(plan: &Plan, facts: &Facts) -> Vec<(Check, String)> {
    let needs = &plan.needs;
    let server = &facts.server;
    let mut good = vec![
        (Check::WAL_LEVEL, server.effective_wal_level.as_ref().unwrap_or(&server.wal_level).clone()),
        (Check::ROLE, format!("{} may replicate", server.role)),
        (Check::SLOTS_LEFT, format!("{} of {} in use", server.used_slots, server.max_slots)),
    ];
    if let Some(table) = &facts.table {
        let kind = if table.kind == 'p' { "partitioned, " } else { "" };
        good.push((Check::TABLE, format!("{}, {kind}{} columns", needs.mapping.table, table.columns.len())));
    }
    if facts.watermark_table.is_there {
        let lsn = facts.watermark.as_ref().map(|watermark| watermark.mark.confirmed.lsn);
        let at = lsn.map_or_else(|| "no row yet".to_owned(), |lsn| format!("at {lsn}"));
        good.push((Check::WATERMARK, format!("{}, {at}", needs.watermark())));
    }
    let kept = || "delivered rows are kept".to_owned();
    let retention =
        plan.delete_after.map_or_else(kept, |age| format!("delivered rows go {} after they came", span(age)));
    good.push((Check::RETENTION, retention));
    if facts.publication.is_some() {
        good.push((Check::PUBLICATION, needs.publication.clone()));
        good.push((Check::PUBLICATION_INSERTS, "published".to_owned()));
    }
    if facts.publication.as_ref().is_some_and(|publication| publication.has_table) {
        good.push((Check::PUBLICATION_TABLE, format!("has {}", needs.mapping.table)));
        good.push((Check::PUBLICATION_COLUMNS, "all that an event is made of".to_owned()));
        good.push((Check::PUBLICATION_ROWS, "all".to_owned()));
    }
    good.extend(facts.slot.as_ref().map(|slot| (Check::SLOT, described(&needs.slot, slot))));
    good
}

fn described(name: &str, slot: &Slot) -> String {
    let confirmed = slot.confirmed_flush.map_or_else(String::new, |lsn| format!(", confirmed up to {lsn}"));
    let status = slot.wal_status.as_deref().unwrap_or("no log kept yet");
    format!("{name}, {status}{confirmed}")
}

#[cfg(test)]
mod tests {
    use super::{super::server, *};

    #[test]
    fn every_check_of_preflight_is_one_of_the_lists() {
        let all = [&CHECKS[..], &server::CHECKS[..]].concat();
        assert!(check_of(&Problem::WalLevel(String::new())).is_some_and(|check| all.contains(&check)));
        assert!(check_of(&Problem::SlotMissing(String::new())).is_some_and(|check| all.contains(&check)));
    }
}
