//! The state machine driven by made-up events, without a server.

use proptest::prelude::*;

use super::*;

const WIDE: Window = Window { max_in_flight: 1000, max_in_flight_bytes: 1 << 20 };
const FRESH: Resume = Resume { last_sequence: 0, stored: None };

/// A relay and shorthand for what happens to it.
struct Bench {
    relay: Relay,
    now: Instant,
}

impl Bench {
    fn new(window: Window, resume: Resume) -> Self {
        Self { relay: Relay::new(window, resume), now: Instant::now() }
    }

    /// A relay that has one stored message behind it, at commit 1, so that the whole window is open.
    fn proven(window: Window) -> Self {
        let mut bench = Self::new(window, FRESH);
        bench.begin(1);
        bench.row();
        assert_eq!(bench.commit(1), Effect::None);
        bench.stored(1);
        bench
    }

    fn begin(&mut self, lsn: u64) -> Effect {
        self.relay.apply(Event::Begin { commit_lsn: Lsn::new(lsn), commit_time_us: 0 })
    }

    fn row(&mut self) -> Effect {
        self.relay.apply(Event::Row { bytes: 100, now: self.now })
    }

    /// Commits end 5 bytes after they begin.
    fn commit(&mut self, lsn: u64) -> Effect {
        self.relay.apply(Event::Commit { commit_lsn: Lsn::new(lsn), end_lsn: Lsn::new(lsn + 5) })
    }

    fn keepalive(&mut self, lsn: u64) -> Effect {
        self.relay.apply(Event::Keepalive { wal_end: Lsn::new(lsn) })
    }

    fn ack(&mut self, sequence: u64, outcome: Outcome) -> Effect {
        self.relay.apply(Event::Ack { sequence, outcome, now: self.now })
    }

    fn stored(&mut self, sequence: u64) -> Effect {
        self.ack(sequence, Outcome::Stored { sequence })
    }

    fn transaction(&mut self, lsn: u64, rows: usize) {
        self.begin(lsn);
        for _ in 0..rows {
            self.row();
        }
        self.commit(lsn);
    }

    fn confirmed(&self) -> u64 {
        self.relay.confirmed().as_u64()
    }
}

#[test]
fn the_chain_counts_up_from_the_end_of_the_stream() {
    let mut bench = Bench::new(WIDE, Resume { last_sequence: 41, stored: None });
    bench.begin(10);
    let published = |effect| match effect {
        Effect::Publish { expected_last_sequence, place } => (expected_last_sequence, place.index),
        other => panic!("{other:?}"),
    };
    assert_eq!(published(bench.row()), (41, 0));
    assert_eq!(published(bench.row()), (42, 1));
    bench.commit(10);
    bench.begin(20);
    assert_eq!(published(bench.row()), (43, 0));
}

#[test]
fn ack_only_after_puback() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    assert_eq!(bench.confirmed(), 6, "published is not stored");
    bench.stored(2);
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn ack_is_contiguous_frontier() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    bench.transaction(20, 1);
    bench.transaction(30, 1);
    bench.stored(4);
    bench.stored(3);
    assert_eq!(bench.confirmed(), 6, "the first is not stored yet");
    bench.stored(2);
    assert_eq!(bench.confirmed(), 35);
}

#[test]
fn no_ack_inside_transaction() {
    let mut bench = Bench::proven(WIDE);
    bench.begin(10);
    bench.row();
    bench.row();
    bench.stored(2);
    bench.stored(3);
    assert_eq!(bench.confirmed(), 6, "the transaction may have more rows");
    bench.commit(10);
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn same_lsn_multi_insert_copy() {
    let stored = Some(Place { commit_lsn: Lsn::new(10), index: 1 });
    let mut bench = Bench::new(WIDE, Resume { last_sequence: 7, stored });
    bench.begin(10);
    assert_eq!([bench.row(), bench.row()], [Effect::Skip, Effect::Skip]);
    assert!(matches!(bench.row(), Effect::Publish { expected_last_sequence: 7, place: Place { index: 2, .. } }));
}

#[test]
fn resume_boundary_first_tx() {
    let stored = Some(Place { commit_lsn: Lsn::new(10), index: 0 });
    let mut bench = Bench::new(WIDE, Resume { last_sequence: 1, stored });
    bench.transaction(10, 1);
    assert_eq!(bench.confirmed(), 15, "what the stream holds may be confirmed at once");
    bench.begin(16);
    assert!(matches!(bench.row(), Effect::Publish { expected_last_sequence: 1, .. }));
}

#[test]
fn an_idle_server_position_is_confirmed_once_all_before_it_is_stored() {
    let mut bench = Bench::proven(WIDE);
    bench.keepalive(100);
    assert_eq!(bench.confirmed(), 100);
    bench.transaction(200, 1);
    bench.keepalive(300);
    assert_eq!(bench.confirmed(), 100);
    bench.stored(2);
    assert_eq!(bench.confirmed(), 300);
}

#[test]
fn a_keepalive_inside_a_transaction_confirms_nothing() {
    let mut bench = Bench::proven(WIDE);
    bench.begin(10);
    bench.keepalive(1000);
    bench.commit(10);
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn only_one_message_goes_until_the_chain_is_proven() {
    let mut bench = Bench::new(WIDE, FRESH);
    bench.begin(10);
    assert!(bench.relay.has_room());
    bench.row();
    assert!(!bench.relay.has_room());
    bench.stored(1);
    bench.row();
    assert!(bench.relay.has_room());
}

#[test]
fn the_window_closes_at_its_limits() {
    let mut bench = Bench::proven(Window { max_in_flight: 2, max_in_flight_bytes: 1000 });
    bench.begin(10);
    bench.row();
    assert!(bench.relay.has_room());
    bench.row();
    assert!(!bench.relay.has_room(), "two messages");
    let mut bench = Bench::proven(Window { max_in_flight: 100, max_in_flight_bytes: 150 });
    bench.begin(10);
    bench.row();
    bench.row();
    assert!(!bench.relay.has_room(), "two hundred bytes");
}

#[test]
fn a_lone_duplicate_is_passed_over_and_the_chain_goes_on() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    assert_eq!(bench.ack(2, Outcome::Duplicate { sequence: 1 }), Effect::Duplicate);
    assert_eq!(bench.confirmed(), 15);
    bench.begin(20);
    assert!(matches!(bench.row(), Effect::Publish { expected_last_sequence: 1, .. }));
}

#[test]
fn a_duplicate_with_others_behind_it_stops_the_session() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 2);
    assert!(matches!(bench.ack(2, Outcome::Duplicate { sequence: 1 }), Effect::Stop(StopReason::Refused { .. })));
    assert_eq!(bench.confirmed(), 6);
}

#[test]
fn whatever_is_not_storage_stops_the_session() {
    let refused = Outcome::Refused { code: 400, err_code: 10071, description: String::new() };
    let elsewhere = Outcome::WrongStream { stream: "OTHER".into() };
    for outcome in [refused, elsewhere, Outcome::NoResponders, Outcome::Unclear] {
        let mut bench = Bench::proven(WIDE);
        bench.transaction(10, 1);
        assert!(matches!(bench.ack(2, outcome), Effect::Stop(StopReason::Refused { sequence: 2, .. })));
        assert_eq!(bench.confirmed(), 6);
    }
}

#[test]
fn a_sequence_that_was_not_predicted_stops_the_session() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    let effect = bench.ack(2, Outcome::Stored { sequence: 3 });
    assert_eq!(effect, Effect::Stop(StopReason::OutOfPlace { expected: 2, got: 3 }));
}

#[test]
fn answers_that_nobody_waits_for_stop_the_session() {
    for sequence in [0, 1, 3, u64::MAX] {
        let mut bench = Bench::proven(WIDE);
        bench.transaction(10, 1);
        assert_eq!(bench.stored(sequence), Effect::Stop(StopReason::UnknownAck { sequence }));
    }
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 2);
    bench.stored(3);
    assert_eq!(bench.stored(3), Effect::Stop(StopReason::UnknownAck { sequence: 3 }), "the same answer twice");
}

#[test]
fn a_log_that_contradicts_itself_stops_the_session() {
    let fault = |fault| Effect::Stop(StopReason::Log(fault));
    let mut bench = Bench::new(WIDE, FRESH);
    assert_eq!(bench.row(), fault(LogFault::Outside));
    assert_eq!(bench.commit(1), fault(LogFault::Outside));
    bench.begin(10);
    assert_eq!(bench.begin(11), fault(LogFault::Nested));
    assert_eq!(bench.commit(11), fault(LogFault::OtherCommit));
    let mut bench = Bench::proven(WIDE);
    assert_eq!(bench.begin(1), fault(LogFault::Backwards));
}

/// What a random schedule is made of.
#[derive(Clone, Debug)]
enum Step {
    Transaction(usize),
    Keepalive,
    /// Answers one of the messages in flight, chosen by this number.
    Answer(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..5).prop_map(Step::Transaction),
        1 => Just(Step::Keepalive),
        8 => any::<usize>().prop_map(Step::Answer),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    /// Whatever the order of answers: nothing is confirmed that has an unanswered event before it, nothing is published
    /// twice, and when all is answered all is confirmed.
    #[test]
    fn confirmation_follows_storage_in_any_order_of_answers(steps in steps()) {
        let mut bench = Bench::proven(Window { max_in_flight: 7, max_in_flight_bytes: 1 << 20 });
        let mut lsn = 10;
        let mut answered_up_to = vec![true, true];
        // (position, messages published before it)
        let mut marks = vec![(6, 1)];
        let mut waiting: Vec<u64> = Vec::new();
        for step in steps {
            match step {
                Step::Transaction(rows) if bench.relay.has_room() => {
                    bench.begin(lsn);
                    for _ in 0..rows {
                        let Effect::Publish { expected_last_sequence, .. } = bench.row() else { panic!("not published") };
                        prop_assert_eq!(expected_last_sequence + 1, answered_up_to.len() as u64);
                        waiting.push(expected_last_sequence + 1);
                        answered_up_to.push(false);
                    }
                    bench.commit(lsn);
                    marks.push((lsn + 5, answered_up_to.len()));
                    lsn += 10;
                }
                Step::Keepalive => {
                    bench.keepalive(lsn);
                    marks.push((lsn, answered_up_to.len()));
                    lsn += 10;
                }
                Step::Answer(choice) if !waiting.is_empty() => {
                    let sequence = waiting.swap_remove(choice % waiting.len());
                    bench.stored(sequence);
                    answered_up_to[usize::try_from(sequence).unwrap()] = true;
                }
                _ => {}
            }
            let frontier = answered_up_to.iter().take_while(|answered| **answered).count();
            let allowed = marks.iter().filter(|(_, before)| *before <= frontier).map(|(lsn, _)| *lsn).max();
            prop_assert_eq!(Some(bench.confirmed()), allowed);
        }
    }
}
