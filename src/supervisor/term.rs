//! One term: from the first look at both sides to the end of one replication connection.

use std::{convert::Infallible, sync::Arc};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Phase, RunError, Supervisor,
    displaced::{known_before, known_to},
    guard,
    origin::Origin,
    recorder::Recorder,
    status::{StatusKeeper, Work, tell_what_is_missing},
};
use crate::{
    lsn::Lsn,
    plan::Plan,
    postgres::sql::Session as SqlSession,
    preflight::{self, Facts, Problem},
    publish::{Broker, Composer, MessageBuilder, SizeLimits, StreamEnd, StreamIdentity, StreamTail},
    relay::{
        Finish, Gaps, Intake, Known, Mark, Mode, Pause, Relay, Resume, Session, SessionError, Start, StatusNotes,
        StopReason, Watermark, WatermarkError, Wishes, gate,
    },
    replication::{Connection, ReplicationStream, StartOptions},
};

/// The server's answer to a second reader of a slot, `object_in_use`.
const SLOT_IN_USE: &str = "55006";

/// What it takes to lead.
struct Lead {
    sql: SqlSession,
    /// None while it is away.
    broker: Option<Broker>,
    session: Session,
    wishes: Wishes,
    notes: Arc<StatusNotes>,
    course: Course,
}

/// From which log to which stream.
pub(super) struct Course {
    pub(super) mode: Mode,
    pub(super) origin: Origin,
    pub(super) stream: StreamIdentity,
}

/// A log that was opened, and from where.
struct Opened {
    log: ReplicationStream,
    start: Start,
    /// Where the stream may lack events before its end.
    gaps: Gaps,
}

/// What was found on both sides.
struct Found {
    facts: Facts,
    mode: Mode,
}

/// A broker that was reached again, and how it is now.
struct Reached {
    broker: Broker,
    resume: Resume,
    gaps: Gaps,
    sizes: SizeLimits,
    is_linked: bool,
}

/// Why a leader ends its term although nothing is wrong with the log.
enum Farewell {
    /// It was asked to leave.
    Asked,
    /// It lacks the broker, and somebody else does not.
    GivesWay,
}

impl Supervisor {
    /// Looks, stands by if need be, and leads until `stop` is cancelled or the replication connection must end.
    /// `was_ready` becomes true once everything was found in order.
    pub(super) async fn term(&self, stop: &CancellationToken, was_ready: &mut bool) -> Result<Finish, RunError> {
        let prepared = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(self.unfinished()),
            prepared = self.prepare(was_ready) => prepared,
        };
        let Lead { sql, mut broker, mut session, wishes, notes, course } = prepared?;
        let (source, stream) = (&course.origin.source, &course.stream);
        let (stored, has_status) = (wishes.stored(), notes.wants().dead_letters);
        let mut recorder = Recorder { sql: &sql, needs: &self.plan.needs, source, stream, wishes, has_status };
        let work = Work::default();
        let mut status =
            StatusKeeper { host: sql.host(), plan: &self.plan, origin: &course.origin, stream, notes, stored, work };
        *was_ready = true;
        self.health.enter(Phase::Leading);
        // When Postgres shuts down it ends the sessions for SQL first, and then waits for its walsenders to be done:
        // whoever stayed while the broker is away would hold up the shutdown for as long.
        let leave = stop.child_token();
        let cancel_at_end = async {
            sql.ended().await;
            leave.cancel();
            std::future::pending::<Infallible>().await
        };
        let farewell = tokio::select! {
            biased;
            led = self.lead(&mut session, &mut broker, (&sql, &course), &leave) => led?,
            error = recorder.run() => return Err(error),
            never = cancel_at_end => match never {},
            never = self.watch_slot(&sql) => match never {},
            never = status.run() => match never {},
            never = self.delete_delivered(sql.host()) => match never {},
            error = guard::until_rows_are_left_out(&sql, &self.plan.needs, &self.progress) => return Err(error),
        };
        self.health.enter(Phase::Draining);
        if let Some(broker) = &mut broker
            && let Err(error) = session.drain(broker).await
        {
            tracing::warn!(%error, "the last answers did not come");
        }
        // Once Postgres has ended the SQL session nothing more can be written; what was confirmed before is written.
        if !sql.has_ended()
            && let Err(error) = recorder.finish().await
        {
            tracing::warn!(%error, "the last watermark could not be written");
        }
        status.finish().await;
        let finish = session.leave().await?;
        match farewell {
            _ if stop.is_cancelled() => Ok(finish),
            Farewell::Asked => Err(RunError::SqlSessionEnded),
            Farewell::GivesWay => Err(RunError::GaveWay),
        }
    }

    /// Looks at both sides, waits for the slot if another process has it, opens the log, and finds the place to
    /// continue at.
    async fn prepare(&self, was_ready: &mut bool) -> Result<Lead, RunError> {
        let sql = SqlSession::connect(&self.plan.endpoint).await?;
        // Whatever else is amiss: how much log the slot holds back is what people want to see then.
        self.look_at_slot(&sql).await;
        let mut broker = Broker::connect(&self.plan.broker).await?;
        let mut found = self.inspect(&sql, &broker, *was_ready).await?;
        let mut is_taken = found.facts.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
        loop {
            if is_taken {
                *was_ready = true;
                self.health.enter(Phase::Standby);
                self.health.clear();
                self.progress.stands_by();
                match self.stand_by(&sql).await? {
                    Some(reached) => broker = reached,
                    None if broker.is_open() => {}
                    None => broker = Broker::connect(&self.plan.broker).await?,
                }
                found = self.inspect(&sql, &broker, *was_ready).await?;
            }
            match self.take_slot(&sql, &broker, &found).await {
                Err(RunError::Replication(error)) if error.sqlstate() == Some(SLOT_IN_USE) => is_taken = true,
                Err(error) => return Err(error),
                Ok((opened, course)) => {
                    let (session, wishes, notes) = self.session(opened, &course, &broker, found).await?;
                    return Ok(Lead { sql, broker: Some(broker), session, wishes, notes, course });
                }
            }
        }
    }

    /// Everything that is missing on either side, at once. Once all was in order, what cleanup lacks is told by cleanup
    /// itself, and is no reason not to deliver.
    async fn inspect(&self, sql: &SqlSession, broker: &Broker, was_ready: bool) -> Result<Found, RunError> {
        let Plan { needs, stream, .. } = &self.plan;
        let facts = preflight::inspect(sql, needs).await?;
        let mut problems = preflight::problems(&facts, needs);
        problems.retain(|problem| !(was_ready && matches!(problem, Problem::Retention(_))));
        let fit = broker.inspector().fit(stream).await?;
        problems.extend(fit.problems.into_iter().map(Problem::Stream));
        if !problems.is_empty() {
            return Err(RunError::NotReady(problems));
        }
        if let Some(frailty) = fit.frailty {
            tracing::warn!(stream = stream.name, why = %frailty, action = frailty.remedy(), "the stream may lose what it holds");
        }
        self.progress.shares_stream(fit.sharing.is_some());
        let Some(why) = fit.sharing else { return Ok(Found { facts, mode: Mode::Chain }) };
        tracing::warn!(
            stream = stream.name,
            %why,
            action = "give walpost a stream of its own, and let others take from that",
            "the stream is shared: after a fault some events may be stored twice, and only the order of an aggregate is kept",
        );
        Ok(Found { facts, mode: Mode::Shared })
    }

    /// Takes the slot, and has the log sent from the stream's last event on; from the slot's own position if the stream
    /// may lack events before that.
    async fn take_slot(&self, sql: &SqlSession, broker: &Broker, found: &Found) -> Result<(Opened, Course), RunError> {
        let needs = &self.plan.needs;
        let (end, stream) = self.stream_end(broker, found.mode).await?;
        // Of several hosts, the one that was looked at.
        let mut connection = Connection::open(sql.host()).await?;
        let origin = Origin::ask(&mut connection, &needs.slot).await?;
        let course = Course { mode: found.mode, origin, stream };
        let end = self.admit(&course, &found.facts, end)?;
        let mut start = self.begin_after(&end, &course.origin, broker).await?;
        let gaps = self.gaps(broker, &course, &end, known_before(&course, &found.facts)).await?;
        if !gaps.is_empty() {
            start.lsn = Lsn::ZERO;
        }
        self.progress.server_ends_at(course.origin.wal_end);
        let options =
            StartOptions { slot: needs.slot.clone(), publication: needs.publication.clone(), start: start.lsn };
        Ok((Opened { log: connection.start(&options).await?, start, gaps }, course))
    }

    /// Holds slot and stream against the watermark; gives where the stream ends, as far as they know together.
    fn admit(&self, course: &Course, facts: &Facts, end: StreamEnd) -> Result<StreamEnd, RunError> {
        let Course { mode, origin: Origin { source, history, .. }, stream } = course;
        let Some(watermark) = facts.watermark.as_ref().filter(|watermark| watermark.is_of(source)) else {
            return Ok(end);
        };
        let confirmed = facts.slot.as_ref().and_then(|slot| slot.confirmed_flush).unwrap_or_default();
        let admitted =
            watermark.check_slot(source, history, confirmed).and_then(|()| watermark.check_stream(stream, &end));
        let end = admitted.and_then(|()| if *mode == Mode::Chain { watermark.end_of(stream, end) } else { Ok(end) });
        end.map_err(|error| self.refusal(error))
    }

    fn refusal(&self, error: WatermarkError) -> RunError {
        let needs = &self.plan.needs;
        RunError::Watermark { error, table: needs.watermark(), slot: needs.slot.clone() }
    }

    /// A session over the log that now is ours. Only now nobody else has the slot, so the end of the stream is asked
    /// for again: the one before may have stored events in between, and the broker may have lost some.
    async fn session(
        &self,
        Opened { log, start, mut gaps }: Opened,
        course: &Course,
        broker: &Broker,
        Found { facts, mode }: Found,
    ) -> Result<(Session, Wishes, Arc<StatusNotes>), RunError> {
        let Plan { needs, template, stream, window, limits, hold_back, on_poison, .. } = &self.plan;
        let source = &course.origin.source;
        let (end, _) = self.stream_end(broker, mode).await?;
        let end = self.admit(course, &facts, end)?;
        let resume = course.origin.continue_after(&end, self.plan.on_orphans)?.resume;
        start.reaches(resume).map_err(SessionError::Stop)?;
        if resume != start.resume {
            gaps = self.gaps(broker, course, &end, known_before(course, &facts)).await?;
            if !gaps.is_empty() && start.lsn != Lsn::ZERO {
                return Err(SessionError::Stop(StopReason::Displaced).into());
            }
        }
        tracing::info!(
            %mode,
            slot = needs.slot,
            stream = stream.name,
            system_id = source.system_id,
            timeline = source.timeline,
            last_sequence = resume.last_sequence,
            "leading",
        );
        let sizes = broker.size_limits().await?;
        let builder = MessageBuilder::new(Arc::clone(template), source, &stream.name, sizes)?;
        let composer = Composer::new(builder, *on_poison);
        let is_ours = |watermark: &&Watermark| watermark.source == *source && watermark.stream == course.stream;
        let mark = facts.watermark.as_ref().filter(is_ours).map_or_else(Mark::default, |watermark| watermark.mark);
        let (gate, wishes) = gate(mark);
        tell_what_is_missing(&facts, needs);
        let notes = Arc::new(StatusNotes::new(facts.status()));
        let mut intake = Intake::new(mode, needs.mapping.clone(), facts.base_types, composer, self.progress());
        intake.take_notes(Arc::clone(&notes));
        intake.link_messages(!broker.inspector().is_replicated().await?);
        let relay = Relay::new(mode, *window, *hold_back, resume, gaps);
        Ok((Session::new(log, intake, relay, gate, *limits), wishes, notes))
    }

    /// Delivers until `leave` is cancelled. While the broker is away the log stays open, unless another instance can go on
    /// with it.
    async fn lead(
        &self,
        session: &mut Session,
        broker: &mut Option<Broker>,
        (sql, course): (&SqlSession, &Course),
        leave: &CancellationToken,
    ) -> Result<Farewell, RunError> {
        while let Some(present) = broker {
            let error = match session.run(present, leave).await {
                Ok(Pause::Stop) => return Ok(Farewell::Asked),
                Ok(Pause::Look) => {
                    let known = known_to(session);
                    session.look(self.resume_point(present, course, known)).await?;
                    continue;
                }
                Err(error) if error.is_mended_by_another_broker() => error,
                Err(error) => return Err(error.into()),
            };
            if let Some(lost) = broker.take() {
                lost.abandon();
            }
            let (known, mut has_asked) = (known_to(session), false);
            let Reached { broker: regained, resume, gaps, sizes, is_linked } = tokio::select! {
                biased;
                () = leave.cancelled() => return Ok(Farewell::Asked),
                never = session.tend() => match never? {},
                regained = self.regain(error.into(), course, known) => regained?,
                () = self.until_another_reaches(sql, &mut has_asked) => return Ok(Farewell::GivesWay),
            };
            if has_asked {
                tokio::select! {
                    biased;
                    never = session.tend() => match never? {},
                    () = self.lacks_nothing(sql) => {}
                }
            }
            session.resume(resume, &gaps, sizes, is_linked)?;
            *broker = Some(regained);
        }
        Ok(Farewell::Asked)
    }

    /// Tries until there is a connection to the broker again, and its stream says where it ends.
    async fn regain(&self, lost: RunError, course: &Course, known: Known) -> Result<Reached, RunError> {
        let mut error = lost;
        loop {
            sleep(self.pause_after(error)?).await;
            match self.reach_broker(course, known).await {
                Ok(reached) => return Ok(reached),
                Err(again) => error = again,
            }
        }
    }

    async fn reach_broker(&self, course: &Course, known: Known) -> Result<Reached, RunError> {
        let broker = self.reach().await?;
        let sizes = broker.size_limits().await?;
        let end = self.end_again(&broker, course, known).await?;
        let resume = course.origin.continue_after(&end, self.plan.on_orphans)?.resume;
        let gaps = self.gaps(&broker, course, &end, known).await?;
        let is_linked = !broker.inspector().is_replicated().await?;
        Ok(Reached { broker, resume, gaps, sizes, is_linked })
    }

    /// Where the stream ends, for a log that is being read.
    async fn resume_point(&self, broker: &Broker, course: &Course, known: Known) -> Result<Resume, RunError> {
        let end = self.end_again(broker, course, known).await?;
        Ok(course.origin.continue_after(&end, self.plan.on_orphans)?.resume)
    }

    async fn end_again(&self, broker: &Broker, course: &Course, known: Known) -> Result<StreamEnd, RunError> {
        let (end, stream) = self.stream_end(broker, course.mode).await?;
        if stream == course.stream || known.stored.is_some_and(|stored| stored.is_reached_by(&end)) {
            return Ok(end);
        }
        Err(self.refusal(WatermarkError::StreamRecreated { stream: stream.name }))
    }

    /// Where the stream ends, and which one it is. The end of a shared stream says nothing about what it holds of ours.
    async fn stream_end(&self, broker: &Broker, mode: Mode) -> Result<(StreamEnd, StreamIdentity), RunError> {
        let inspector = broker.inspector();
        if mode == Mode::Shared {
            return Ok((StreamEnd::Empty, inspector.identity().await?));
        }
        let StreamTail { identity, end, foreign } = inspector.tail().await?;
        match end {
            StreamEnd::At { sequence, .. } if foreign > 0 => {
                self.progress.foreign_messages(sequence, foreign);
                tracing::warn!(sequence, foreign, "messages of others are in walpost's stream; passing over them");
            }
            StreamEnd::Removed { sequence } => {
                tracing::warn!(sequence, "the stream does not hold its last event any more");
            }
            _ => {}
        }
        Ok((end, identity))
    }
}
