//! Runs delivery over one replication connection: waits in one place, and lets the state machine decide.
//!
//! One turn of the loop takes the frames that are here, hands over what is due, reports, then waits. The arms of the
//! `select!` only receive, so nothing is lost when another arm wins; they are ranked: the wish to stop, the broker's
//! answers and troubles, new log, timers. While the window is full no log is read, which is what slows Postgres down,
//! but status updates go out all the same.
//!
//! A [`Session`] outlives its broker: when the broker is lost, [`Session::tend`] keeps the log open until
//! [`Session::resume`] goes on with another connection.

mod ending;
mod error;
mod look;
mod pace;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

pub use ending::{Finish, Pause};
pub use error::SessionError;

use self::pace::Pace;
use super::{
    event::{Effect, Event, Resume},
    gaps::Gaps,
    gate::Gate,
    intake::{Intake, LogRow},
    progress::{Moment, Progress, Wait},
    state::Relay,
};
use crate::{
    lsn::Lsn,
    publish::{Answer, Broker, BrokerEvent, Notice, SizeLimits},
    replication::{Frame, ReplicationStream},
};

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

/// Delivery over one replication connection.
#[derive(Debug)]
pub struct Session {
    log: ReplicationStream,
    intake: Intake,
    relay: Relay<LogRow>,
    gate: Gate,
    limits: Limits,
    progress: Arc<Progress>,
    pace: Pace,
    /// When the stream may be looked at next.
    look_after: Instant,
}

enum Wake {
    Stop,
    Broker(Notice),
    Log,
    Timer,
}

impl Session {
    /// A session over a connection that streams.
    pub fn new(log: ReplicationStream, intake: Intake, relay: Relay<LogRow>, gate: Gate, limits: Limits) -> Self {
        let (progress, now) = (intake.progress(), Instant::now());
        Self { log, intake, relay, gate, limits, progress, pace: Pace::new(now), look_after: now }
    }

    /// Delivers until `stop` is cancelled, somebody has to look at the stream, or something breaks. After an error of
    /// the broker's, delivery can go on with another connection.
    pub async fn run(&mut self, broker: &mut Broker, stop: &CancellationToken) -> Result<Pause, SessionError> {
        if self.relay.in_flight() == 0 {
            self.tell_recovery();
        }
        loop {
            self.take_frames()?;
            self.publish_due(broker).await?;
            self.report().await?;
            if self.is_time_to_look() {
                return Ok(Pause::Look);
            }
            match self.wait(broker, stop).await? {
                Wake::Stop => return Ok(Pause::Stop),
                Wake::Broker(notice) => self.heed(broker, notice)?,
                Wake::Log | Wake::Timer => {}
            }
            self.check_log()?;
            self.check_answers()?;
        }
    }

    /// Keeps the log open while there is no broker: answers the server, and takes up rows as far as the window allows.
    /// With none to wait for, idle positions go on being confirmed.
    pub async fn tend(&mut self) -> Result<Infallible, SessionError> {
        loop {
            self.take_frames()?;
            self.report().await?;
            let now = Instant::now();
            let may_read = self.may_read(now);
            let timer = self.timer(now);
            tokio::select! {
                biased;
                filled = self.log.fill(), if may_read => filled?,
                () = self.gate.opened() => {}
                () = sleep_until(timer) => {}
            }
            self.progress.waited(Wait::Broker, now.elapsed());
            self.check_log()?;
        }
    }

    /// What the stream is known to hold.
    pub fn known(&self) -> Resume {
        self.relay.known()
    }

    /// Goes on with a new connection to the broker, whose stream ends as said and may lack events there, which takes
    /// messages of this size, and in whose stream messages may name the one before or not.
    pub fn resume(
        &mut self,
        end: Resume,
        gaps: &Gaps,
        limits: SizeLimits,
        is_linked: bool,
    ) -> Result<(), SessionError> {
        self.intake.limit_messages(limits);
        self.intake.link_messages(is_linked);
        let stored = self.relay.resume(end, gaps, Instant::now()).map_err(SessionError::Stop)?;
        self.progress.found_stored(stored);
        Ok(())
    }

    /// Waits for the answers that are outstanding, until the time for it is over or the broker fails too.
    pub async fn drain(&mut self, broker: &mut Broker) -> Result<(), SessionError> {
        let deadline = Instant::now() + self.limits.drain_timeout;
        while self.relay.in_flight() > 0 {
            self.publish_due(broker).await?;
            match timeout_at(deadline, broker.notice()).await {
                Ok(notice) => self.heed(broker, notice?)?,
                Err(_) => break,
            }
            self.report().await?;
        }
        Ok(())
    }

    /// Takes leave of Postgres, whatever is outstanding.
    pub async fn leave(mut self) -> Result<Finish, SessionError> {
        let in_flight = self.relay.in_flight();
        self.report().await?;
        // Everything is safe already: the stream is the checkpoint. The last words only spare the next reader work.
        let goodbye = self.log.finish(Instant::now() + GOODBYE_TIMEOUT);
        if let Err(error) = goodbye.await {
            tracing::debug!(%error, "Postgres did not answer the goodbye");
        }
        Ok(if in_flight == 0 { Finish::Drained } else { Finish::Abandoned { in_flight } })
    }

    /// Takes the frames that are complete, as far as the window allows.
    fn take_frames(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        while self.relay.has_room() {
            match self.log.next_frame()? {
                None => break,
                Some(Frame::Log { start, data }) => {
                    self.log.feedback().received(start);
                    if let Some(end_lsn) = self.intake.take(&data, &mut self.relay, now)? {
                        self.received(end_lsn);
                    }
                }
                Some(Frame::Keepalive { wal_end, reply_requested }) => {
                    self.received(wal_end);
                    stop_if_told(self.relay.apply(Event::Keepalive { wal_end, now }))?;
                    if reply_requested {
                        self.log.feedback().reply_requested();
                    }
                }
                Some(Frame::Error(_) | Frame::Notice(_) | Frame::CopyDone | Frame::Other(_)) => {}
            }
        }
        Ok(())
    }

    /// Hands over every row whose turn it is.
    async fn publish_due(&mut self, broker: &Broker) -> Result<(), SessionError> {
        let now = Instant::now();
        while let Some(due) = self.relay.due(now) {
            let (message, ticket) = (self.intake.message(&due)?, due.ticket);
            broker.publish(message, ticket).await?;
            self.progress.sent();
            self.pace.count();
        }
        Ok(())
    }

    fn received(&mut self, lsn: Lsn) {
        self.log.feedback().received(lsn);
        self.progress.received(lsn);
    }

    /// Tells Postgres and the onlookers what is new.
    async fn report(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        self.relay.pass_time(now);
        let confirmed = self.gate.pass(self.relay.confirmed());
        self.log.feedback().flushed(confirmed);
        self.progress.confirmed(confirmed);
        self.intake.notes().stored(self.relay.stored_to());
        self.progress.waiting(self.relay.in_flight(), self.relay.oldest_commit_time_us());
        Ok(self.log.report(now).await?)
    }

    async fn wait(&mut self, broker: &mut Broker, stop: &CancellationToken) -> Result<Wake, SessionError> {
        let now = Instant::now();
        let may_read = self.may_read(now);
        let read_now = may_read && self.pace.read_at() <= now;
        let timer = self.timer(now);
        let mut timer = self.next_look().map_or(timer, |look| timer.min(look).max(now));
        if may_read && !read_now {
            timer = timer.min(self.pace.read_at());
        }
        let wait = match (may_read, self.relay.in_flight()) {
            (false, _) => Wait::Room,
            (true, 0) => Wait::Log,
            (true, _) => Wait::Answers,
        };
        let woken = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(Wake::Stop),
            notice = broker.notice() => Ok(Wake::Broker(notice?)),
            filled = self.log.fill(), if read_now => {
                filled?;
                self.pace.has_read(Instant::now());
                Ok(Wake::Log)
            }
            () = self.gate.opened() => Ok(Wake::Timer),
            () = sleep_until(timer) => Ok(Wake::Timer),
        };
        self.progress.waited(wait, now.elapsed());
        woken
    }

    /// Whether there is room for more log.
    fn may_read(&mut self, now: Instant) -> bool {
        let may_read = self.relay.has_room();
        if !may_read {
            // Nobody listens, so silence means nothing.
            self.log.feedback().heard(now);
        }
        may_read
    }

    /// When something is to be done although nothing happens.
    fn timer(&mut self, now: Instant) -> Instant {
        let report = self.log.feedback().deadline();
        let answer = self.relay.waiting_since().map_or(report, |since| since + self.limits.publish_timeout);
        let ripe = self.relay.next_confirmation().unwrap_or(report);
        report.min(answer).min(ripe).max(now)
    }

    /// Takes in an answer, and with it all others that are here already.
    fn heed(&mut self, broker: &mut Broker, notice: Notice) -> Result<(), SessionError> {
        let mut next = Some(notice);
        let (now, moment) = (Instant::now(), Moment::now());
        while let Some(notice) = next {
            match notice {
                Notice::Answer(answer) => self.heed_answer(answer, now, moment)?,
                Notice::Event(BrokerEvent::LameDuck) => return Err(SessionError::BrokerLeaves),
                Notice::Event(BrokerEvent::Disconnected) => {
                    return Err(SessionError::Disconnected { in_flight: self.relay.in_flight() });
                }
                Notice::Event(BrokerEvent::Complaint(text)) => return Err(SessionError::Complaint(text)),
                Notice::Event(BrokerEvent::AnswersLost) => return Err(SessionError::AnswersLost),
            }
            next = broker.notice_now()?;
        }
        Ok(())
    }

    fn heed_answer(&mut self, answer: Answer, now: Instant, moment: Moment) -> Result<(), SessionError> {
        let Answer { ticket, outcome } = answer;
        match self.relay.apply(Event::Ack { ticket, outcome, now }) {
            Effect::Stored { bytes, commit_time_us } => {
                self.progress.event_stored(bytes, commit_time_us, moment);
                self.tell_recovery();
            }
            Effect::Duplicate => {
                self.progress.duplicate();
                tracing::warn!(ticket, "the stream holds an event with this id already; it was not stored again");
            }
            other => stop_if_told(other)?,
        }
        Ok(())
    }

    /// Events are delivered again, or there are none to deliver.
    fn tell_recovery(&self) {
        if self.progress.unblock() {
            tracing::info!("delivering again");
        }
    }

    fn check_log(&mut self) -> Result<(), SessionError> {
        if self.log.feedback().is_silent(Instant::now()) { Err(SessionError::SilentPostgres) } else { Ok(()) }
    }

    fn check_answers(&self) -> Result<(), SessionError> {
        let waited = self.limits.publish_timeout;
        match self.relay.waiting_since() {
            Some(since) if since.elapsed() >= waited => {
                Err(SessionError::NoAnswer { in_flight: self.relay.in_flight(), waited })
            }
            _ => Ok(()),
        }
    }
}

fn stop_if_told(effect: Effect) -> Result<(), SessionError> {
    match effect {
        Effect::Stop(reason) => Err(SessionError::Stop(reason)),
        _ => Ok(()),
    }
}
