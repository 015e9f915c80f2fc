//! `walpost setup`: creates what is missing on both sides, and touches nothing that is there.
//!
//! Input: a session, [`Needs`], the stream and its plan. Output: one [`Step`] for each part, or a plan of the same steps
//! that changes nothing. What is there and does not fit is refused with the problem that preflight has for it: setup
//! creates, and alters nothing but what is walpost's own and of an older version; and a slot that is lost is made anew if
//! somebody says that what it would have sent is to be looked for.
//!
//! The order is fixed: tables, delivery status, publication, stream, slot.
//! - The publication comes before the slot. Decoding looks at the catalog as it was when a change was made; a change
//!   between slot and publication stops servers up to version 17 for ever, and later ones skip it.
//! - The slot comes last of all. From then on the server keeps its log for it, so it must not be there before
//!   everything that its reader needs.
//!
//! Each part is created in a transaction of its own, and then everything is looked at again. So running setup a second
//! time, or twice at once, is harmless: what somebody else created meanwhile counts as existing if it fits.
//! Rows of the outbox are moved only where somebody asked for it, and only when the slot is made (`slot`).

mod error;
mod missing;
mod slot;
mod statement;

pub use error::{RowsError, SetupError};
use missing::Unsent;
use slot::Before;
pub use slot::ExistingRows;

use std::{pin::pin, time::Duration};

use tokio::time::timeout;

use crate::{
    postgres::sql::{Session, SqlError, exists_already},
    preflight::{Facts, Needs, Problem, inspect, problems},
    publish::{StreamInspector, StreamPlan, StreamProblem},
};

/// How long a slot may take to be created before somebody is told that it waits: without other writers it takes a few
/// milliseconds.
const SLOW: Duration = Duration::from_secs(2);

/// What to create, and where.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The database.
    pub session: &'a Session,
    /// Slot, publication and table.
    pub needs: &'a Needs,
    /// The broker's side.
    pub inspector: &'a StreamInspector,
    /// The stream as it must be.
    pub stream: &'a StreamPlan,
    /// What becomes of rows that are there before the slot; without a decision they stand in its way.
    pub existing_rows: Option<ExistingRows>,
}

/// One part after setup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The part: `table public.outbox`.
    pub what: String,
    /// What setup did.
    pub outcome: Outcome,
}

/// What setup did with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was missing and is there now.
    Created,
    /// It was there and fits.
    Existed,
    /// It was there from an older version of walpost, or for an outbox table of another form, and fits now.
    Upgraded,
    /// It was there before the slot, and goes through the log now.
    Sent,
    /// It was there before the slot, and is left as it is.
    Kept,
    /// It is there before the slot, and there will be no slot until somebody decides. Only a plan has this.
    Undecided,
}

/// One part as setup would leave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// The part: `table public.outbox`.
    pub what: String,
    /// What setup would do with it.
    pub outcome: Outcome,
    /// Whether what setup would do is SQL.
    pub is_sql: bool,
    /// What setup would do: SQL, or the stream's settings as JSON. Empty if the part exists.
    pub text: String,
}

/// What setup found.
struct Found {
    /// What it is to create.
    missing: Vec<Problem>,
    /// Everything else.
    facts: Facts,
}

/// What setup creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The outbox table.
    Table,
    /// The table of watermarks.
    Watermark,
    /// The table of dead letters.
    DeadLetters,
    /// The views and functions that tell the delivery status.
    Status,
    /// The publication.
    Publication,
    /// The stream.
    Stream,
    /// The replication slot.
    Slot,
}

impl Setup<'_> {
    /// What [`Setup::apply`] would do; changes nothing.
    pub async fn plan(&self) -> Result<Vec<PlannedStep>, SetupError> {
        let found = self.look().await?;
        let step = |part: Part| {
            let outcome = self.needed(part, &found);
            let text = if outcome == Outcome::Existed { String::new() } else { self.text(part, &found.facts)? };
            Ok(PlannedStep { what: self.what(part), outcome, is_sql: part != Part::Stream, text })
        };
        let mut steps = Part::ORDER.into_iter().map(step).collect::<Result<Vec<_>, SetupError>>()?;
        if self.needed(Part::Slot, &found) == Outcome::Created && found.facts.table.is_some() {
            steps.extend(match self.existing_rows {
                Some(ExistingRows::Missing) => self.planned_for_missing(&found.facts).await?,
                _ => self.planned_for_rows(&found.facts).await,
            });
        }
        Ok(steps)
    }

    /// What would become of rows that are there before the slot: for certain that is seen only once the slot is made.
    async fn planned_for_rows(&self, facts: &Facts) -> Option<PlannedStep> {
        let table = &self.needs.mapping.table;
        let planned = |outcome, text| {
            Some(PlannedStep { what: format!("what is in table {table}"), outcome, is_sql: false, text })
        };
        if self.existing_rows == Some(ExistingRows::Keep) {
            return planned(Outcome::Kept, String::new());
        }
        match slot::rows_exist_now(self.session.client(), self.needs).await {
            Ok(false) => None,
            Ok(true) if self.existing_rows.is_some() => {
                planned(Outcome::Sent, statement::existing_rows(self.needs, facts))
            }
            Ok(true) => {
                let problem = Problem::ExistingRows(table.clone());
                planned(Outcome::Undecided, format!("{problem}\n{}", problem.remedy()))
            }
            Err(source) => {
                let error = SetupError::RowsUnseen { table: table.clone(), source };
                let (why, hint) = (error.sql().map(ToString::to_string), error.hint());
                planned(
                    Outcome::Undecided,
                    format!("{error}: {}\n{}", why.unwrap_or_default(), hint.unwrap_or_default()),
                )
            }
        }
    }

    /// What would become of them if those that are missing in the stream are to be sent.
    async fn planned_for_missing(&self, facts: &Facts) -> Result<Option<PlannedStep>, SetupError> {
        let missing = Unsent::look(self, facts, None).await?.compare(self, facts, &mut |_: &str| {}).await?;
        let step = self.completed(missing.count as u64);
        let text = if missing.count > 0 { missing.sql } else { String::new() };
        Ok((missing.looked_at > 0).then_some(PlannedStep {
            what: step.what,
            outcome: step.outcome,
            is_sql: false,
            text,
        }))
    }

    /// Creates what is missing. `on_wait` is told, in words for people, if that takes longer than it should.
    ///
    /// A caller who gives up meanwhile does not stop the server: the slot appears as soon as it can be created.
    pub async fn apply(&self, mut on_wait: impl FnMut(&str)) -> Result<Vec<Step>, SetupError> {
        let mut found = self.look().await?;
        let mut steps = Vec::new();
        for part in Part::ORDER {
            let mut outcome = self.needed(part, &found);
            let mut before = Before::Nothing;
            if outcome != Outcome::Existed {
                match self.create(part, &found.facts, &mut on_wait).await? {
                    Some(rows) => before = rows,
                    None => outcome = Outcome::Existed,
                }
                found = self.look().await?;
            }
            steps.push(Step { what: self.what(part), outcome });
            steps.extend(self.step_of(before));
        }
        if found.missing.is_empty() { Ok(steps) } else { Err(SetupError::Refused(found.missing)) }
    }

    /// What is there, and the problems that setup mends; an error if there are others.
    async fn look(&self) -> Result<Found, SetupError> {
        let facts = inspect(self.session, self.needs).await?;
        let mut found = problems(&facts, self.needs);
        found.extend(self.inspector.problems(self.stream).await?.into_iter().map(Problem::Stream));
        let (missing, unfit): (Vec<_>, Vec<_>) = found.into_iter().partition(|problem| self.mends(problem));
        if unfit.is_empty() { Ok(Found { missing, facts }) } else { Err(SetupError::Refused(unfit)) }
    }

    /// Whether it is what is to be created: a slot that is lost too, if what it would have sent is looked for.
    fn mends(&self, problem: &Problem) -> bool {
        let is_lost = matches!(problem, Problem::SlotGone { .. } | Problem::SlotLost { .. });
        problem.made_by_setup() || (is_lost && self.existing_rows == Some(ExistingRows::Missing))
    }

    /// What is to be done about a part.
    fn needed(&self, part: Part, Found { missing, facts }: &Found) -> Outcome {
        let objects = &facts.status_objects;
        let (is_there, fits) = match part {
            Part::Watermark => (!part.is_among(missing), objects.has_columns),
            Part::DeadLetters => (objects.has_dead_letters, true),
            Part::Status => (objects.has_view, objects.form == Some(statement::status_form(self.needs, facts))),
            _ => (!part.is_among(missing), true),
        };
        match (is_there, fits) {
            (false, _) => Outcome::Created,
            (true, false) => Outcome::Upgraded,
            (true, true) => Outcome::Existed,
        }
    }

    /// Creates or upgrades one part, and tells what was there before the slot; none if somebody else was faster.
    async fn create(
        &self,
        part: Part,
        facts: &Facts,
        on_wait: &mut impl FnMut(&str),
    ) -> Result<Option<Before>, SetupError> {
        if part == Part::Stream {
            return Ok(self.inspector.create(self.stream).await?.then_some(Before::Nothing));
        }
        if part == Part::Slot {
            return slot::create(self, facts, on_wait).await;
        }
        let sql = self.text(part, facts)?;
        let mut creation = pin!(self.session.client().batch_execute(&sql));
        let done = match timeout(SLOW, &mut creation).await {
            Ok(done) => done,
            Err(_) => {
                on_wait(part.reason_to_wait());
                creation.await
            }
        };
        match done.map_err(SqlError::from) {
            Ok(()) => Ok(Some(Before::Nothing)),
            Err(error) if exists_already(error.sqlstate()) => Ok(None),
            Err(source) => Err(SetupError::Create { what: self.what(part), source }),
        }
    }

    /// What became of rows from before the slot.
    fn step_of(&self, before: Before) -> Option<Step> {
        let table = &self.needs.mapping.table;
        match before {
            Before::Nothing => None,
            Before::Sent(1) => Some((format!("1 row that was in table {table}"), Outcome::Sent)),
            Before::Sent(count) => Some((format!("{count} rows that were in table {table}"), Outcome::Sent)),
            Before::Completed(count) => return Some(self.completed(count)),
            Before::Kept => Some((format!("what was in table {table}"), Outcome::Kept)),
        }
        .map(|(what, outcome)| Step { what, outcome })
    }

    /// What became of rows from before the slot of which so many were missing in the stream.
    fn completed(&self, count: u64) -> Step {
        let (table, stream) = (&self.needs.mapping.table, &self.stream.name);
        let (what, outcome) = match count {
            0 => (format!("what was in table {table}: nothing of it is missing in stream {stream}"), Outcome::Kept),
            1 => (format!("1 row of table {table} that was missing in stream {stream}"), Outcome::Sent),
            _ => (format!("{count} rows of table {table} that were missing in stream {stream}"), Outcome::Sent),
        };
        Step { what, outcome }
    }

    /// The part by its kind and name.
    fn what(&self, part: Part) -> String {
        match part {
            Part::Table => format!("table {}", self.needs.mapping.table),
            Part::Watermark => format!("table {}", self.needs.watermark()),
            Part::DeadLetters => format!("table {}", self.needs.dead_letters()),
            Part::Status => format!("delivery status of {}", self.needs.mapping.table),
            Part::Publication => format!("publication {}", self.needs.publication),
            Part::Stream => format!("stream {}", self.stream.name),
            Part::Slot => format!("slot {}", self.needs.slot),
        }
    }

    /// What creates the part: what is executed, or the settings that are sent. For the slot it is what has the same effect by
    /// hand, where no rows are there before it.
    fn text(&self, part: Part, facts: &Facts) -> Result<String, SetupError> {
        Ok(match part {
            Part::Table => statement::table(self.needs),
            Part::Watermark if facts.watermark_table.is_there => statement::watermark_upgrade(self.needs),
            Part::Watermark => statement::watermark(self.needs),
            Part::DeadLetters => statement::dead_letters(self.needs),
            Part::Status => statement::status(self.needs, facts)?,
            Part::Publication => statement::publication(self.needs)?,
            Part::Slot => statement::slot(self.needs, facts),
            Part::Stream => serde_json::to_string_pretty(&self.stream.config())?,
        })
    }
}

impl Part {
    /// All parts, in the order in which they are created.
    const ORDER: [Self; 7] =
        [Self::Table, Self::Watermark, Self::DeadLetters, Self::Status, Self::Publication, Self::Stream, Self::Slot];

    /// Whether one of the problems is that this part is missing.
    fn is_among(self, problems: &[Problem]) -> bool {
        problems.iter().any(|problem| match problem {
            Problem::TableMissing { .. } => self == Self::Table,
            Problem::WatermarkMissing(_) => self == Self::Watermark,
            Problem::PublicationMissing(_) => self == Self::Publication,
            Problem::SlotMissing(_) | Problem::SlotGone { .. } | Problem::SlotLost { .. } => self == Self::Slot,
            Problem::Stream(StreamProblem::Missing(_)) => self == Self::Stream,
            _ => false,
        })
    }

    /// Why the server has not answered yet.
    fn reason_to_wait(self) -> &'static str {
        match self {
            Self::Slot => {
                "still waiting: Postgres creates the slot once every transaction that was running has ended; to see them, \
                 run `SELECT pid, xact_start, state, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY \
                 xact_start;`"
            }
            _ => {
                "still waiting: another session holds a lock; to see which, run `SELECT pid, pg_blocking_pids(pid), query \
                  FROM pg_stat_activity WHERE wait_event_type = 'Lock';`"
            }
        }
    }
}

impl Outcome {
    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Existed => "exists",
            Self::Upgraded => "upgraded",
            Self::Sent => "sent",
            Self::Kept => "kept",
            Self::Undecided => "stops",
        }
    }
}
