//! The parts: what each does with a batch of events.

use std::{collections::VecDeque, hint::black_box, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use walpost::{
    lsn::Lsn,
    outbox::{Event as OutboxEvent, Template},
    pgoutput::{KeptTuple, Message, Tuple},
    position::{Place, Source},
    publish::{Chain, Composer, MessageBuilder, OnPoison, Outcome, SizeLimits},
    relay::{Effect, Event, Gaps, Mode, Relay, Resume, Window},
    replication::{Feedback, Frame, Framer},
};

use super::{
    Batch,
    workload::{COMMIT_BYTES, EVENTS, STREAM, TRANSACTION_BYTES, Workload},
};

/// How many bytes the socket delivers at once.
const READ_BYTES: usize = 16 * 1024;
/// Messages under way, of as many as are allowed by default.
const UNDER_WAY: usize = 256;
const WINDOW: Window = Window { max_in_flight: 2_048, max_in_flight_bytes: 16 << 20 };
/// From one event to the next. Four batches take a second, because it costs more to add to a time across the end of a second: so
/// it does not matter when the count begins.
const PACE: Duration = Duration::from_micros(250);
/// The server's `wal_sender_timeout` by default.
const SERVER_TIMEOUT: Duration = Duration::from_secs(60);
/// How much log a batch takes.
const BATCH_BYTES: u64 = EVENTS as u64 * TRANSACTION_BYTES;

/// Cuts what the socket delivers into frames: three for an event.
pub(super) fn frames(workload: &'static Workload) -> Batch {
    let mut framer = Framer::default();
    Box::new(move || {
        for read in workload.wire.chunks(READ_BYTES) {
            framer.space().extend_from_slice(black_box(read));
            while let Some(frame) = framer.take_frame().expect("frames") {
                black_box(frame);
            }
        }
    })
}

/// Decodes an insert.
pub(super) fn decode(workload: &'static Workload) -> Batch {
    Box::new(|| {
        for insert in &workload.inserts {
            black_box(Message::decode(black_box(insert))).expect("a message");
        }
    })
}

/// Reads a row.
pub(super) fn row(workload: &'static Workload) -> Batch {
    let rows: Vec<Tuple<'_>> = workload.tuples().collect();
    Box::new(move || {
        for row in &rows {
            black_box(workload.binding.read(black_box(*row))).expect("an event");
        }
    })
}

/// Makes a message.
pub(super) fn message(workload: &'static Workload) -> Batch {
    let mut builder = builder();
    let events: Vec<(OutboxEvent<'_>, &Bytes)> = workload.events().zip(&workload.inserts).collect();
    let mut sequence = 1_000_000;
    Box::new(move || {
        for (event, data) in &events {
            let place = Place { commit_lsn: Lsn::new(0x1_6B37_4D00 + sequence), index: 0 };
            let chain = Chain { expected_last_sequence: Some(sequence), place, checkpoint: place };
            black_box(builder.build(black_box(event), data, chain)).expect("a message");
            sequence += 1;
        }
    })
}

/// Reads an answer.
pub(super) fn answer(workload: &'static Workload) -> Batch {
    Box::new(|| {
        for answer in &workload.answers {
            assert!(matches!(Outcome::read(black_box(answer.as_bytes()), STREAM), Outcome::Stored { .. }));
        }
    })
}

/// Takes an event through the state machine: its transaction, its turn, its answer.
pub(super) fn state(_: &'static Workload) -> Batch {
    let mut delivery = Delivery::new(());
    let mut commit_lsn = 0;
    Box::new(move || {
        for _ in 0..EVENTS {
            commit_lsn += TRANSACTION_BYTES;
            delivery.apply(Event::Begin { commit_lsn: Lsn::new(commit_lsn), commit_time_us: 1 });
            delivery.apply(Event::Row { row: (), bytes: 500, key: 0 });
            let (commit_lsn, end_lsn) = (Lsn::new(commit_lsn), Lsn::new(commit_lsn + COMMIT_BYTES));
            delivery.apply(Event::Commit { commit_lsn, end_lsn, now: delivery.now });
            delivery.hand_over(|_, _| {});
            delivery.be_answered(|sequence| Outcome::Stored { sequence });
            black_box(delivery.relay.confirmed());
        }
    })
}

/// Tells Postgres how far it is, as often as it is time to.
pub(super) fn feedback(_: &'static Workload) -> Batch {
    let mut now = Instant::now();
    let mut feedback = Feedback::new(now, SERVER_TIMEOUT);
    let (mut lsn, mut out) = (0, BytesMut::new());
    Box::new(move || {
        for _ in 0..EVENTS {
            lsn += TRANSACTION_BYTES;
            now += PACE;
            feedback.heard(now);
            feedback.received(black_box(Lsn::new(lsn)));
            feedback.flushed(black_box(Lsn::new(lsn)));
            black_box(feedback.deadline());
            if let Some(update) = feedback.due(now) {
                out.clear();
                update.encode(&mut out);
                black_box(&out);
            }
        }
    })
}

/// The whole way, from the bytes of one socket to the message and from its answer to the confirmed position.
pub(super) fn path(workload: &'static Workload) -> Batch {
    let mut framer = Framer::default();
    let mut composer = Composer::new(builder(), OnPoison::DeadLetter);
    let mut delivery = Delivery::new(workload.kept_tuple());
    let mut feedback = Feedback::new(delivery.now, SERVER_TIMEOUT);
    let mut out = BytesMut::new();
    let (mut under_way, mut before) = (VecDeque::new(), None);
    let mut answers = workload.answers.iter().cycle();
    let mut log_before = 0;
    Box::new(move || {
        for read in workload.wire.chunks(READ_BYTES) {
            framer.space().extend_from_slice(black_box(read));
            feedback.heard(delivery.now);
            while let Some(frame) = framer.take_frame().expect("frames") {
                let Frame::Log { start, data } = frame else { panic!("no log: {frame:?}") };
                feedback.received(start);
                delivery.take(&data, log_before);
                delivery.hand_over(|row, chain| {
                    let composed = composer.compose(&workload.binding, row.tuple(), row.message(), chain);
                    let mut composed = composed.expect("a message");
                    if let Some(before) = before.replace(composed.message.id()) {
                        composer.link(&mut composed.message, &before);
                    }
                    under_way.push_back(black_box(composed.message));
                });
                delivery.be_answered(|sequence| {
                    under_way.pop_front();
                    let answer = answers.next().expect("answers without end");
                    let outcome = Outcome::read(black_box(answer.as_bytes()), STREAM);
                    assert!(matches!(outcome, Outcome::Stored { .. }));
                    Outcome::Stored { sequence }
                });
            }
            feedback.flushed(delivery.relay.confirmed().lsn);
            if let Some(update) = feedback.due(delivery.now) {
                out.clear();
                update.encode(&mut out);
            }
        }
        log_before += BATCH_BYTES;
    })
}

/// The state machine with its answers owed.
struct Delivery<R> {
    relay: Relay<R>,
    now: Instant,
    /// The ticket of the first message that has no answer.
    oldest: u64,
}

impl<R> Delivery<R> {
    /// With one message stored, that of `first`, so that the whole window is open.
    fn new(first: R) -> Self {
        let resume = Resume { last_sequence: 0, stored: None };
        let relay = Relay::new(Mode::Chain, WINDOW, Duration::ZERO, resume, Gaps::default());
        let mut delivery = Self { relay, now: Instant::now(), oldest: 0 };
        delivery.apply(Event::Begin { commit_lsn: Lsn::new(1), commit_time_us: 1 });
        delivery.apply(Event::Row { row: first, bytes: 500, key: 0 });
        delivery.apply(Event::Commit { commit_lsn: Lsn::new(1), end_lsn: Lsn::new(2), now: delivery.now });
        delivery.hand_over(|_, _| {});
        delivery.apply(Event::Ack { ticket: 0, outcome: Outcome::Stored { sequence: 1 }, now: delivery.now });
        delivery.oldest = 1;
        delivery
    }

    fn apply(&mut self, event: Event<R>) {
        let effect = self.relay.apply(black_box(event));
        assert!(!matches!(effect, Effect::Stop(_)), "{effect:?}");
    }

    /// Hands over each row whose turn it is.
    fn hand_over(&mut self, mut publish: impl FnMut(&R, Chain)) {
        while let Some(due) = self.relay.due(self.now) {
            let (place, checkpoint) = (due.place, due.checkpoint);
            let chain = Chain { expected_last_sequence: due.expected_last_sequence, place, checkpoint };
            publish(due.row, black_box(chain));
            self.now += PACE;
        }
    }

    /// Is answered for the oldest message, once enough are under way.
    fn be_answered(&mut self, answer: impl FnOnce(u64) -> Outcome) {
        if self.relay.in_flight() >= UNDER_WAY {
            let outcome = answer(self.oldest + 1);
            self.apply(Event::Ack { ticket: self.oldest, outcome, now: self.now });
            self.oldest += 1;
        }
    }
}

impl Delivery<KeptTuple> {
    /// Takes in a message of the output plugin, whose positions lie behind those of earlier batches.
    fn take(&mut self, data: &Bytes, log_before: u64) {
        let later = |lsn: Lsn| lsn.saturating_add(log_before);
        let event = match Message::decode(data).expect("a message") {
            Message::Begin(begin) => {
                Event::Begin { commit_lsn: later(begin.final_lsn), commit_time_us: begin.commit_time_us }
            }
            Message::Insert { new, .. } => {
                let row = KeptTuple::new(new, data).expect("the row is the end of an insert");
                Event::Row { row, bytes: data.len(), key: 0 }
            }
            Message::Commit(commit) => {
                let (commit_lsn, end_lsn) = (later(commit.commit_lsn), later(commit.end_lsn));
                Event::Commit { commit_lsn, end_lsn, now: self.now }
            }
            other => panic!("not in the workload: {other:?}"),
        };
        self.apply(event);
    }
}

fn builder() -> MessageBuilder {
    let template = Template::parse("outbox.{aggregate_type}.{event_type}").expect("it is a template");
    let source = Source { system_id: 7_412_345_678_901_234_567, timeline: 1, slot: "walpost".to_owned() };
    let limits = SizeLimits { max_payload_bytes: 1 << 20, max_message_bytes: None };
    MessageBuilder::new(Arc::new(template), &source, STREAM, limits).expect("names that headers can carry")
}
