//! Deletes rows of the outbox that are delivered and old, if `retention.delete_after` says so.
//!
//! Only the leader does, in a session of its own, so that nothing waits for it; it ends with the term, wherever it is.
//! What may go is decided by the same statement that deletes it, from what the slots' watermarks say there. So a second
//! process that does the same, or a server that is not the one it was, costs nothing but time.
//!
//! Rows go in small steps with pauses. Where the table is partitioned by their age, whole partitions are dropped
//! instead, and rows are left alone until theirs can be.

use std::{convert::Infallible, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Supervisor, backoff};
use crate::{
    postgres::{
        Endpoint,
        sql::{Session, SqlError},
    },
    preflight::{self, HeldUp, Needs, Start, Sweep, held_up},
};

/// The pause after each step: what is deleted is log as well, which all standbys and slots have to read.
const PAUSE: Duration = Duration::from_millis(50);
/// How often is looked for rows that have become old, at the least and at the most; in between, ten times in the age.
const INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// How long each statement may wait for a lock, and how long it may take. What is lost in a crash is deleted again. The
/// plan must not depend on whether anybody has counted the table's rows yet.
const SETTINGS: &str = "SET lock_timeout = '1s'; SET statement_timeout = '10s'; SET synchronous_commit = off; SET enable_seqscan = off; \
                        SET application_name = 'walpost retention'";
/// How long a slot may hold everything up before that is told: one that has just begun needs some moments.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a partition is tried to be dropped, in vain, before its rows are deleted one by one.
const MOST_ATTEMPTS: u32 = 10;
/// How often in a row it is tried again soon.
const MOST_AT_ONCE: u32 = 3;
/// The server's answer when a lock was not to be had in time, `lock_not_available`.
const LOCKED: &str = "55P03";

/// What became of delivered rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// How many rows were deleted.
    pub rows: u64,
    /// How many partitions were dropped.
    pub partitions: u64,
    /// How often it failed.
    pub errors: u64,
    /// When all was last looked through.
    pub ran_at: Option<Instant>,
    /// Why nothing is deleted, if that is so.
    pub held_up: Option<String>,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Run {
    rows: u64,
    partitions: u64,
    dead_letters: u64,
}

/// What is known from run to run.
#[derive(Debug, Default)]
struct Memory {
    /// Since when nothing is deleted; and whether that was told.
    held_up: Option<(Instant, bool)>,
    /// How often in a row a partition could not be locked.
    attempts: u32,
    /// Whether it was told that partitions are not dropped.
    is_told: bool,
}

impl Supervisor {
    /// Deletes for as long as it is polled.
    pub(super) async fn delete_delivered(&self, host: &Endpoint) -> Infallible {
        let Some(age) = self.plan.delete_after else { return std::future::pending().await };
        let (mut memory, mut told, mut attempts) = (Memory::default(), None, 0);
        loop {
            let began = Instant::now();
            let Err(error) = self.keep_deleting(host, age, &mut memory).await;
            attempts = if began.elapsed() > Duration::from_secs(60) { 0 } else { attempts + 1 };
            let cause = error.to_string();
            self.health.retains(|retained| {
                retained.errors += 1;
                retained.held_up = Some(cause.clone());
            });
            if attempts >= MOST_AT_ONCE && told.as_ref() != Some(&cause) {
                let action = preflight::explain(error.sqlstate(), &cause)
                    .unwrap_or_else(|| format!("see who holds a lock on {}", self.plan.needs.mapping.table));
                tracing::warn!(
                    error = cause,
                    action,
                    "delivered rows are not deleted, for now; events are delivered all the same"
                );
                told = Some(cause);
            } else {
                tracing::debug!(error = cause, attempts, "delivered rows are not deleted, for now");
            }
            sleep(if attempts < MOST_AT_ONCE { backoff::wait(attempts) } else { interval(age) }).await;
        }
    }

    async fn keep_deleting(&self, host: &Endpoint, age: Duration, memory: &mut Memory) -> Result<Infallible, SqlError> {
        let session = Session::connect(host).await?;
        session.client().batch_execute(SETTINGS).await?;
        loop {
            let began = Instant::now();
            let why = held_up(&session, &self.plan.needs).await?;
            memory.held_up = told(why.as_ref(), memory.held_up, &self.plan.needs);
            let run = if why.is_none() { self.delete(&session, age, memory).await? } else { Run::default() };
            self.health.retains(|retained| {
                retained.ran_at = Some(Instant::now());
                retained.held_up = why.map(|why| why.to_string());
            });
            let Run { rows, partitions, dead_letters } = run;
            if rows + partitions + dead_letters > 0 {
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(rows, partitions, dead_letters, seconds, "deleted what is delivered and old");
            }
            tokio::select! {
                () = sleep(interval(age)) => {}
                () = session.ended() => return Err(SqlError::NoAnswer),
            }
        }
    }

    /// One run: whatever is old now.
    async fn delete(&self, session: &Session, age: Duration, memory: &mut Memory) -> Result<Run, SqlError> {
        let sweep = Sweep::begin(session, &self.plan.needs, age).await?;
        let mut run = Run::default();
        if sweep.is_by_age {
            self.delete_partitions(session, &sweep, &mut run, memory).await?;
        } else {
            self.delete_rows(session, &sweep, None, &mut run).await?;
        }
        run.dead_letters = sweep.letters(session).await?;
        Ok(run)
    }

    /// Drops what can be dropped whole, and deletes rows where rows of any age may be.
    async fn delete_partitions(
        &self,
        session: &Session,
        sweep: &Sweep,
        run: &mut Run,
        memory: &mut Memory,
    ) -> Result<(), SqlError> {
        let partitions = sweep.partitions(session).await?;
        if let Some(foreign) = partitions.iter().find(|partition| !partition.may_drop) {
            if !std::mem::replace(&mut memory.is_told, true) {
                let action = format!("let the role own {} to drop whole partitions, which costs less", foreign.name);
                tracing::info!(action, "rows are deleted one by one: a partition belongs to somebody else");
            }
            return self.delete_rows(session, sweep, None, run).await;
        }
        for partition in partitions {
            let name = Some(partition.name.as_str());
            match (partition.is_past, partition.is_last) {
                (Some(false), _) => {}
                (Some(true), false) => match sweep.drop_partition(session, &partition.name).await {
                    Ok(true) => {
                        memory.attempts = 0;
                        run.partitions += 1;
                        self.health.retains(|retained| retained.partitions += 1);
                        tracing::info!(
                            partition = partition.name,
                            "dropped a partition: every row was delivered and old"
                        );
                    }
                    Ok(false) => self.delete_rows(session, sweep, name, run).await?,
                    // Somebody is at work in it; there is time.
                    Err(error) if error.sqlstate() == Some(LOCKED) && memory.attempts < MOST_ATTEMPTS => {
                        tracing::debug!(partition = partition.name, %error, "cannot drop a partition, for now");
                        memory.attempts += 1;
                    }
                    Err(error) if error.sqlstate().is_some() && !session.has_ended() => {
                        self.not_dropped(&partition.name, &error, memory);
                        self.delete_rows(session, sweep, name, run).await?;
                    }
                    Err(error) => return Err(error),
                },
                (None, _) | (Some(true), true) => self.delete_rows(session, sweep, name, run).await?,
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn not_dropped(&self, partition: &str, error: &SqlError, memory: &mut Memory) {
        self.health.retains(|retained| retained.errors += 1);
        if !std::mem::replace(&mut memory.is_told, true) {
            let action = "see what keeps it; its rows are deleted one by one";
            tracing::warn!(partition, %error, action, "cannot drop a partition of which every row is delivered and old");
        }
    }

    /// Deletes rows of the table, or of one partition, until none is left that is old enough.
    async fn delete_rows(
        &self,
        session: &Session,
        sweep: &Sweep,
        partition: Option<&str>,
        run: &mut Run,
    ) -> Result<(), SqlError> {
        let mut next = Some(Start::default());
        while let Some(start) = next {
            let step = sweep.rows(session, partition, start).await?;
            run.rows += step.deleted;
            self.health.retains(|retained| retained.rows += step.deleted);
            next = step.next;
            if next.is_some() {
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}

/// How often is looked for rows of this age.
fn interval(age: Duration) -> Duration {
    let [least, most] = INTERVALS;
    (age / 10).clamp(least, most)
}

/// Tells once of a slot that holds everything up for long; gives since when it does.
fn told(why: Option<&HeldUp>, before: Option<(Instant, bool)>, needs: &Needs) -> Option<(Instant, bool)> {
    let why = why?;
    let (since, is_told) = before.unwrap_or_else(|| (Instant::now(), false));
    let is_due = !is_told && since.elapsed() >= PATIENCE;
    if is_due {
        tracing::warn!(%why, action = why.remedy(needs), "delivered rows are not deleted: a slot holds them");
    }
    Some((since, is_told || is_due))
}
