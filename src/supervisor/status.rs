//! Keeps the delivery status: says in the database which events are delivered, without touching their rows.
//!
//! Every second in which events came a snapshot of the visible transactions is taken, together with a position behind
//! the commit of each. Once everything before that position is stored, the snapshot is written to the watermark's row:
//! the events of its transactions are delivered. Dead letters become rows before that.
//!
//! Delivery never waits for it: it has a session of its own, and whatever fails here is told and tried again. An idle
//! outbox costs nothing: no question, no write.

mod snapshots;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::snapshots::Snapshots;
use super::{backoff, origin::Origin};
use crate::{
    plan::Plan,
    position::Position,
    postgres::{
        Endpoint,
        sql::{Session, SqlError},
    },
    preflight::{self, Facts, Needs, XID_COLUMN, take_snapshot, write_dead_letters, write_delivered},
    publish::{Broker, BrokerError, Letter, StreamError, StreamIdentity},
    relay::{Confirmed, StatusNotes},
};

/// The pause after something was written: what comes meanwhile is written together.
const PAUSE: Duration = Duration::from_millis(250);
/// How long is waited with a look after something was stored: to look after each event would cost more than delivering it.
const GLANCE: Duration = Duration::from_millis(50);
/// How long each statement may wait for a lock, and how long it may take: a status that is held up by somebody else's lock is
/// late, and no reason to queue behind it.
const SETTINGS: &str =
    "SET lock_timeout = '2s'; SET statement_timeout = '10s'; SET application_name = 'walpost status'";
/// How long the last step may take: whoever asked to stop waits for it.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// How many dead letters are written in one statement.
const BATCH: usize = 500;

/// Keeps the status of one term.
#[derive(Debug)]
pub(super) struct StatusKeeper<'a> {
    pub(super) host: &'a Endpoint,
    pub(super) plan: &'a Plan,
    pub(super) origin: &'a Origin,
    pub(super) stream: &'a StreamIdentity,
    pub(super) notes: Arc<StatusNotes>,
    /// What is stored.
    pub(super) stored: watch::Receiver<Confirmed>,
    pub(super) work: Work,
}

/// How far the keeping is.
#[derive(Debug, Default)]
pub(super) struct Work {
    session: Option<Session>,
    snapshots: Snapshots,
    /// Up to where in the stream all dead letters are written down; none until that was looked up.
    dead_letters_to: Option<u64>,
}

/// The status cannot be kept, for now.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the session for the delivery status is not with the server whose log is read")]
    OtherServer,
    #[error(
        "too many dead letters came while the delivery status could not be kept; the next start looks for them in the stream"
    )]
    Lost,
}

impl StatusKeeper<'_> {
    /// Keeps the status until it is dropped.
    pub(super) async fn run(&mut self) -> Infallible {
        if !self.notes.wants().dead_letters {
            return std::future::pending().await;
        }
        let mut attempts = 0;
        loop {
            let began = Instant::now();
            let Err(error) = self.keep().await;
            self.work.session = None;
            attempts = if began.elapsed() > Duration::from_secs(60) { 0 } else { attempts + 1 };
            if attempts == 5 {
                let action = self.remedy(&error);
                tracing::warn!(%error, action, "the delivery status is not kept, for now; events are delivered all the same");
            } else {
                tracing::debug!(%error, attempts, "the delivery status is not kept, for now");
            }
            sleep(backoff::wait(attempts)).await;
        }
    }

    /// Writes down at the end what can be, if that does not take long.
    pub(super) async fn finish(&mut self) {
        let is_able = self.work.session.as_ref().is_some_and(|session| !session.has_ended());
        if !is_able || self.work.dead_letters_to.is_none() {
            return;
        }
        match timeout(LAST_PATIENCE, self.step(true)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last delivery status was not written"),
            Err(_) => tracing::debug!("the last delivery status took too long"),
        }
    }

    async fn keep(&mut self) -> Result<Infallible, StatusError> {
        let session = Session::connect(self.host).await?;
        session.client().batch_execute(SETTINGS).await.map_err(SqlError::from)?;
        self.work.session = Some(session);
        self.look_up_dead_letters().await?;
        // What was delivered before is not known to be written down.
        self.work.snapshots.need_one();
        loop {
            self.until_due().await?;
            self.step(false).await?;
            sleep(PAUSE).await;
        }
    }

    /// Waits until there is something to do.
    async fn until_due(&mut self) -> Result<(), StatusError> {
        loop {
            let stored = self.stored.borrow_and_update().lsn;
            let is_waiting = self.notes.has_transactions();
            let snapshots = &self.work.snapshots;
            let now = Instant::now();
            let has_letters = self.notes.has_dead_letters();
            if self.notes.are_lost() {
                return Err(StatusError::Lost);
            }
            let take = snapshots.next(is_waiting, now).filter(|_| self.notes.wants().transactions);
            if snapshots.ripe(stored).is_some() || take.is_some_and(|at| at <= now) || has_letters {
                return Ok(());
            }
            let ended = self.work.session.as_ref().map(Session::ended);
            tokio::select! {
                changed = self.stored.changed() => match changed {
                    Ok(()) => sleep(GLANCE).await,
                    Err(_) => std::future::pending().await,
                },
                () = sleep_until(take.unwrap_or(now)), if take.is_some() => {}
                () = async { if let Some(ended) = ended { ended.await } } => {
                    return Err(SqlError::NoAnswer.into());
                }
            }
        }
    }

    /// Does what is due.
    async fn step(&mut self, is_last: bool) -> Result<(), StatusError> {
        let Self { plan, origin, stream, notes, stored, work, .. } = self;
        let Work { session: Some(session), snapshots, dead_letters_to: Some(dead_letters_to) } = work else {
            return Ok(());
        };
        let (needs, whose) = (&plan.needs, (&origin.source, *stream));
        let is_waiting = notes.has_transactions();
        let now = Instant::now();
        let is_due = |at: Instant| is_last || at <= now;
        if notes.wants().transactions && snapshots.next(is_waiting, now).is_some_and(is_due) {
            snapshots.wait_for(notes.transactions());
            let seen = take_snapshot(session, &origin.source).await?.ok_or(StatusError::OtherServer)?;
            snapshots.took(seen, Instant::now());
        }
        // All that is stored by now is noted by now.
        let stored = stored.borrow_and_update().lsn;
        loop {
            let position = |place| Position { source: origin.source.clone(), place }.to_string();
            let revived: Vec<String> = notes.revived().into_iter().map(position).collect();
            if !revived.is_empty() {
                preflight::delete_dead_letters(session, needs, &revived).await?;
                notes.took_back(revived.len());
            }
            let letters = notes.dead_letters(stored, BATCH);
            let Some(&(last, _)) = letters.last() else { break };
            let letters: Vec<Letter> = letters.into_iter().map(|(_, letter)| letter).collect();
            let to = letters.iter().filter_map(|letter| letter.sequence).max().unwrap_or_default();
            let left = notes.first_sequence_behind(last).unwrap_or(u64::MAX);
            let to = to.min(left.saturating_sub(1)).max(*dead_letters_to);
            write_dead_letters(session, needs, whose, &letters, to).await?;
            *dead_letters_to = to;
            notes.wrote_down(last);
        }
        if notes.are_lost() {
            return Err(StatusError::Lost);
        }
        if let Some(seen) = snapshots.ripe(stored)
            && write_delivered(session, needs, whose, seen, (stored, *dead_letters_to)).await?
        {
            snapshots.written(stored);
        }
        Ok(())
    }

    /// Writes the dead letters down that are in the stream and that nobody has written down: those of the time before, and
    /// of a process that ended before it could.
    async fn look_up_dead_letters(&mut self) -> Result<(), StatusError> {
        let Self { plan, origin, stream, work, .. } = self;
        let Work { session: Some(session), dead_letters_to, .. } = work else { return Ok(()) };
        if dead_letters_to.is_some() {
            return Ok(());
        }
        let mut to = preflight::read_dead_letters_to(session, &plan.needs, stream).await?;
        let subject = plan.template.dead_letter_subjects();
        // A connection of its own: one that delivery gives up must not live on in here.
        let broker = Broker::connect(&plan.broker).await?;
        let inspector = broker.inspector();
        loop {
            let found = inspector.dead_letters(&subject, to.saturating_add(1), BATCH).await?;
            let Some(last) = found.last().and_then(|letter| letter.sequence) else { break };
            let ours: Vec<Letter> = found.into_iter().filter(|letter| is_of(origin, letter)).collect();
            write_dead_letters(session, &plan.needs, (&origin.source, *stream), &ours, last).await?;
            to = last;
        }
        *dead_letters_to = Some(to);
        Ok(())
    }

    fn remedy(&self, error: &StatusError) -> String {
        let hint = match error {
            StatusError::Sql(error) => preflight::explain(error.sqlstate(), &error.to_string()),
            StatusError::Broker(error) => error.hint().map(str::to_owned),
            StatusError::Stream(error) => error.hint().map(str::to_owned),
            StatusError::OtherServer => Some("let postgres.url lead to one server".to_owned()),
            StatusError::Lost => Some("restart walpost once what held it up is over".to_owned()),
        };
        let tables = [self.plan.needs.watermark(), self.plan.needs.dead_letters()];
        hint.unwrap_or_else(|| format!("see who holds a lock on {} or {}", tables[0], tables[1]))
    }
}

/// Says what keeps the status from being kept, if anything does.
pub(super) fn tell_what_is_missing(facts: &Facts, needs: &Needs) {
    let (objects, wants) = (&facts.status_objects, facts.status());
    let action = match () {
        () if wants.transactions => return,
        () if !objects.has_columns || !objects.has_dead_letters => "run `walpost setup`".to_owned(),
        () if !wants.dead_letters => {
            format!("grant the role SELECT, INSERT and DELETE on {}", needs.dead_letters())
        }
        () => format!("see docs/guides/delivery-status.md on the column {XID_COLUMN} of {}", needs.mapping.table),
    };
    tracing::info!(action, "no delivery status is kept; events are delivered all the same");
}

/// Whether a dead letter is of an event in the log of `origin`, and not of one that a failover lost.
fn is_of(origin: &Origin, letter: &Letter) -> bool {
    letter.position.parse().is_ok_and(|Position { source, place }| {
        source.system_id == origin.source.system_id
            && source.slot == origin.source.slot
            && origin.history.end_of(source.timeline).is_some_and(|end| place.commit_lsn < end)
    })
}
