//! Watches whether the publication still sends every row of the outbox.
//!
//! What a publication leaves out, Postgres leaves out without a word to whoever reads from the slot: from then on events
//! would be committed, never sent, and their log confirmed. So the same questions as before the start are asked again
//! now and then, and whenever the log describes the table anew.

use std::time::Duration;

use tokio::time::{interval, sleep};

use super::RunError;
use crate::{
    postgres::sql::Session as SqlSession,
    preflight::{self, Needs, Problem},
    relay::Progress,
};

/// How often is looked when nothing happens.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a problem must last. A table may be put away and another one made in its place, statement by statement.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks until rows are left out.
pub(super) async fn until_rows_are_left_out(sql: &SqlSession, needs: &Needs, progress: &Progress) -> RunError {
    let mut ticks = interval(INTERVAL);
    let mut table = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = progress.until_table_is_described() => {}
        }
        if look(sql, needs, &mut table).await.is_empty() {
            continue;
        }
        sleep(PATIENCE).await;
        let problems = look(sql, needs, &mut table).await;
        if !problems.is_empty() {
            return RunError::NotReady(problems);
        }
    }
}

/// What keeps rows from being sent. A server that does not answer is somebody else's trouble.
async fn look(sql: &SqlSession, needs: &Needs, table: &mut Option<u32>) -> Vec<Problem> {
    let facts = match preflight::inspect(sql, needs).await {
        Ok(facts) => facts,
        Err(error) => {
            tracing::debug!(%error, "cannot look at the publication");
            return Vec::new();
        }
    };
    if let Some(found) = facts.table.as_ref().map(|table| table.oid)
        && table.replace(found).is_some_and(|known| known != found)
    {
        tracing::warn!(
            table = %needs.mapping.table,
            action = "see whether it had rows before it belonged to the publication: those were not sent",
            "another table has the outbox's name now",
        );
    }
    preflight::problems(&facts, needs).into_iter().filter(leaves_rows_out).collect()
}

/// Columns that do not fit are told where a row does not fit.
fn leaves_rows_out(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::SchemaMissing(_)
            | Problem::TableMissing { .. }
            | Problem::NotATable { .. }
            | Problem::NotLogged(_)
            | Problem::GeneratedColumn { .. }
            | Problem::PublicationMissing(_)
            | Problem::NoInserts(_)
            | Problem::TableNotPublished { .. }
            | Problem::NotViaRoot { .. }
            | Problem::ColumnsLeftOut { .. }
            | Problem::RowFilter { .. }
    )
}
