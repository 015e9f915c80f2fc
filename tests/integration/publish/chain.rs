//! The chain: every message is stored after exactly the one before it, whole, or refused.

use std::collections::BTreeMap;

use async_nats::jetstream::stream::Config;
use walpost::publish::Outcome;

use super::event::{Publisher, Row, config, place, source};
use crate::harness::{on_every_nats, stored_messages};

#[tokio::test]
async fn pipelined_messages_are_stored_in_order_and_whole() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "CHAIN").await;
        let row = |n: u64| (format!("id-{n}"), format!("{}", n % 7), payload(n));
        let rows: Vec<_> = (1..=100).map(row).collect();
        for ((id, aggregate_id, payload), sequence) in rows.iter().zip(1..) {
            let headers = Some(r#"{"traceparent":"00-1-2-01","n":{"deep":[1, 2]},"blank":" inside it "}"#);
            let row = Row { id, aggregate_id, payload, headers, ..Row::default() };
            let built = publisher.build(row, sequence).unwrap();
            assert_eq!(built.dropped_headers.total(), 1, "blanks at the ends cannot be sent");
            publisher.broker.publish(built.message, sequence).await.unwrap();
        }
        for sequence in 1..=100 {
            let answer = publisher.answer().await;
            assert_eq!((answer.ticket, answer.outcome), (sequence, Outcome::Stored { sequence }));
        }
        let stored = stored_messages(&publisher.context, "CHAIN").await;
        assert_eq!(stored.len(), 100);
        for (message, (id, aggregate_id, payload)) in stored.iter().zip(&rows) {
            let expected = [
                ("Nats-Msg-Id", id.clone()),
                ("Nats-Expected-Stream", "CHAIN".to_owned()),
                ("Nats-Expected-Last-Sequence", (message.sequence - 1).to_string()),
                ("Walpost-Position", source().position(place(message.sequence))),
                ("Walpost-Aggregate-Type", "order".to_owned()),
                ("Walpost-Aggregate-Id", aggregate_id.clone()),
                ("Walpost-Event-Type", "placed".to_owned()),
                ("Walpost-Created-At", "2000-01-01T00:00:00.000000Z".to_owned()),
                ("traceparent", "00-1-2-01".to_owned()),
                ("n", r#"{"deep":[1,2]}"#.to_owned()),
            ];
            let expected: BTreeMap<_, _> = expected.map(|(name, value)| (name.to_owned(), vec![value])).into();
            assert_eq!(message.headers, expected);
            assert_eq!((message.subject.as_str(), &message.payload), ("CHAIN.order.placed", payload));
        }
    })
    .await;
}

/// Bytes of any value and of sizes on both sides of those from which the client copies no longer.
fn payload(n: u64) -> Vec<u8> {
    (0..n * 97).map(|at| u8::try_from((at * 31 + n) % 256).unwrap()).collect()
}

#[tokio::test]
async fn a_message_that_expects_another_end_is_refused() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "ANOTHER_END").await;
        assert_eq!(publisher.publish(Row::default(), 1).await, Outcome::Stored { sequence: 1 });
        for (id, expected) in [("too early", 0), ("too late", 2)] {
            let built = publisher.build_at(Row { id, ..Row::default() }, 9, expected).unwrap();
            let outcome = publisher.send(built, 9).await;
            assert!(outcome.is_wrong_last_sequence(), "{outcome:?}");
        }
        assert_eq!(stored_messages(&publisher.context, "ANOTHER_END").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_hole_in_the_pipeline_refuses_everything_behind_it() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "HOLE").await;
        for sequence in [1, 3, 4, 5] {
            let id = sequence.to_string();
            let built = publisher.build(Row { id: &id, ..Row::default() }, sequence).unwrap();
            publisher.broker.publish(built.message, sequence).await.unwrap();
        }
        assert_eq!(publisher.answer().await.outcome, Outcome::Stored { sequence: 1 });
        for sequence in [3, 4, 5] {
            let answer = publisher.answer().await;
            assert_eq!(answer.ticket, sequence);
            assert!(answer.outcome.is_wrong_last_sequence(), "{:?}", answer.outcome);
        }
        // And the refused ones can follow once the hole is filled: their ids were not remembered.
        for sequence in [2, 3, 4, 5] {
            let id = sequence.to_string();
            let outcome = publisher.publish(Row { id: &id, ..Row::default() }, sequence).await;
            assert_eq!(outcome, Outcome::Stored { sequence });
        }
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_stored_already_is_a_duplicate_of_the_first() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "DUPLICATE").await;
        for (id, sequence) in [("a", 1), ("b", 2)] {
            publisher.publish(Row { id, ..Row::default() }, sequence).await;
        }
        let outcome = publisher.publish(Row { id: "a", ..Row::default() }, 3).await;
        assert_eq!(outcome, Outcome::Duplicate { sequence: 1 });
        assert_eq!(stored_messages(&publisher.context, "DUPLICATE").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_subject_that_no_stream_takes_has_no_responders() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::without_stream(server, "NOWHERE").await;
        assert_eq!(publisher.publish(Row::default(), 1).await, Outcome::NoResponders);
    })
    .await;
}

#[tokio::test]
async fn a_subject_that_another_stream_takes_is_refused_by_it() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::without_stream(server, "STRAYED").await;
        let other = Config { name: "OTHER".to_owned(), ..config("STRAYED") };
        Box::pin(publisher.context.create_stream(other)).await.unwrap();
        let outcome = publisher.publish(Row::default(), 1).await;
        assert!(matches!(outcome, Outcome::Refused { err_code: 10060, .. }), "{outcome:?}");
        assert_eq!(stored_messages(&publisher.context, "OTHER").await, []);
    })
    .await;
}

#[tokio::test]
async fn a_full_stream_refuses_and_keeps_what_it_has() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::without_stream(server, "FULL").await;
        let discard = async_nats::jetstream::stream::DiscardPolicy::New;
        let full = Config { max_messages: 1, discard, ..config("FULL") };
        Box::pin(publisher.context.create_stream(full)).await.unwrap();
        assert_eq!(publisher.publish(Row { id: "1", ..Row::default() }, 1).await, Outcome::Stored { sequence: 1 });
        let outcome = publisher.publish(Row { id: "2", ..Row::default() }, 2).await;
        assert!(matches!(outcome, Outcome::Refused { err_code: 10077, .. }), "{outcome:?}");
        assert_eq!(stored_messages(&publisher.context, "FULL").await.len(), 1);
    })
    .await;
}
