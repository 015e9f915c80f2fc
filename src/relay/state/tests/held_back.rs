//! What waits before it is confirmed.

use super::*;

const HOLD_BACK: Duration = Duration::from_secs(150);

/// A relay with a hold-back, whose one event, at commit 10, was sent and stored at once.
fn stored_once() -> Bench {
    let mut bench = Bench::new(WIDE, FRESH);
    bench.relay = Relay::new(Mode::Chain, WIDE, HOLD_BACK, FRESH, Gaps::default());
    bench.transaction(10, 1);
    bench.send();
    bench.stored(0, 1);
    bench
}

#[test]
fn time_alone_confirms_nothing_that_is_held_back() {
    let mut bench = stored_once();
    assert_eq!(bench.relay.next_look(), Some(bench.now + HOLD_BACK));
    // The broker may have been away all the while.
    bench.now += 2 * HOLD_BACK;
    bench.relay.pass_time(bench.now);
    assert_eq!((bench.confirmed(), bench.relay.next_confirmation()), (0, None));
}

#[test]
fn a_look_at_the_stream_after_the_hold_back_confirms() {
    let mut bench = stored_once();
    let stored = Resume { last_sequence: 1, stored: Some(place(10, 0)) };
    let early = bench.now + HOLD_BACK / 2;
    assert_eq!((bench.relay.look(stored, early), bench.confirmed()), (Ok(()), 0));
    assert_eq!((bench.relay.look(stored, bench.now + HOLD_BACK), bench.confirmed()), (Ok(()), 15));
    assert_eq!(bench.relay.next_look(), None);
}

#[test]
fn a_look_that_finds_events_missing_stops_delivery() {
    let mut bench = stored_once();
    let late = bench.now + HOLD_BACK;
    assert!(matches!(bench.relay.look(FRESH, late), Err(StopReason::Forgotten { .. })));
    assert_eq!(bench.confirmed(), 0);
}

#[test]
fn the_answer_to_a_message_that_was_sent_after_the_hold_back_confirms() {
    let mut bench = stored_once();
    bench.transaction(20, 1);
    bench.send();
    bench.now += 2 * HOLD_BACK;
    bench.stored(1, 2);
    assert_eq!(bench.confirmed(), 0, "it was sent before, and its answer is late");
    bench.transaction(30, 1);
    bench.send();
    bench.stored(2, 3);
    assert_eq!(bench.confirmed(), 15);
}
