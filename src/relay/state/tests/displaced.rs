//! Events that the stream lacks although it holds later ones.

use super::*;
use crate::relay::gaps::{Known, Seen, WayBack};

/// Event 1 of the transaction at 10 is missing from a stream that ends with event 2, under the sequence 7.
fn bench() -> Bench {
    let mut way = WayBack::new(Known::default());
    let event = |index, previous| Seen::Event { checkpoint: place(10, index), displaced: None, previous };
    for (sequence, seen) in [(7, event(2, Some(place(10, 1)))), (6, Seen::Foreign), (5, event(0, None))] {
        assert!(way.look(sequence, seen).is_continue());
    }
    let end = Resume { last_sequence: 7, stored: Some(place(10, 2)) };
    let relay = Relay::new(Mode::Chain, WIDE, Duration::ZERO, end, way.end(crate::publish::Depth::Whole));
    Bench { relay, now: Instant::now(), rows: 0 }
}

/// What is due: place, checkpoint, expected sequence.
fn due(bench: &mut Bench) -> Option<(Place, Place, Option<u64>)> {
    let due = bench.relay.due(bench.now)?;
    Some((due.place, due.checkpoint, due.expected_last_sequence))
}

#[test]
fn a_displaced_event_goes_to_the_end_and_leaves_the_stream_a_checkpoint() {
    let mut bench = bench();
    bench.begin(10);
    assert_eq!([bench.row(), bench.row(), bench.row()], [Effect::Skip, Effect::Displaced, Effect::Skip]);
    bench.commit(10);
    bench.transaction(20, 1);
    assert_eq!(due(&mut bench), Some((place(10, 1), place(10, 2), Some(7))));
    assert_eq!(bench.confirmed(), 0, "an event before it is not stored");
    bench.stored(0, 8);
    assert_eq!(bench.confirmed(), 15);
    assert_eq!(due(&mut bench), Some((place(20, 0), place(20, 0), Some(8))));
    bench.stored(1, 9);
    assert_eq!(bench.confirmed(), 25);
    let last = bench.relay.confirmed().event.unwrap();
    assert_eq!((last.place, last.sequence), (place(20, 0), 9));
}

#[test]
fn what_is_confirmed_with_it_names_the_position_that_its_message_carries() {
    let mut bench = bench();
    bench.transaction_with_displaced();
    bench.send();
    bench.stored(0, 8);
    let last = bench.relay.confirmed().event.unwrap();
    assert_eq!((last.place, last.sequence), (place(10, 2), 8));
}

#[test]
fn a_look_at_the_stream_finds_it_whole_with_a_displaced_event_under_way() {
    let mut bench = bench();
    bench.transaction_with_displaced();
    bench.send();
    let end = |last_sequence| Resume { last_sequence, stored: Some(place(10, 2)) };
    assert_eq!(bench.relay.look(end(7), bench.now), Ok(()));
    assert_eq!(bench.relay.look(end(8), bench.now), Ok(()), "it was stored, and the answer is not here yet");
}

#[test]
fn the_chain_is_laid_out_anew_when_an_event_was_displaced() {
    let mut bench = bench();
    bench.transaction_with_displaced();
    bench.send();
    let end = Resume { last_sequence: 7, stored: Some(place(10, 2)) };
    assert_eq!(bench.relay.resume(end, &Gaps::default(), bench.now), Err(StopReason::Displaced), "one is under way");

    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 3);
    bench.send();
    let mut way = WayBack::new(Known::default());
    let event = |place, previous| Seen::Event { checkpoint: place, displaced: None, previous };
    for (sequence, seen) in
        [(3, event(place(10, 1), Some(place(10, 0)))), (2, Seen::Foreign), (1, event(place(1, 0), None))]
    {
        assert!(way.look(sequence, seen).is_continue());
    }
    let gaps = way.end(crate::publish::Depth::Whole);
    let end = Resume { last_sequence: 3, stored: Some(place(10, 1)) };
    assert_eq!(bench.relay.resume(end, &gaps, bench.now), Err(StopReason::Displaced), "one was passed over");
    assert_eq!(bench.confirmed(), 6);
}

impl Bench {
    fn transaction_with_displaced(&mut self) {
        self.begin(10);
        assert_eq!([self.row(), self.row(), self.row()], [Effect::Skip, Effect::Displaced, Effect::Skip]);
        self.commit(10);
    }
}
