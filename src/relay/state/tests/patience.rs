//! How long the broker may take to answer.

use super::*;

#[test]
fn answers_to_later_messages_give_a_lost_one_no_more_time() {
    let mut bench = Bench::proven(WIDE);
    bench.transaction(10, 4);
    bench.send();
    let sent = bench.now;
    assert_eq!(bench.relay.waiting_since(), Some(sent));
    bench.now += Duration::from_secs(1);
    bench.stored(1, 2);
    let answered = bench.now;
    assert_eq!(bench.relay.waiting_since(), Some(answered), "the next one's time begins");
    for ticket in [3, 4] {
        bench.now += Duration::from_secs(1);
        bench.stored(ticket, ticket + 1);
        assert_eq!(bench.relay.waiting_since(), Some(answered), "the answer to the second is still owed");
    }
    bench.stored(2, 3);
    assert_eq!(bench.relay.waiting_since(), None);
}
