//! A leader that lacks the broker gives way to an instance that reaches it.
//!
//! Two words pass between instances, over the database that both reach:
//!
//! ```text
//!   leader, 5 s without the broker:  "I lack it"
//!   standby, having just looked at the stream over a new connection:  "I reach it"
//!   leader: lets the slot go; the standby takes it as ever
//! ```
//!
//! While the broker is away for everybody nobody says the second word, and the leader keeps its log open. The words are
//! shared advisory locks: they end with the session that says them, cost nothing to whoever does not look, and lock
//! nobody out. Leadership itself stays with the slot.

use std::{convert::Infallible, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{RunError, Supervisor};
use crate::{
    postgres::sql::{Session as SqlSession, SqlError},
    preflight::{self, Problem},
    publish::Broker,
    relay::Wait,
};

/// How long a leader bears to lack the broker: longer than a server's restart, or the way to another one of a cluster.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a leader that has asked looks for an answer.
const ANSWER_INTERVAL: Duration = Duration::from_millis(200);
/// How long a leader that has the broker again waits until the others can know.
const TAKE_BACK: Duration = Duration::from_secs(1);
/// How often a standby looks whether it is asked.
const QUESTION_INTERVAL: Duration = Duration::from_secs(1);
/// How often a standby asks whether the slot is free: well below the second that a hand-over may take.
const SLOT_INTERVAL: Duration = Duration::from_millis(100);

/// What an instance may say to the others on the same slot.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// I have the slot, and lack the broker.
    Lacks,
    /// I do not have the slot, and have just reached the broker.
    Reaches,
}

impl Supervisor {
    /// Waits until nobody reads from the slot. Asked by SQL, because each attempt to take a slot that is in use is an
    /// error in the server's log. Gives a new connection to the broker if the leader asked for one that works.
    pub(super) async fn stand_by(&self, sql: &SqlSession) -> Result<Option<Broker>, RunError> {
        let mut reached = None;
        tokio::select! {
            biased;
            free = self.until_free(sql) => free?,
            never = self.answer(sql, &mut reached) => match never? {},
            never = self.watch_slot(sql) => match never {},
        }
        take_back(sql, Word::Reaches, &self.plan.needs.slot).await?;
        Ok(reached)
    }

    async fn until_free(&self, sql: &SqlSession) -> Result<(), SqlError> {
        let slot = &self.plan.needs.slot;
        let mut is_told = false;
        while let Some(pid) = preflight::slot_reader(sql, slot).await? {
            if !is_told {
                tracing::info!(slot, pid, "standing by: another process reads from the slot");
                is_told = true;
            }
            let began = Instant::now();
            sleep(SLOT_INTERVAL).await;
            self.progress.waited(Wait::Slot, began.elapsed());
        }
        Ok(())
    }

    /// Says that the broker can be reached, whenever it is asked and it is true.
    async fn answer(&self, sql: &SqlSession, reached: &mut Option<Broker>) -> Result<Infallible, SqlError> {
        let slot = &self.plan.needs.slot;
        loop {
            let is_asked = hears(sql, Word::Lacks, slot).await?;
            // A connection that was there before may have broken without anybody's noticing, so it proves nothing.
            let now = if is_asked { self.reach().await.inspect_err(unreached).ok() } else { None };
            match (std::mem::replace(reached, now), &reached) {
                (None, Some(_)) => say(sql, Word::Reaches, slot).await?,
                (Some(_), None) => take_back(sql, Word::Reaches, slot).await?,
                _ => {}
            }
            sleep(QUESTION_INTERVAL).await;
        }
    }

    /// A connection over which the stream's leader answers.
    pub(super) async fn reach(&self) -> Result<Broker, RunError> {
        let broker = Broker::connect(&self.plan.broker).await?;
        let problems = broker.inspector().problems(&self.plan.stream).await?;
        if problems.is_empty() {
            return Ok(broker);
        }
        Err(RunError::NotReady(problems.into_iter().map(Problem::Stream).collect()))
    }

    /// For a leader that lacks the broker: waits until another instance is known to reach it.
    /// `has_asked` becomes true as soon as the others are asked.
    pub(super) async fn until_another_reaches(&self, sql: &SqlSession, has_asked: &mut bool) {
        sleep(PATIENCE).await;
        *has_asked = true;
        if let Err(error) = self.ask(sql).await {
            // A broken session is somebody else's trouble.
            tracing::debug!(%error, "cannot ask the others for NATS");
            std::future::pending::<()>().await;
        }
    }

    async fn ask(&self, sql: &SqlSession) -> Result<(), SqlError> {
        let slot = &self.plan.needs.slot;
        say(sql, Word::Lacks, slot).await?;
        while !hears(sql, Word::Reaches, slot).await? {
            sleep(ANSWER_INTERVAL).await;
        }
        Ok(())
    }

    /// The broker is back. Delivery does not wait for a server that is slow to hear of it: what was sent to it is done some
    /// time, and a session that has ended says nothing anyway.
    pub(super) async fn lacks_nothing(&self, sql: &SqlSession) {
        let taken_back = timeout(TAKE_BACK, take_back(sql, Word::Lacks, &self.plan.needs.slot)).await;
        tracing::debug!(?taken_back, "told the others that NATS is back");
    }
}

impl Word {
    /// What is locked.
    fn on(self, slot: &str) -> String {
        let word = match self {
            Self::Lacks => "lacks the broker",
            Self::Reaches => "reaches the broker",
        };
        format!("{word}: {slot}")
    }
}

fn unreached(error: &RunError) {
    tracing::debug!(%error, "the leader lacks NATS, which cannot be reached from here either");
}

async fn say(sql: &SqlSession, word: Word, slot: &str) -> Result<(), SqlError> {
    sql.client().query(include_str!("../../sql/peers/say.sql"), &[&word.on(slot)]).await?;
    Ok(())
}

async fn take_back(sql: &SqlSession, word: Word, slot: &str) -> Result<(), SqlError> {
    sql.client().query(include_str!("../../sql/peers/take_back.sql"), &[&word.on(slot)]).await?;
    Ok(())
}

async fn hears(sql: &SqlSession, word: Word, slot: &str) -> Result<bool, SqlError> {
    let row = sql.client().query_one(include_str!("../../sql/peers/hear.sql"), &[&word.on(slot)]).await?;
    Ok(row.try_get("is_said")?)
}
