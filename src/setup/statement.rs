//! The SQL that setup executes: files under `sql/` with names put in.
//!
//! Names go in as quoted identifiers or literals and in no other way, and a dry run prints the very text that is
//! executed.

use postgres_protocol::escape::escape_literal;

use crate::{
    outbox::{IdentifierError, quote_identifier},
    preflight::Needs,
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

/// Creates the publication.
pub(super) fn publication(needs: &Needs) -> Result<String, IdentifierError> {
    let name = quote_identifier(&needs.publication)?;
    let table = needs.mapping.table.to_string();
    Ok(fill(include_str!("../../sql/publication.sql"), &[("{publication}", &name), ("{table}", &table)]))
}

/// Creates the slot; one that goes over to a standby where the server can do that.
pub(super) fn slot(needs: &Needs, server_version_num: i32) -> String {
    let template = if server_version_num >= FAILS_OVER {
        include_str!("../../sql/failover_slot.sql")
    } else {
        include_str!("../../sql/slot.sql")
    };
    fill(template, &[("{slot}", &escape_literal(&needs.slot))])
}

/// Puts values in their places, in one pass: a value that looks like a place stays a value.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    let next = |rest: &str| {
        let found = values.iter().filter_map(|(place, value)| Some((rest.find(place)?, *place, *value)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, place, value)) = next(rest) {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        filled.push_str(value);
        rest = after.strip_prefix(place).unwrap_or_default();
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Mapping, Preset, TableName};

    fn needs(slot: &str, publication: &str, table: &str) -> Needs {
        let table = TableName::new("public", table).unwrap();
        let mapping = Mapping { table, columns: Preset::Walpost.columns() };
        Needs { slot: slot.into(), publication: publication.into(), mapping }
    }

    #[test]
    fn names_stay_names_whatever_they_hold() {
        let needs = needs("a'b", "{table}\"; --", "{publication}");
        let sql = publication(&needs).unwrap();
        assert!(sql.contains(r#"CREATE PUBLICATION "{table}""; --" FOR TABLE public."{publication}""#), "{sql}");
        assert!(table(&needs).contains(r#"CREATE TABLE public."{publication}" ("#));
        assert!(slot(&needs, 160_010).contains("('a''b', 'pgoutput');"));
        assert!(slot(&needs, 170_000).contains("('a''b', 'pgoutput', failover => true);"));
    }

    #[test]
    fn a_name_that_the_server_would_cut_is_refused() {
        assert!(publication(&needs("walpost", &"x".repeat(64), "outbox")).is_err());
    }
}
