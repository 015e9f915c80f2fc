//! Going on after a broker connection was lost.

use super::*;

#[test]
fn after_a_lost_connection_delivery_goes_on_behind_what_the_stream_holds() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 2);
    bench.transaction(20, 2);
    bench.send();
    assert_eq!(bench.resume(4, Some(place(20, 0))), Ok(3));
    assert_eq!(bench.confirmed(), 15, "the second transaction is stored in part");
    assert_eq!(bench.send(), [(4, Some(4))], "only what is missing, under its old sequence");
    bench.stored(4, 5);
    assert_eq!(bench.confirmed(), 25);
}

#[test]
fn a_connection_that_stored_nothing_leaves_everything_to_be_sent_again() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 2);
    bench.send();
    for _ in 0..3 {
        assert_eq!(bench.resume(1, Some(place(1, 0))), Ok(0));
        assert_eq!(bench.send(), [(1, Some(1))], "one at a time until the chain is proven again");
    }
    bench.stored(1, 2);
    assert_eq!(bench.send(), [(2, Some(2))]);
}

#[test]
fn answers_out_of_turn_do_not_count_when_the_connection_is_lost_before_the_gap_is_closed() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 3);
    bench.send();
    bench.stored(3, 4);
    assert_eq!(bench.resume(4, Some(place(10, 2))), Ok(3), "a chain has no gaps, so the others are stored too");
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn what_was_answered_out_of_turn_and_then_forgotten_is_sent_again() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 3);
    bench.send();
    bench.stored(3, 4);
    assert_eq!(bench.resume(3, Some(place(10, 1))), Ok(2));
    assert_eq!(bench.confirmed(), 6);
    assert_eq!(bench.send(), [(3, Some(3))]);
    bench.stored(3, 4);
    assert_eq!(bench.confirmed(), 15);
}

#[test]
fn a_foreign_message_is_skipped_over() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 2);
    bench.send();
    bench.ack(1, refusal());
    assert_eq!(bench.resume(2, Some(place(1, 0))), Ok(0));
    assert_eq!(bench.send(), [(1, Some(2))]);
    bench.stored(1, 3);
    assert_eq!(bench.send(), [(2, Some(3))]);
}

#[test]
fn a_stream_that_lost_what_it_confirmed_stops_delivery() {
    for (last_sequence, stored) in [(0, None), (1, Some(place(1, 0))), (2, Some(place(1, 0)))] {
        let mut bench = Bench::proven(WIDE);
        bench.transaction(10, 1);
        bench.send();
        bench.stored(1, 2);
        let expected = StopReason::Forgotten { known_sequence: 2, last_sequence };
        assert_eq!(bench.resume(last_sequence, stored), Err(expected));
    }
}

#[test]
fn a_stream_that_somebody_else_continued_stops_delivery() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 1);
    bench.send();
    assert_eq!(bench.resume(9, Some(place(50, 0))), Err(StopReason::Overtaken { place: place(50, 0) }));
    let mut fresh = Bench::new(WIDE, FRESH);
    assert_eq!(fresh.resume(9, Some(place(50, 0))), Err(StopReason::Overtaken { place: place(50, 0) }));
}

#[test]
fn a_stream_that_grew_and_lost_its_last_message_is_not_guessed_at() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 3);
    bench.send();
    assert_eq!(bench.resume(1, None), Ok(0), "it has not grown");
    bench.send();
    let unknown = StopReason::Forgotten { known_sequence: 1, last_sequence: 2 };
    assert_eq!(bench.resume(2, None), Err(unknown), "the message may be somebody else's");
    assert_eq!(bench.confirmed(), 6);
}
