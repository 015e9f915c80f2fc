//! Runs one session: owns both connections, waits in one place, and lets the state machine decide.
//!
//! One turn of the loop takes the frames that are here, reports what is due, then waits. The arms of the `select!` only
//! receive, so nothing is lost when another arm wins; they are ranked: the wish to stop, the broker's answers and
//! troubles, new log, timers. While the window is full no log is read, which is what slows Postgres down, but status
//! updates go out all the same.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    intake::{Intake, IntakeError, Taken},
    progress::Progress,
    state::{Effect, Event, Relay, StopReason},
};
use crate::{
    publish::{Answer, Broker, BrokerError, BrokerEvent, Notice},
    replication::{Frame, ReplicationError, ReplicationStream},
};

/// With at least this many messages on their way the session counts as behind, and reads late and much: a walsender
/// writes one message at a time, and waking up for each costs both sides more than the message itself.
const BUSY_IN_FLIGHT: usize = 48;
/// How late. One tick of the timer; long enough for dozens of messages, too short for anybody to notice who is behind.
const BUSY_READ_DELAY: Duration = Duration::from_millis(1);
/// How long the last words to Postgres may take when a session ends in good order.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The oldest message must be answered within this time.
    pub publish_timeout: Duration,
    /// How long to wait for outstanding answers when asked to stop.
    pub drain_timeout: Duration,
}

/// How a session ended when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Everything that was under way is stored and confirmed.
    Drained,
    /// Some answers did not come in time; their events will be looked for in the stream at the next start.
    Abandoned {
        /// How many.
        in_flight: usize,
    },
}

/// One session.
#[derive(Debug)]
pub struct Session {
    log: ReplicationStream,
    broker: Broker,
    intake: Intake,
    relay: Relay,
    limits: Limits,
    progress: Arc<Progress>,
    /// While behind: when to read next.
    read_at: Instant,
}

enum Wake {
    Stop,
    Broker(Notice),
    Log,
    Timer,
}

impl Session {
    /// A session over connections that are ready.
    pub fn new(
        log: ReplicationStream,
        broker: Broker,
        (intake, relay): (Intake, Relay),
        limits: Limits,
        progress: Arc<Progress>,
    ) -> Self {
        Self { log, broker, intake, relay, limits, progress, read_at: Instant::now() }
    }

    /// Delivers until `stop` is cancelled or something breaks.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<Finish, SessionError> {
        loop {
            self.take_frames().await?;
            self.report().await?;
            match self.wait(stop).await? {
                Wake::Stop => return self.drain().await,
                Wake::Broker(notice) => self.heed(notice)?,
                Wake::Log | Wake::Timer => {}
            }
            self.check_time()?;
        }
    }

    /// Takes the frames that are complete, as far as the window allows.
    async fn take_frames(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        while self.relay.has_room() {
            match self.log.next_frame()? {
                None => break,
                Some(Frame::Log { start, data }) => {
                    self.log.feedback().received(start);
                    match self.intake.take(&data, &mut self.relay, now)? {
                        Taken::Nothing => {}
                        Taken::Message(message, sequence) => self.broker.publish(message, sequence).await?,
                        Taken::Commit(end_lsn) => self.received(end_lsn),
                    }
                }
                Some(Frame::Keepalive { wal_end, reply_requested }) => {
                    self.received(wal_end);
                    stop_if_told(self.relay.apply(Event::Keepalive { wal_end }))?;
                    if reply_requested {
                        self.log.feedback().reply_requested();
                    }
                }
                Some(Frame::Error(_) | Frame::Notice(_) | Frame::CopyDone | Frame::Other(_)) => {}
            }
        }
        Ok(())
    }

    fn received(&mut self, lsn: crate::lsn::Lsn) {
        self.log.feedback().received(lsn);
        self.progress.received(lsn);
    }

    /// Tells Postgres and the onlookers what is new.
    async fn report(&mut self) -> Result<(), SessionError> {
        let confirmed = self.relay.confirmed();
        self.log.feedback().flushed(confirmed);
        self.progress.confirmed(confirmed);
        self.progress.waiting(self.relay.in_flight(), self.relay.oldest_commit_time_us());
        Ok(self.log.report(Instant::now()).await?)
    }

    async fn wait(&mut self, stop: &CancellationToken) -> Result<Wake, SessionError> {
        let now = Instant::now();
        let may_read = self.relay.has_room();
        if !may_read {
            // Nobody listens, so silence means nothing.
            self.log.feedback().heard(now);
        }
        let read_now = may_read && self.read_at <= now;
        let mut timer = self.log.feedback().deadline();
        if let Some(since) = self.relay.waiting_since() {
            timer = timer.min(since + self.limits.publish_timeout);
        }
        if may_read && !read_now {
            timer = timer.min(self.read_at);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(Wake::Stop),
            notice = self.broker.notice() => Ok(Wake::Broker(notice?)),
            filled = self.log.fill(), if read_now => {
                filled?;
                let behind = self.relay.in_flight() >= BUSY_IN_FLIGHT;
                self.read_at = if behind { Instant::now() + BUSY_READ_DELAY } else { now };
                Ok(Wake::Log)
            }
            () = sleep_until(timer) => Ok(Wake::Timer),
        }
    }

    /// Takes in an answer, and with it all others that are here already.
    fn heed(&mut self, notice: Notice) -> Result<(), SessionError> {
        let mut next = Some(notice);
        let now = Instant::now();
        while let Some(notice) = next {
            match notice {
                Notice::Answer(answer) => self.heed_answer(answer, now)?,
                Notice::Event(BrokerEvent::LameDuck) => return Err(SessionError::BrokerLeaves),
                Notice::Event(BrokerEvent::Disconnected) => {
                    return Err(SessionError::Disconnected { in_flight: self.relay.in_flight() });
                }
                Notice::Event(BrokerEvent::Complaint(text)) => return Err(SessionError::Complaint(text)),
                Notice::Event(BrokerEvent::AnswersLost) => return Err(SessionError::AnswersLost),
            }
            next = self.broker.notice_now()?;
        }
        Ok(())
    }

    fn heed_answer(&mut self, answer: Answer, now: Instant) -> Result<(), SessionError> {
        let Answer { sequence, outcome } = answer;
        match self.relay.apply(Event::Ack { sequence, outcome, now }) {
            Effect::Stored { bytes, commit_time_us } => self.progress.event_stored(bytes, commit_time_us),
            Effect::Duplicate => {
                self.progress.duplicate();
                tracing::warn!(sequence, "the stream holds an event with this id already; it was not stored again");
            }
            other => stop_if_told(other)?,
        }
        Ok(())
    }

    fn check_time(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        if self.log.feedback().is_silent(now) {
            return Err(SessionError::SilentPostgres);
        }
        match self.relay.waiting_since() {
            Some(since) if now.saturating_duration_since(since) >= self.limits.publish_timeout => {
                Err(SessionError::NoAnswer { in_flight: self.relay.in_flight(), waited: self.limits.publish_timeout })
            }
            _ => Ok(()),
        }
    }

    /// Stops reading, waits for the answers that are outstanding, and takes leave of Postgres.
    async fn drain(mut self) -> Result<Finish, SessionError> {
        let deadline = Instant::now() + self.limits.drain_timeout;
        while self.relay.in_flight() > 0 {
            match timeout_at(deadline, self.broker.notice()).await {
                Ok(notice) => self.heed(notice?)?,
                Err(_) => break,
            }
            self.report().await?;
        }
        let in_flight = self.relay.in_flight();
        self.report().await?;
        // Everything is safe already: the stream is the checkpoint. The last words only spare the next reader work.
        let goodbye = self.log.finish(Instant::now() + GOODBYE_TIMEOUT);
        if let Err(error) = goodbye.await {
            tracing::debug!(%error, "Postgres did not answer the goodbye");
        }
        Ok(if in_flight == 0 { Finish::Drained } else { Finish::Abandoned { in_flight } })
    }
}

fn stop_if_told(effect: Effect) -> Result<(), SessionError> {
    match effect {
        Effect::Stop(reason) => Err(SessionError::Stop(reason)),
        _ => Ok(()),
    }
}

/// Why a session broke off. Nothing is lost by it: the next one continues where the stream ends.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The replication connection failed.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The connection to NATS failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Log that cannot be published.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The state machine says stop.
    #[error("{0}")]
    Stop(StopReason),
    /// The connection to NATS broke.
    #[error("the connection to NATS broke with {in_flight} messages unanswered")]
    Disconnected {
        /// Messages without an answer.
        in_flight: usize,
    },
    /// The server is about to shut down.
    #[error("the NATS server is about to shut down (lame duck mode)")]
    BrokerLeaves,
    /// The server complained about something that we sent.
    #[error("NATS complains: {0}")]
    Complaint(String),
    /// Answers were dropped on the way to us.
    #[error("answers from NATS were lost")]
    AnswersLost,
    /// The oldest message was not answered in time.
    #[error("NATS did not answer for {waited:?}, with {in_flight} messages unanswered")]
    NoAnswer {
        /// Messages without an answer.
        in_flight: usize,
        /// How long.
        waited: Duration,
    },
    /// Nothing came from Postgres, although it was asked.
    #[error("Postgres has fallen silent on the replication connection")]
    SilentPostgres,
}
