//! A stream whose order is not ours.

use super::*;

#[test]
fn shared_sends_one_message_of_an_aggregate_at_a_time() {
    let mut bench = Bench::shared();
    bench.begin(10);
    for key in [7, 7, 8, 7] {
        bench.row_of(key);
    }
    bench.commit(10);
    assert_eq!(bench.send(), [(0, None), (2, None)]);
    bench.stored(0, 100);
    assert_eq!(bench.send(), [(1, None)]);
    bench.stored(2, 90);
    assert_eq!(bench.confirmed(), 0);
    bench.stored(1, 102);
    assert_eq!(bench.send(), [(3, None)]);
    assert_eq!(bench.ack(3, Outcome::Duplicate { sequence: 5 }), Effect::Duplicate);
    assert_eq!(bench.confirmed(), 15, "a duplicate is stored");
}

#[test]
fn shared_sends_everything_unanswered_again_in_the_order_of_each_aggregate() {
    let mut bench = Bench::shared();
    bench.begin(10);
    for key in [7, 8, 7, 8] {
        bench.row_of(key);
    }
    bench.commit(10);
    bench.send();
    bench.stored(1, 50);
    assert_eq!(bench.send(), [(3, None)]);
    assert_eq!(bench.resume(50, None), Ok(0));
    assert_eq!(bench.send(), [(0, None), (3, None)], "what was answered is not sent again");
    bench.stored(0, 60);
    assert_eq!(bench.send(), [(2, None)]);
}
