//! What daemons live in: the two servers, the clock, the judge, and the plan of the schedule.

use std::time::Duration;

use tokio::time::Instant;
use walpost::{
    lsn::Lsn,
    position::{Place, Position, Source},
    publish::{Depth, StreamEnd},
    relay::{Gaps, Known, Mode, ResumeError, Seen, Start, WayBack, Window},
    replication::TimelineHistory,
};

use crate::{
    broker::Broker,
    chance::Chance,
    jetstream::End,
    judge::{Judge, Violation},
    plan::Plan,
    postgres::{Habits, Postgres},
    tally::Tally,
};

/// How many aggregates there are.
pub(crate) const KEYS: usize = 4;

/// The surroundings.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) plan: Plan,
    pub(crate) chance: Chance,
    /// Milliseconds since the schedule began.
    pub(crate) now: u64,
    began: Instant,
    pub(crate) postgres: Postgres,
    pub(crate) broker: Broker,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    /// Who led last.
    pub(crate) last_leader: Option<char>,
    /// Whether the broker is about to forget something without a word.
    pub(crate) is_loss_due: bool,
    /// Whether the slot has fallen back.
    pub(crate) has_crashed: bool,
    trace: Option<Vec<String>>,
    source: Source,
    history: TimelineHistory,
}

impl Room {
    pub(crate) fn new(plan: Plan, mut chance: Chance, is_traced: bool) -> Self {
        let habits = Habits { slot_goes_back: chance.one_in(2), saves_at_stop: chance.one_in(2) };
        let mut broker = Broker::new(plan.dedup_ms);
        broker.stream.asks_sequence_first = chance.one_in(2);
        Self {
            chance,
            now: 0,
            began: Instant::now(),
            postgres: Postgres::new(habits),
            broker,
            judge: Judge::new(plan.mode, plan.is_linked, KEYS),
            tally: Tally::of_one(),
            last_leader: None,
            is_loss_due: false,
            has_crashed: false,
            trace: is_traced.then(Vec::new),
            source: Source { system_id: 1, timeline: 1, slot: "walpost".to_owned() },
            history: TimelineHistory::without_ancestors(1),
            plan,
        }
    }

    /// The clock as the program sees it.
    pub(crate) fn instant(&self) -> Instant {
        self.began + Duration::from_millis(self.now)
    }

    /// A line of the trace.
    pub(crate) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        let Some(mut trace) = self.trace.take() else { return };
        trace.push(format!("{:>6} ms  {}", self.now, line(self)));
        self.trace = Some(trace);
    }

    /// The trace so far.
    pub(crate) fn trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }

    /// Whether the next event may have the id of an earlier one. In a chain only if none of those that can be under way with
    /// it has: two leaders at once may lay out their chains differently over such an id, and if two events in a row have one
    /// id, too, a message may fit into the other chain. The contract asks for unique ids.
    pub(crate) fn may_repeat_id(&self) -> bool {
        let lately = self.postgres.events.len().saturating_sub(2 * self.plan.max_in_flight);
        let mut numbered = (0_u64..).zip(&self.postgres.events).skip(lately);
        self.plan.repeats_ids && (self.plan.mode == Mode::Shared || numbered.all(|(number, event)| event.id == number))
    }

    pub(crate) fn mode(&self) -> Mode {
        self.plan.mode
    }

    pub(crate) fn window(&self) -> Window {
        Window { max_in_flight: self.plan.max_in_flight, max_in_flight_bytes: self.plan.max_in_flight_bytes }
    }

    /// The end of the stream as the program's inspector tells it.
    pub(crate) fn stream_end(&self, end: End) -> StreamEnd {
        match end {
            End::Empty => StreamEnd::Empty,
            End::Removed { sequence } => StreamEnd::Removed { sequence },
            End::At { sequence, event } => {
                StreamEnd::At { sequence, position: Position { source: self.source.clone(), place: self.place(event) } }
            }
        }
    }

    /// Where delivery continues behind this end of the stream, on a log that ends there.
    pub(crate) fn continue_after(&self, end: &StreamEnd, wal_end: Lsn) -> Result<Start, ResumeError> {
        Start::after(end, &self.source, &self.history, wal_end)
    }

    /// Where the stream may lack events before its end.
    pub(crate) fn gaps(&self, end: End, known: Known) -> Gaps {
        let End::At { sequence: last, .. } = end else { return Gaps::default() };
        let mut way = WayBack::new(known);
        let mut lowest = last + 1;
        for message in self.broker.stream.back().filter(|message| message.sequence <= last) {
            lowest = message.sequence;
            let seen = message.event.zip(message.checkpoint).map_or(Seen::Foreign, |(event, checkpoint)| {
                let displaced = (event != checkpoint).then(|| self.place(event));
                let previous = message.previous.map(|previous| self.place(previous));
                Seen::Event { checkpoint: self.place(checkpoint), displaced, previous }
            });
            if way.look(message.sequence, seen).is_break() {
                return way.end(Depth::Enough);
            }
        }
        way.end(if lowest == 1 { Depth::Whole } else { Depth::Cut })
    }

    /// What a new daemon knows: the position of the slot.
    pub(crate) fn known_at_start(&self) -> Known {
        Known { stored: None, confirmed: Lsn::new(self.postgres.confirmed) }
    }

    /// The event at a place.
    pub(crate) fn event_at(&self, Place { commit_lsn, index }: Place) -> u64 {
        self.postgres.first_of(commit_lsn.as_u64()) + u64::from(index)
    }

    /// Where an event stands.
    pub(crate) fn place(&self, event: u64) -> Place {
        let (commit_lsn, index) = self.postgres.place(event);
        Place { commit_lsn: Lsn::new(commit_lsn), index }
    }

    /// The walsender reads a status update, which is held against what is stored at this moment.
    pub(crate) fn hear(&mut self) -> Result<bool, Violation> {
        let Some(lsn) = self.postgres.hear() else { return Ok(false) };
        self.judge.confirmed(self.postgres.events_before(lsn), lsn)?;
        Ok(true)
    }
}
