//! A model of the daemon around the real state machine: what `supervisor::term` and `relay::driver` do, in their order.

use std::time::Duration;

use walpost::{
    lsn::Lsn,
    position::Place,
    relay::{Effect, Event, Gaps, Known, Mode, Relay, Resume, SessionError, Start, StopReason, Stored},
};

use crate::{
    broker::{Answered, Sent},
    jetstream::{End, Publish},
    judge::{Violation, broken},
    mutant::Mistakes,
    mutation::Mutation,
    postgres::{Frame, NoLog},
    room::Room,
    tally::Happened,
};

/// The oldest message must be answered within this time.
const PUBLISH_TIMEOUT_MS: u64 = 100;
/// How long a stop waits for answers.
const DRAIN_MS: u64 = 60;
/// How often the confirmed position is told at the most, and at the least.
const REPORT_MS: (u64, u64) = (10, 400);
/// The end of a log that is still growing.
const GROWING: Lsn = Lsn::new(u64::MAX);

/// Where a daemon is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No process.
    Dead,
    /// About to look at both sides.
    Starting,
    /// Another one has the slot.
    Standby,
    /// It has the slot, and has not read the end of the stream since.
    Taken,
    Leading,
    /// Asked to stop; waits for answers until then.
    Draining {
        until: u64,
    },
}

/// What ends here.
enum Break {
    /// Another connection to the broker mends it.
    Broker,
    /// Everything begins anew.
    Term,
    Violation(Violation),
}

impl From<Violation> for Break {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<StopReason> for Break {
    fn from(reason: StopReason) -> Self {
        if SessionError::Stop(reason).is_mended_by_another_broker() { Self::Broker } else { Self::Term }
    }
}

/// A daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: char,
    pub(crate) phase: Phase,
    pub(crate) is_paused: bool,
    relay: Option<Relay<u64>>,
    wire: Option<usize>,
    link: Option<usize>,
    /// What the log was asked for, and where the stream may lack events before that.
    begun: Option<(Start, Gaps)>,
    retry_at: u64,
    reported: (u64, u64),
    mistakes: Mistakes,
}

impl Daemon {
    pub(crate) fn new(name: char, mutation: Option<Mutation>) -> Self {
        Self {
            name,
            phase: Phase::Starting,
            is_paused: false,
            relay: None,
            wire: None,
            link: None,
            begun: None,
            retry_at: 0,
            reported: (0, 0),
            mistakes: Mistakes::new(mutation),
        }
    }

    /// Whether it holds the slot, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        matches!(self.phase, Phase::Leading | Phase::Draining { .. })
    }

    /// Whether it reads from the walsender that has the slot.
    pub(crate) fn reads(&self, room: &Room) -> bool {
        self.wire.is_some() && self.wire == room.postgres.reader
    }

    /// One turn of its loop.
    pub(crate) fn turn(&mut self, room: &mut Room) -> Result<(), Violation> {
        if self.is_paused {
            return Ok(());
        }
        let turned = match self.phase {
            Phase::Dead => Ok(()),
            Phase::Starting if room.now < self.retry_at => Ok(()),
            Phase::Standby if room.postgres.reader.is_some() => Ok(()),
            Phase::Starting | Phase::Standby => self.take_slot(room),
            Phase::Taken => self.open_session(room),
            Phase::Leading => self.lead(room),
            Phase::Draining { until } => self.drain(room, until),
        };
        match turned {
            Ok(()) => Ok(()),
            Err(Break::Violation(violation)) => Err(violation),
            Err(Break::Broker) if self.phase == Phase::Leading => {
                self.lose_broker(room);
                Ok(())
            }
            Err(Break::Broker | Break::Term) => {
                self.end_term(room);
                Ok(())
            }
        }
    }

    /// SIGKILL. What it has handed to the operating system may still go out.
    pub(crate) fn kill(&mut self, room: &mut Room) {
        room.note(|_| format!("{} is killed", self.name));
        self.end_term(room);
        self.phase = Phase::Dead;
        self.is_paused = false;
    }

    /// SIGTERM.
    pub(crate) fn stop(&mut self, room: &mut Room) {
        room.note(|_| format!("{} is told to stop", self.name));
        if self.phase == Phase::Leading {
            self.phase = Phase::Draining { until: room.now + DRAIN_MS };
        } else {
            self.end_term(room);
            self.phase = Phase::Dead;
        }
    }

    /// A new process.
    pub(crate) fn start(&mut self, room: &mut Room) {
        room.note(|_| format!("{} starts", self.name));
        self.phase = Phase::Starting;
        self.retry_at = room.now;
    }

    /// Takes the slot, if both sides are there.
    fn take_slot(&mut self, room: &mut Room) -> Result<(), Break> {
        let link = room.broker.connect().ok_or(Break::Term)?;
        self.link = Some(link);
        let (mut start, end) = self.read_end(room, link, Lsn::new(room.postgres.end))?.ok_or(Break::Term)?;
        let gaps = room.gaps(end, room.known_at_start());
        if !gaps.is_empty() {
            start.lsn = Lsn::ZERO;
        }
        self.mistakes.begin(&mut start, room);
        match room.postgres.start(start.lsn.as_u64()) {
            Ok(wire) => {
                room.note(|room| {
                    format!("{} takes the slot at {}, from {}", self.name, room.postgres.confirmed, start.lsn)
                });
                self.wire = Some(wire);
                self.begun = Some((start, gaps));
                self.phase = Phase::Taken;
                // Between the two looks at the stream it is most delicate.
                room.is_loss_due = room.plan.faults.silent_loss > 0 && room.chance.one_in(4);
                let again =
                    room.postgres.ever_sent.saturating_sub(room.postgres.events_before(room.postgres.confirmed));
                room.judge.allow_again(again);
                let has_fallen_behind = room.postgres.events_before(room.postgres.confirmed) < room.judge.delivered();
                room.tally.mark_if(room.has_crashed && has_fallen_behind, Happened::ResentAfterCrash);
                Ok(())
            }
            Err(NoLog::Down) => Err(Break::Term),
            Err(NoLog::InUse) => {
                self.give_up_link(room);
                self.phase = Phase::Standby;
                Ok(())
            }
        }
    }

    /// Reads the end of the stream now that nobody else has the slot, and begins to lead.
    fn open_session(&mut self, room: &mut Room) -> Result<(), Break> {
        let link = self.link.ok_or(Break::Term)?;
        let (mut start, end) = self.read_end(room, link, GROWING)?.ok_or(Break::Term)?;
        let (begun, mut gaps) = self.begun.take().ok_or(Break::Term)?;
        begun.reaches(start.resume)?;
        if start.resume != begun.resume {
            gaps = room.gaps(end, room.known_at_start());
            if !gaps.is_empty() && begun.lsn != Lsn::ZERO {
                return Err(StopReason::Displaced.into());
            }
        }
        self.mistakes.open(&mut start);
        let hold_back = Duration::from_millis(room.plan.hold_back_ms);
        self.relay = Some(Relay::new(room.mode(), room.window(), hold_back, start.resume, gaps));
        self.reported = (0, room.now);
        self.phase = Phase::Leading;
        room.note(|_| format!("{} leads, behind {:?}", self.name, start.resume));
        if room.last_leader.is_some_and(|last| last != self.name) {
            room.tally.mark(Happened::TakenOver);
        }
        room.last_leader = Some(self.name);
        Ok(())
    }

    /// Where to continue; none if nobody says where the stream ends.
    fn read_end(&self, room: &mut Room, link: usize, wal_end: Lsn) -> Result<Option<(Start, End)>, Break> {
        let late = if room.plan.faults.stale_end > 0 && room.chance.one_in(8) { room.chance.between(1, 3) } else { 0 };
        let late = if room.mode() == Mode::Chain { usize::try_from(late).unwrap() } else { 0 };
        let Some(end) = room.broker.stream_end(link, late) else { return Ok(None) };
        if late > 0 {
            room.tally.mark(Happened::StaleEnd);
        }
        let end = if room.mode() == Mode::Chain { end } else { End::Empty };
        let start = room.continue_after(&room.stream_end(end), wal_end);
        start
            .map(|start| Some((start, end)))
            .map_err(|error| broken("I9", format!("the same log is refused: {error}")).into())
    }

    /// One turn of the driver, with or without a broker.
    fn lead(&mut self, room: &mut Room) -> Result<(), Break> {
        if self.link.is_none() && room.now >= self.retry_at {
            self.regain(room)?;
        }
        self.take_frames(room)?;
        self.publish_due(room)?;
        self.report(room)?;
        self.look(room)?;
        self.heed(room)?;
        self.check_answers(room)
    }

    /// Looks at the end of the stream before what was held back is confirmed.
    fn look(&mut self, room: &mut Room) -> Result<(), Break> {
        let Some(link) = self.link else { return Ok(()) };
        let now = room.instant();
        let is_due = |relay: &Relay<u64>| relay.next_look().is_some_and(|look| look <= now);
        if !self.relay.as_ref().is_some_and(is_due) {
            return Ok(());
        }
        let Some((start, _)) = self.read_end(room, link, GROWING)? else { return Ok(()) };
        room.note(|_| format!("{} looks: {:?}", self.name, start.resume));
        if let Some(relay) = &mut self.relay {
            relay.look(start.resume, now)?;
        }
        Ok(())
    }

    fn drain(&mut self, room: &mut Room, until: u64) -> Result<(), Break> {
        if self.relay.as_ref().is_some_and(|relay| relay.in_flight() > 0) && room.now < until && self.link.is_some() {
            self.publish_due(room)?;
            self.report(room)?;
            return self.heed(room);
        }
        self.reported.1 = 0;
        self.report(room)?;
        if self.wire.is_some() && room.postgres.reader == self.wire {
            while room.hear()? {}
            room.postgres.disconnect();
        }
        room.note(|_| format!("{} ends in good order", self.name));
        self.end_term(room);
        self.phase = Phase::Dead;
        Ok(())
    }

    fn take_frames(&mut self, room: &mut Room) -> Result<(), Break> {
        let (Some(relay), Some(wire)) = (&mut self.relay, self.wire) else { return Ok(()) };
        let now = room.instant();
        while relay.has_room() {
            let Some(frame) = room.postgres.wires[wire].frames.pop_front() else {
                return if room.postgres.wires[wire].is_open { Ok(()) } else { Err(Break::Term) };
            };
            if !self.mistakes.takes(frame, room) {
                continue;
            }
            let event = match frame {
                Frame::Begin { commit_lsn } => Event::Begin { commit_lsn: Lsn::new(commit_lsn), commit_time_us: 0 },
                Frame::Row { event } => {
                    let key = room.postgres.events[usize::try_from(event).unwrap()].key;
                    Event::Row { row: event, bytes: 100, key: self.mistakes.key(key, event) }
                }
                Frame::Commit { commit_lsn, end_lsn } => {
                    Event::Commit { commit_lsn: Lsn::new(commit_lsn), end_lsn: Lsn::new(end_lsn), now }
                }
                Frame::Keepalive { wal_end } => Event::Keepalive { wal_end: Lsn::new(wal_end), now },
            };
            match (relay.apply(event), frame) {
                (Effect::Skip, Frame::Row { event }) => {
                    // It may have been forgotten since, and nobody knows yet.
                    if room.plan.faults.power_loss == 0 {
                        room.judge.skipped(event)?;
                    }
                    room.tally.mark(Happened::StoredInPart);
                }
                (Effect::Stop(reason), _) => return Err(broken("I9", format!("good log is refused: {reason}")).into()),
                _ => {}
            }
            check_window(relay, room)?;
        }
        Ok(())
    }

    fn publish_due(&mut self, room: &mut Room) -> Result<(), Break> {
        let (Some(relay), Some(link)) = (&mut self.relay, self.link) else { return Ok(()) };
        let now = room.instant();
        while let Some(due) = relay.due(now) {
            let (event, place, checkpoint) = (*due.row, due.place, room.event_at(due.checkpoint));
            let id_of = |event: u64| room.postgres.events[usize::try_from(event).unwrap()].id;
            let before = due.before.filter(|_| room.plan.is_linked);
            let previous = due.previous.filter(|_| !room.plan.is_linked).map(|previous| room.event_at(previous));
            let behind = self.mistakes.behind(before.copied().map(id_of));
            let expected = self.mistakes.expected(due.expected_last_sequence);
            let publish = Publish {
                id: Some(id_of(event)),
                expected,
                behind,
                is_for_us: true,
                event: Some(event),
                checkpoint: Some(checkpoint),
                previous,
            };
            let sent = Sent { ticket: due.ticket, publish };
            self.mistakes.check_place(event, place, room)?;
            room.note(|_| format!("{} sends {event} ({place}), expecting {expected:?}", self.name));
            let wire = &mut room.broker.links[link];
            if wire.has_server {
                wire.to_server.push_back(sent);
            }
            if let Some(outcome) = self.mistakes.presume(due.expected_last_sequence) {
                relay.apply(Event::Ack { ticket: sent.ticket, outcome, now });
            }
        }
        Ok(())
    }

    fn report(&mut self, room: &mut Room) -> Result<(), Break> {
        let (Some(relay), Some(wire)) = (&mut self.relay, self.wire) else { return Ok(()) };
        relay.pass_time(room.instant());
        let lsn = self.mistakes.confirmed(relay.confirmed().lsn.as_u64());
        let (reported, at) = self.reported;
        if lsn < reported {
            return Err(broken("I5", format!("{lsn} is confirmed after {reported}")).into());
        }
        let spacing = if lsn == reported { REPORT_MS.1 } else { REPORT_MS.0 };
        if room.now < at + spacing {
            return Ok(());
        }
        self.reported = (lsn, room.now);
        if !room.postgres.wires[wire].is_open {
            return Err(Break::Term);
        }
        if lsn != reported {
            room.note(|_| format!("{} confirms {lsn}", self.name));
            room.judge.confirmed(room.postgres.events_before(lsn), lsn)?;
        }
        room.postgres.wires[wire].feedback.push_back(lsn);
        Ok(())
    }

    /// Takes in every answer that is here.
    fn heed(&mut self, room: &mut Room) -> Result<(), Break> {
        let (Some(relay), Some(link)) = (&mut self.relay, self.link) else { return Ok(()) };
        while let Some(Answered { sent, outcome }) = room.broker.links[link].arrived.pop_front() {
            let Some(event) = sent.publish.event else { continue };
            let Some(outcome) = self.mistakes.answer(outcome, sent) else { continue };
            room.note(|_| format!("{} hears of {event}: {outcome}", self.name));
            match relay.apply(Event::Ack { ticket: sent.ticket, outcome, now: room.instant() }) {
                Effect::Stored { .. } => self.mistakes.stored(event, room),
                Effect::Duplicate => {
                    room.judge.passed_over(event);
                    room.tally.mark(Happened::DuplicateId);
                }
                Effect::Stop(reason) => return Err(reason.into()),
                _ => {}
            }
        }
        let is_broken = !room.broker.links[link].has_server;
        // The news takes its time.
        if is_broken && room.chance.one_in(2) { Err(Break::Broker) } else { Ok(()) }
    }

    fn check_answers(&self, room: &Room) -> Result<(), Break> {
        let since = self.relay.as_ref().and_then(Relay::waiting_since);
        let is_late = since.is_some_and(|since| room.instant() >= since + Duration::from_millis(PUBLISH_TIMEOUT_MS));
        if is_late { Err(Break::Broker) } else { Ok(()) }
    }

    /// Gives up the connection to the broker and keeps the log.
    fn lose_broker(&mut self, room: &mut Room) {
        room.note(|_| format!("{} gives up its broker", self.name));
        if self.relay.as_ref().is_some_and(|relay| relay.waiting_since().is_some()) {
            room.tally.mark(Happened::UnknownOutcome);
        }
        self.give_up_link(room);
        self.retry_at = room.now + room.chance.between(1, 50);
    }

    /// Another connection, from where the stream ends.
    fn regain(&mut self, room: &mut Room) -> Result<(), Break> {
        self.retry_at = room.now + room.chance.between(1, 50);
        let Some(link) = room.broker.connect() else { return Ok(()) };
        let Some((start, end)) = self.read_end(room, link, GROWING)? else {
            room.broker.abandon(link, 0);
            return Ok(());
        };
        let Some(relay) = &mut self.relay else { return Err(Break::Term) };
        let before = relay.in_flight();
        room.judge.allow_again(before as u64);
        let Resume { last_sequence, .. } = start.resume;
        let Resume { last_sequence: sequence, stored } = relay.known();
        let stored = stored.map(|place| Stored { place, sequence });
        let gaps = room.gaps(end, Known { stored, confirmed: Lsn::ZERO });
        match relay.resume(start.resume, &gaps, room.instant()) {
            Ok(stored) => {
                self.link = Some(link);
                room.tally.mark_if(stored > 0, Happened::FoundStored);
                room.tally.mark_if(stored < before, Happened::SentAgain);
                room.note(|_| format!("{} goes on behind {last_sequence}, {stored} were stored", self.name));
                Ok(())
            }
            Err(reason) => {
                room.note(|_| format!("{} cannot go on: {reason}", self.name));
                room.broker.abandon(link, 0);
                Err(Break::Term)
            }
        }
    }

    fn give_up_link(&mut self, room: &mut Room) {
        if let Some(link) = self.link.take() {
            let queued = room.broker.links[link].to_server.len();
            let going_out = self.mistakes.still_going_out(room.chance.index(queued + 1), queued);
            room.broker.abandon(link, going_out);
        }
    }

    fn end_term(&mut self, room: &mut Room) {
        self.give_up_link(room);
        self.relay = None;
        if let Some(wire) = self.wire.take()
            && room.postgres.reader == Some(wire)
            && !(room.plan.half_open && room.chance.one_in(2))
        {
            room.postgres.disconnect();
        }
        self.phase = Phase::Starting;
        self.retry_at = room.now + room.chance.between(1, 50);
    }
}

/// I7.
fn check_window(relay: &Relay<u64>, room: &Room) -> Result<(), Violation> {
    let (rows, most) = (relay.in_flight(), room.plan.max_in_flight);
    if rows > most { Err(broken("I7", format!("{rows} rows are kept, and the window is {most}"))) } else { Ok(()) }
}

/// A place that is wrong would make every later start wrong.
pub(crate) fn check_place(event: u64, place: Place, room: &Room) -> Result<(), Violation> {
    let right = room.place(event);
    if place == right { Ok(()) } else { Err(broken("I3", format!("event {event} is sent as {place} and is {right}"))) }
}
