//! The state machine driven by made-up events, without a server.

use proptest::prelude::*;

use super::*;

mod displaced;
mod held_back;
mod patience;
mod resuming;
mod shared;

const WIDE: Window = Window { max_in_flight: 1000, max_in_flight_bytes: 1 << 20 };
const FRESH: Resume = Resume { last_sequence: 0, stored: None };

/// A relay and shorthand for what happens to it. A row is named by a number.
struct Bench {
    relay: Relay<u32>,
    now: Instant,
    rows: u32,
}

impl Bench {
    fn new(window: Window, resume: Resume) -> Self {
        Self::of(Mode::Chain, window, resume)
    }

    fn of(mode: Mode, window: Window, resume: Resume) -> Self {
        Self { relay: Relay::new(mode, window, Duration::ZERO, resume, Gaps::default()), now: Instant::now(), rows: 0 }
    }

    fn shared() -> Self {
        Self::of(Mode::Shared, WIDE, FRESH)
    }

    /// A relay that has one stored message behind it, at commit 1, so that the whole window is open.
    fn proven(window: Window) -> Self {
        let mut bench = Self::new(window, FRESH);
        bench.transaction(1, 1);
        assert_eq!(bench.send(), [(0, Some(0))]);
        bench.stored(0, 1);
        bench
    }

    fn begin(&mut self, lsn: u64) -> Effect {
        self.relay.apply(Event::Begin { commit_lsn: Lsn::new(lsn), commit_time_us: 0 })
    }

    fn row(&mut self) -> Effect {
        self.row_of(0)
    }

    fn row_of(&mut self, key: u64) -> Effect {
        self.rows += 1;
        self.relay.apply(Event::Row { row: self.rows - 1, bytes: 100, key })
    }

    /// Commits end 5 bytes after they begin.
    fn commit(&mut self, lsn: u64) -> Effect {
        self.relay.apply(Event::Commit { commit_lsn: Lsn::new(lsn), end_lsn: Lsn::new(lsn + 5), now: self.now })
    }

    fn keepalive(&mut self, lsn: u64) -> Effect {
        self.relay.apply(Event::Keepalive { wal_end: Lsn::new(lsn), now: self.now })
    }

    fn ack(&mut self, ticket: u64, outcome: Outcome) -> Effect {
        self.relay.apply(Event::Ack { ticket, outcome, now: self.now })
    }

    fn stored(&mut self, ticket: u64, sequence: u64) -> Effect {
        self.ack(ticket, Outcome::Stored { sequence })
    }

    /// Hands over everything whose turn it is: row and expected sequence of each.
    fn send(&mut self) -> Vec<(u32, Option<u64>)> {
        let mut sent = Vec::new();
        while let Some(due) = self.relay.due(self.now) {
            sent.push((*due.row, due.expected_last_sequence));
        }
        sent
    }

    fn transaction(&mut self, lsn: u64, rows: usize) {
        self.begin(lsn);
        for _ in 0..rows {
            assert_eq!(self.row(), Effect::Taken);
        }
        self.commit(lsn);
    }

    fn confirmed(&self) -> u64 {
        self.relay.confirmed().lsn.as_u64()
    }

    fn resume(&mut self, last_sequence: u64, stored: Option<Place>) -> Result<usize, StopReason> {
        self.relay.resume(Resume { last_sequence, stored }, &Gaps::default(), self.now)
    }
}

fn place(lsn: u64, index: u32) -> Place {
    Place { commit_lsn: Lsn::new(lsn), index }
}

fn refusal() -> Outcome {
    Outcome::Refused { code: 400, err_code: 10071, description: String::new() }
}

#[test]
fn the_chain_counts_up_from_the_end_of_the_stream() {
    let mut bench = Bench::new(WIDE, Resume { last_sequence: 41, stored: None });
    bench.transaction(10, 2);
    bench.transaction(20, 1);
    assert_eq!(bench.send(), [(0, Some(41))]);
    bench.stored(0, 42);
    assert_eq!(bench.send(), [(1, Some(42)), (2, Some(43))]);
}

#[test]
fn ack_only_after_puback() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    bench.send();
    assert_eq!(bench.confirmed(), 6, "published is not stored");
    bench.stored(1, 2);
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn ack_is_contiguous_frontier() {
    let mut bench = Bench::proven(WIDE);
    for lsn in [10, 20, 30] {
        bench.transaction(lsn, 1);
    }
    bench.send();
    bench.stored(3, 4);
    bench.stored(2, 3);
    assert_eq!(bench.confirmed(), 6, "the first is not stored yet");
    bench.stored(1, 2);
    assert_eq!(bench.confirmed(), 35);
}

#[test]
fn no_ack_inside_transaction() {
    let mut bench = Bench::proven(WIDE);
    bench.begin(10);
    bench.row();
    bench.row();
    bench.send();
    bench.stored(1, 2);
    bench.stored(2, 3);
    assert_eq!(bench.confirmed(), 6, "the transaction may have more rows");
    bench.commit(10);
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn same_lsn_multi_insert_copy() {
    let mut bench = Bench::new(WIDE, Resume { last_sequence: 7, stored: Some(place(10, 1)) });
    bench.begin(10);
    assert_eq!([bench.row(), bench.row(), bench.row()], [Effect::Skip, Effect::Skip, Effect::Taken]);
    let due = bench.relay.due(bench.now).unwrap();
    assert_eq!((due.place, due.expected_last_sequence), (place(10, 2), Some(7)));
}

#[test]
fn resume_boundary_first_tx() {
    let mut bench = Bench::new(WIDE, Resume { last_sequence: 1, stored: Some(place(10, 0)) });
    bench.begin(10);
    assert_eq!(bench.row(), Effect::Skip);
    bench.commit(10);
    assert_eq!(bench.confirmed(), 15, "what the stream holds may be confirmed at once");
    bench.transaction(16, 1);
    assert_eq!(bench.send(), [(1, Some(1))]);
}

#[test]
fn an_idle_server_position_is_confirmed_once_all_before_it_is_stored() {
    let mut bench = Bench::proven(WIDE);
    bench.keepalive(100);
    assert_eq!(bench.confirmed(), 100);
    bench.transaction(200, 1);
    bench.keepalive(300);
    bench.send();
    assert_eq!(bench.confirmed(), 100);
    bench.stored(1, 2);
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
    bench.transaction(10, 3);
    assert_eq!(bench.send().len(), 1);
    assert!(bench.relay.has_room(), "rows may be taken up meanwhile");
    bench.stored(0, 1);
    assert_eq!(bench.send().len(), 2);
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
    bench.send();
    assert_eq!(bench.ack(1, Outcome::Duplicate { sequence: 1 }), Effect::Duplicate);
    assert_eq!(bench.confirmed(), 15);
    bench.transaction(20, 1);
    assert_eq!(bench.send(), [(2, Some(1))]);
}

#[test]
fn a_duplicate_that_the_stream_holds_beyond_what_we_know_is_no_storage() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    bench.send();
    assert!(matches!(bench.ack(1, Outcome::Duplicate { sequence: 2 }), Effect::Stop(StopReason::Refused { .. })));
    assert_eq!(bench.confirmed(), 6);
    assert_eq!(bench.resume(2, Some(place(10, 0))), Ok(1), "it was stored after we had looked");
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn a_duplicate_with_others_behind_it_stops_delivery() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 2);
    bench.send();
    assert!(matches!(bench.ack(1, Outcome::Duplicate { sequence: 1 }), Effect::Stop(StopReason::Refused { .. })));
    assert_eq!(bench.confirmed(), 6);
}

#[test]
fn whatever_is_not_storage_stops_delivery() {
    let elsewhere = Outcome::WrongStream { stream: "OTHER".into() };
    for mut bench in [Bench::proven(WIDE), Bench::shared()] {
        bench.transaction(10, 1);
        bench.send();
        let (ticket, confirmed) = (u64::from(bench.rows) - 1, bench.confirmed());
        for outcome in [refusal(), elsewhere.clone(), Outcome::NoResponders, Outcome::Unclear] {
            assert!(matches!(bench.ack(ticket, outcome), Effect::Stop(StopReason::Refused { .. })));
            assert_eq!(bench.confirmed(), confirmed);
        }
    }
}

#[test]
fn a_sequence_that_was_not_predicted_stops_delivery() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    bench.send();
    assert_eq!(bench.stored(1, 3), Effect::Stop(StopReason::OutOfPlace { expected: 2, got: 3 }));
}

#[test]
fn answers_that_nobody_waits_for_stop_delivery() {
    for ticket in [0, 2, 3, u64::MAX] {
        let mut bench = Bench::proven(WIDE);
        bench.transaction(10, 1);
        bench.send();
        bench.transaction(20, 1);
        assert_eq!(bench.stored(ticket, 9), Effect::Stop(StopReason::UnknownAck { ticket }), "gone, or not sent");
    }
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 2);
    bench.send();
    bench.stored(2, 3);
    assert_eq!(bench.stored(2, 3), Effect::Stop(StopReason::UnknownAck { ticket: 2 }), "the same answer twice");
}

#[test]
fn a_log_that_contradicts_itself_stops_delivery() {
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

#[test]
fn where_a_look_would_tell_nothing_time_confirms_what_is_held_back() {
    let hold_back = Duration::from_secs(150);
    let mut relay: Relay<()> = Relay::new(Mode::Shared, WIDE, hold_back, FRESH, Gaps::default());
    let now = Instant::now();
    relay.apply(Event::Keepalive { wal_end: Lsn::new(100), now });
    assert_eq!(relay.confirmed().lsn, Lsn::ZERO);
    assert_eq!(relay.next_confirmation(), Some(now + hold_back));
    relay.pass_time(now + hold_back);
    assert_eq!(relay.confirmed().lsn, Lsn::new(100));
}

/// What a random schedule is made of.
#[derive(Clone, Debug)]
enum Step {
    Transaction(usize),
    Keepalive,
    /// Answers one of the messages under way, chosen by this number.
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
        let mut answered = vec![true];
        // (position, rows before it)
        let mut marks = vec![(6, 1)];
        let mut waiting: Vec<u64> = Vec::new();
        for step in steps {
            match step {
                Step::Transaction(rows) if bench.relay.has_room() => {
                    bench.transaction(lsn, rows);
                    for (row, expected) in bench.send() {
                        prop_assert_eq!((row as usize, expected), (answered.len(), Some(u64::from(row))));
                        waiting.push(row.into());
                        answered.push(false);
                    }
                    marks.push((lsn + 5, answered.len()));
                    lsn += 10;
                }
                Step::Keepalive => {
                    bench.keepalive(lsn);
                    marks.push((lsn, answered.len()));
                    lsn += 10;
                }
                Step::Answer(choice) if !waiting.is_empty() => {
                    let ticket = waiting.swap_remove(choice % waiting.len());
                    bench.stored(ticket, ticket + 1);
                    answered[usize::try_from(ticket).unwrap()] = true;
                }
                _ => {}
            }
            let frontier = answered.iter().take_while(|answered| **answered).count();
            let allowed = marks.iter().filter(|(_, before)| *before <= frontier).map(|(lsn, _)| *lsn).max();
            prop_assert_eq!(Some(bench.confirmed()), allowed);
        }
    }
}

#[test]
fn a_message_names_the_one_before_it_while_that_one_has_no_answer() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 3);
    let mut before = Vec::new();
    while let Some(due) = bench.relay.due(bench.now) {
        before.push((*due.row, due.before.copied()));
    }
    assert_eq!(before, [(1, None), (2, Some(1)), (3, Some(2))]);
}
