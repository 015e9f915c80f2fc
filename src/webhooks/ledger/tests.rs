//! The ledger under random schedules with crashes at every moment: a broker that holds one record, a receiver that writes
//! down what it is sent, and owners that die.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// One event of the model's stream: the aggregate that it belongs to.
type Stream = Vec<u8>;

/// What may happen next; the number picks among what is there.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The owner takes an event.
    Take,
    /// It sends what may be sent.
    Start,
    /// A request comes back: delivered.
    Deliver(u8),
    /// A request comes back: failed, due at once.
    Fail(u8),
    /// The owner begins to write, if nothing is being written.
    Write,
    /// What is being written is stored.
    Store,
    /// The answer to it arrives.
    Confirm,
    /// Somebody wants an event again that was settled.
    Reopen(u8),
    /// The owner dies. What is being written may yet be stored.
    Crash { is_stored: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Take),
        6 => Just(Step::Start),
        5 => any::<u8>().prop_map(Step::Deliver),
        2 => any::<u8>().prop_map(Step::Fail),
        4 => Just(Step::Write),
        4 => Just(Step::Store),
        4 => Just(Step::Confirm),
        1 => any::<bool>().prop_map(|is_stored| Step::Crash { is_stored }),
    ]
}

fn step_or_reopen() -> impl Strategy<Value = Step> {
    prop_oneof![9 => step(), 1 => any::<u8>().prop_map(Step::Reopen)]
}

struct World<'a> {
    stream: &'a Stream,
    ordering: Ordering,
    max_open: usize,
    ledger: Ledger,
    /// What the broker holds.
    record: Saved,
    /// What is being written, and whether it is stored.
    writing: Option<(u64, Saved, bool)>,
    /// What is on its way to the receiver.
    sent: Vec<u64>,
    /// What began to be sent, in this order, over all owners.
    log: Vec<u64>,
    /// What was answered with 2xx.
    delivered: BTreeSet<u64>,
    /// Whether something was opened again, so that order means less.
    is_reopened: bool,
}

impl<'a> World<'a> {
    fn new(stream: &'a Stream, ordering: Ordering) -> Self {
        let record = Saved::default();
        let ledger = Ledger::restore(ordering, &record, |_| None);
        let (sent, log, delivered) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (writing, is_reopened) = (None, false);
        Self { stream, ordering, max_open: 6, ledger, record, writing, sent, log, delivered, is_reopened }
    }

    fn lane(stream: &Stream, sequence: u64) -> Lane {
        Lane::of("order", &stream[usize::try_from(sequence).unwrap() - 1].to_string())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Take => {
                let next = self.ledger.read() + 1;
                if next <= self.stream.len() as u64 && self.ledger.open() < self.max_open {
                    assert!(self.ledger.take(next, Self::lane(self.stream, next), 0));
                    assert!(!self.ledger.take(next, Self::lane(self.stream, next), 0), "taken twice");
                }
            }
            Step::Start => {
                if let Some((sequence, _)) = self.ledger.start(0) {
                    self.sent.push(sequence);
                    self.log.push(sequence);
                }
            }
            Step::Deliver(which) => {
                if let Some(sequence) = self.come_back(which) {
                    self.delivered.insert(sequence);
                    self.ledger.settle(sequence);
                }
            }
            Step::Fail(which) => {
                if let Some(sequence) = self.come_back(which) {
                    self.ledger.fail(sequence, 0);
                }
            }
            Step::Write => {
                if self.writing.is_none() {
                    let (version, saved) = self.ledger.to_save();
                    self.writing = Some((version, saved, false));
                }
            }
            Step::Store => self.store(),
            Step::Confirm => {
                if let Some((version, _, true)) = self.writing {
                    self.writing = None;
                    self.ledger.confirm(version);
                }
            }
            Step::Reopen(which) => {
                let sequence = u64::from(which) % (self.stream.len() as u64) + 1;
                let is_new = !self.ledger.is_open(sequence) && sequence <= self.ledger.read();
                if self.ledger.open() < self.max_open {
                    let is_open = self.ledger.reopen(sequence, Some(Self::lane(self.stream, sequence)), 0);
                    assert_eq!(is_open, is_new);
                    self.is_reopened |= is_open;
                }
            }
            Step::Crash { is_stored } => {
                if is_stored {
                    self.store();
                }
                self.writing = None;
                self.sent.clear();
                let stream = self.stream;
                self.ledger =
                    Ledger::restore(self.ordering, &self.record, |sequence| Some(Self::lane(stream, sequence)));
            }
        }
        self.check();
    }

    fn store(&mut self) {
        if let Some((_, saved, is_stored @ false)) = &mut self.writing {
            *is_stored = true;
            self.record = saved.clone();
        }
    }

    fn come_back(&mut self, which: u8) -> Option<u64> {
        (!self.sent.is_empty()).then(|| self.sent.remove(usize::from(which) % self.sent.len()))
    }

    fn check(&self) {
        assert!(self.ledger.open() <= self.max_open, "{} open", self.ledger.open());
        assert_eq!(self.ledger.running(), self.sent.len());
        // What the broker holds as settled was delivered.
        let open: BTreeSet<u64> = self.record.open.iter().map(|event| event.0).collect();
        for sequence in (1..=self.record.read).filter(|sequence| !open.contains(sequence)) {
            assert!(self.delivered.contains(&sequence), "{sequence} is settled and was never delivered");
        }
        let mut settling = self.ledger.settling.iter();
        let is_waited_for = settling.any(|(_, sequence)| self.ledger.has_others(*sequence));
        assert!(self.ledger.is_waited_for() || !is_waited_for, "an event waits, and nobody knows");
        if self.ordering == Ordering::Aggregate {
            let on_their_way: Vec<Lane> = self.sent.iter().map(|sequence| Self::lane(self.stream, *sequence)).collect();
            let lanes: BTreeSet<Lane> = on_their_way.iter().copied().collect();
            assert_eq!(lanes.len(), on_their_way.len(), "two of one aggregate are on their way");
            if !self.is_reopened {
                self.check_order();
            }
        }
    }

    /// Of each aggregate, what is sent never goes back: A1 A2 A2 A3, and never A2 after A3. And nothing overtakes.
    fn check_order(&self) {
        let mut last: BTreeMap<u8, u64> = BTreeMap::new();
        for sequence in &self.log {
            let aggregate = self.stream[usize::try_from(*sequence).unwrap() - 1];
            let before = last.insert(aggregate, *sequence).unwrap_or(0);
            assert!(before <= *sequence, "{sequence} of {aggregate} was sent after {before}: {:?}", self.log);
            let between =
                (before + 1..*sequence).filter(|s| self.stream[usize::try_from(*s).unwrap() - 1] == aggregate);
            assert_eq!(between.count(), 0, "{sequence} of {aggregate} overtook: {:?}", self.log);
        }
    }

    /// From here on nothing fails.
    fn drain(&mut self) {
        for _ in 0..self.stream.len() * 8 + 50 {
            for step in [Step::Take, Step::Start, Step::Deliver(0), Step::Write, Step::Store, Step::Confirm] {
                self.step(step);
            }
        }
        assert_eq!(self.record, Saved { read: self.stream.len() as u64, open: Vec::new() });
        assert_eq!(self.delivered.len(), self.stream.len());
    }
}

fn orderings() -> impl Strategy<Value = Ordering> {
    prop_oneof![Just(Ordering::None), Just(Ordering::Aggregate)]
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_lost_and_aggregates_keep_their_order(
        stream in proptest::collection::vec(0_u8..4, 1..20),
        ordering in orderings(),
        steps in prop_oneof![
            proptest::collection::vec(step(), 0..200),
            proptest::collection::vec(step_or_reopen(), 0..200),
        ],
    ) {
        let mut world = World::new(&stream, ordering);
        for step in steps {
            world.step(step);
        }
        world.drain();
    }
}

proptest! {
    // Each case is a hundred lives.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_owner_may_die_after_any_step(
        stream in proptest::collection::vec(0_u8..3, 1..8),
        ordering in orderings(),
        steps in proptest::collection::vec(step(), 10..60),
    ) {
        for dead_after in 0..steps.len() {
            for is_stored in [false, true] {
                let mut world = World::new(&stream, ordering);
                steps[..dead_after].iter().for_each(|step| world.step(*step));
                world.step(Step::Crash { is_stored });
                steps[dead_after..].iter().for_each(|step| world.step(*step));
                world.drain();
            }
        }
    }
}

#[test]
fn an_event_waits_until_the_one_before_it_is_settled_in_a_confirmed_version() {
    let (a, b) = (Lane::of("order", "a"), Lane::of("order", "b"));
    let mut ledger = Ledger::restore(Ordering::Aggregate, &Saved::default(), |_| None);
    assert!(ledger.take(1, a, 0) && ledger.take(2, a, 0) && ledger.take(3, b, 0));
    assert_eq!((ledger.start(0), ledger.start(0), ledger.start(0)), (Some((1, 0)), Some((3, 0)), None));
    let (before, _) = ledger.to_save();
    ledger.settle(3);
    assert!(!ledger.is_waited_for(), "nothing stands behind 3");
    let (settled, _) = ledger.to_save();
    assert!(ledger.take(4, b, 0) && ledger.is_waited_for(), "4 does");
    ledger.confirm(settled);
    assert!(!ledger.is_waited_for() && ledger.start(0) == Some((4, 0)));
    ledger.settle(1);
    ledger.confirm(before);
    assert_eq!(ledger.start(0), None, "the settling is not confirmed");
    assert!(ledger.is_waited_for());
    let (version, saved) = ledger.to_save();
    assert_eq!(saved.open, [SavedEvent(2, 0, 0), SavedEvent(4, 0, 0)]);
    ledger.confirm(version);
    assert!(!ledger.is_waited_for());
    assert_eq!(ledger.start(0), Some((2, 0)));
}

#[test]
fn a_failed_head_holds_its_lane_and_no_other() {
    let (a, b) = (Lane::of("order", "a"), Lane::of("order", "b"));
    let mut ledger = Ledger::restore(Ordering::Aggregate, &Saved::default(), |_| None);
    assert!(ledger.take(1, a, 0) && ledger.take(2, a, 0));
    assert_eq!(ledger.start(0), Some((1, 0)));
    ledger.fail(1, 5_000);
    assert!(ledger.take(3, b, 10));
    assert_eq!((ledger.start(4_999), ledger.start(4_999)), (Some((3, 0)), None));
    assert_eq!(ledger.next_due_ms(), Some(5_000));
    assert_eq!(ledger.start(5_000), Some((1, 1)));
    let (_, saved) = ledger.to_save();
    assert_eq!(saved.open, [SavedEvent(1, 1, 0), SavedEvent(2, 0, 0), SavedEvent(3, 0, 0)]);
}

#[test]
fn without_order_nothing_waits_for_anything() {
    let lane = Lane::of("order", "a");
    let mut ledger = Ledger::restore(Ordering::None, &Saved::default(), |_| None);
    assert!((1..=3).all(|sequence| ledger.take(sequence, lane, 0)));
    assert_eq!(ledger.startable(0, 2), 2);
    assert_eq!([(); 4].map(|()| ledger.start(0).map(|(sequence, _)| sequence)), [Some(1), Some(2), Some(3), None]);
    ledger.settle(2);
    ledger.settle(2);
    ledger.put_back(3, 7);
    assert_eq!((ledger.running(), ledger.open(), ledger.oldest()), (1, 2, Some(1)));
    ledger.pass(9);
    ledger.pass(4);
    assert_eq!(ledger.to_save().1, Saved { read: 9, open: vec![SavedEvent(1, 0, 0), SavedEvent(3, 0, 7)] });
}

#[test]
fn what_is_opened_again_goes_before_what_waits_and_behind_what_is_on_its_way() {
    let lane = Lane::of("order", "a");
    let saved = Saved { read: 4, open: vec![SavedEvent(3, 0, 0), SavedEvent(4, 0, 0)] };
    let mut ledger = Ledger::restore(Ordering::Aggregate, &saved, |_| Some(lane));
    assert!(ledger.reopen(2, Some(lane), 0) && !ledger.reopen(2, Some(lane), 0) && !ledger.reopen(5, Some(lane), 0));
    assert_eq!((ledger.start(0), ledger.start(0)), (Some((2, 0)), None));
    assert!(ledger.reopen(1, Some(lane), 0));
    assert_eq!(ledger.start(0), None, "2 is on its way");
    ledger.settle(2);
    ledger.confirm(ledger.version());
    assert_eq!((ledger.start(0), ledger.start(0)), (Some((1, 0)), None));
}

#[test]
fn a_record_that_makes_no_sense_sends_nothing_twice() {
    let saved = Saved { read: 2, open: vec![SavedEvent(2, 1, 0), SavedEvent(2, 0, 5), SavedEvent(3, 0, 0)] };
    let mut ledger = Ledger::restore(Ordering::None, &saved, |_| None);
    assert_eq!((ledger.start(9), ledger.start(9)), (Some((2, 1)), None));
    assert!(ledger.take(3, Lane::of("order", "a"), 9));
    assert_eq!((ledger.start(9), ledger.start(9)), (Some((3, 0)), None));
}

#[test]
fn what_waits_can_be_hurried() {
    let saved = Saved { read: 2, open: vec![SavedEvent(1, 3, 9_000), SavedEvent(2, 0, 10)] };
    let mut ledger = Ledger::restore(Ordering::None, &saved, |_| None);
    assert_eq!((ledger.start(20), ledger.start(20)), (Some((2, 0)), None));
    ledger.hurry(20);
    assert_eq!((ledger.start(20), ledger.version()), (Some((1, 3)), 1));
}

#[test]
fn what_was_written_down_comes_back() {
    let saved = Saved { read: 12, open: vec![SavedEvent(3, 2, 70), SavedEvent(9, 0, 0)] };
    for ordering in [Ordering::None, Ordering::Aggregate] {
        let ledger = Ledger::restore(ordering, &saved, |sequence| (sequence == 3).then(|| Lane::of("a", "b")));
        assert_eq!(ledger.to_save(), (0, saved.clone()));
    }
    let text = serde_json::to_string(&saved).unwrap();
    assert_eq!(text, r#"{"read":12,"open":[[3,2,70],[9,0,0]]}"#);
    assert_eq!(serde_json::from_str::<Saved>(&text).unwrap(), saved);
}
