//! The table of endpoints, if they are in one: its columns, who may read it, and rows that are none.

use super::all_or;
use crate::{
    config::RefusedRow,
    doctor::{check::Check, finding::Finding, postgres::provider::quoted},
    endpoint_table::Shape,
    plan::Plan,
    survey::{Survey, TableSide, WebhooksSide},
};

/// Without these columns no row is an endpoint.
const REQUIRED: [&str; 3] = ["name", "url", "secrets"];
/// How many rows are told.
const MOST_ROWS: usize = 20;

pub(super) fn judge(plan: &Plan, survey: &Survey, side: &WebhooksSide, findings: &mut Vec<Finding>) {
    let lets_us_in = survey.postgres.answers.is_ok();
    findings.push(match (&side.table, &side.listing) {
        (None, _) => Finding::ok(Check::WEBHOOKS_TABLE, "none: the endpoints are in the configuration"),
        (Some(_), Err(silence)) if lets_us_in && silence.code.is_some() => {
            let remedy = silence.remedy.clone().unwrap_or_default();
            Finding { code: silence.code, ..Finding::critical(Check::WEBHOOKS_TABLE, &silence.why, remedy) }
        }
        (Some(_), Err(silence)) => Finding::silent(Check::WEBHOOKS_TABLE, silence),
        (Some(table), Ok(_)) => shape(plan, table),
    });
    if let Ok(listing) = &side.listing {
        let rows = listing.refused.iter().take(MOST_ROWS).map(refused).collect();
        let found = match listing.endpoints.len() {
            1 => "one endpoint, nothing wrong with it".to_owned(),
            count => format!("{count} endpoints, nothing wrong with any"),
        };
        findings.extend(all_or(Check::WEBHOOKS_ROWS, found, rows));
    }
}

fn shape(plan: &Plan, TableSide { name, shape }: &TableSide) -> Finding {
    let Shape { columns, is_public } = match shape {
        Ok(Some(shape)) => shape,
        Ok(None) => return Finding::unknown(Check::WEBHOOKS_TABLE, "it was there a moment ago"),
        Err(silence) => return Finding::silent(Check::WEBHOOKS_TABLE, silence),
    };
    let missing: Vec<_> = REQUIRED.into_iter().filter(|wanted| !columns.iter().any(|name| name == wanted)).collect();
    if !missing.is_empty() {
        return Finding::critical(
            Check::WEBHOOKS_TABLE,
            format!("{name} has no column {}, and no row of it is an endpoint", missing.join(", ")),
            "add it as sql/webhook_endpoint.sql has it, or name another table as webhooks.table",
        );
    }
    if *is_public {
        return Finding::warning(
            Check::WEBHOOKS_TABLE,
            format!("everybody who is let into the database may read {name}, and so sign as walpost does"),
            format!(
                "run `REVOKE ALL ON {name} FROM PUBLIC;` and `GRANT SELECT ON {name} TO {};`",
                quoted(plan.endpoint.user())
            ),
        );
    }
    Finding::ok(Check::WEBHOOKS_TABLE, name)
}

fn refused(row: &RefusedRow) -> Finding {
    let hint = row.problems.iter().find_map(|problem| problem.hint());
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    let remedy = format!("mend the row{hint}; its events wait, and it is served within seconds");
    Finding::warning(Check::WEBHOOKS_ROWS, format!("the row {} is no endpoint: {row}", row.name), remedy)
}
