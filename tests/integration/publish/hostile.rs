//! Values from rows that would break the protocol or command the broker: they never get that far.

use walpost::{
    outbox::DropReason,
    publish::{MessageError, Outcome},
};

use super::event::{Publisher, Row, config};
use crate::harness::{on_every_nats, stored_messages};

#[tokio::test]
async fn values_that_could_end_a_header_line_are_refused_before_anything_is_sent() {
    let values = [
        ("7\r\nNats-Rollup: all", DropReason::ControlCharacter),
        ("7\n", DropReason::ControlCharacter),
        ("7\r", DropReason::ControlCharacter),
        ("\r\n\r\nPUB CHAIN.x 1\r\nx", DropReason::ControlCharacter),
        ("nul\0", DropReason::ControlCharacter),
        ("next\u{85}line", DropReason::ControlCharacter),
        ("Nats-Expected-Last-Sequence", DropReason::BrokerName),
        ("x Nats-Expected-Last-Sequence: 0", DropReason::BrokerName),
        (" 7", DropReason::EdgeBlank),
        ("7\u{3000}", DropReason::EdgeBlank),
    ];
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "HOSTILE").await;
        for (hostile, reason) in values {
            let ordinary = Row::default();
            let rows = [
                ("Nats-Msg-Id", Row { id: hostile, ..ordinary }),
                ("Walpost-Aggregate-Type", Row { aggregate_type: hostile, ..ordinary }),
                ("Walpost-Aggregate-Id", Row { aggregate_id: hostile, ..ordinary }),
                ("Walpost-Event-Type", Row { event_type: hostile, ..ordinary }),
            ];
            for (header, row) in rows {
                let refused = publisher.build(row, 1).unwrap_err();
                assert_eq!(refused, MessageError::HeaderValue { header, reason }, "{hostile:?}");
                assert!(!refused.to_string().contains("PUB"), "{refused}");
            }
        }
        // The connection is as good as new.
        assert_eq!(publisher.publish(Row::default(), 1).await, Outcome::Stored { sequence: 1 });
        assert_eq!(stored_messages(&publisher.context, "HOSTILE").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn values_that_are_only_strange_arrive_as_they_are_under_one_token_each() {
    let values =
        ["*", ">", "a.b", "", "inner blank", "50% off", "ümläut 注文 🎉", ":", "a: b", "'\"\\", "$JS.API.>", "."];
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "STRANGE").await;
        for (value, sequence) in values.into_iter().zip(1..) {
            let id = sequence.to_string();
            let row = Row { id: &id, aggregate_type: value, aggregate_id: value, event_type: value, ..Row::default() };
            assert_eq!(publisher.publish(row, sequence).await, Outcome::Stored { sequence }, "{value:?}");
        }
        let stored = stored_messages(&publisher.context, "STRANGE").await;
        for (message, value) in stored.iter().zip(values) {
            for header in ["Walpost-Aggregate-Type", "Walpost-Aggregate-Id", "Walpost-Event-Type"] {
                assert_eq!(message.headers[header], [value]);
            }
            let tokens: Vec<_> = message.subject.split('.').collect();
            let unescaped = |token| walpost::outbox::unescape_token(token).unwrap();
            assert_eq!(tokens[0], "STRANGE");
            assert_eq!(tokens[1..].iter().map(|token| unescaped(token)).collect::<Vec<_>>(), [value, value]);
        }
    })
    .await;
}

#[tokio::test]
async fn headers_of_a_row_never_command_the_broker() {
    let commands = r#"{
        "Nats-Rollup": "all", "Nats-TTL": "1s", "nats-msg-id": "other", "NATS-EXPECTED-LAST-SEQUENCE": "99",
        "Nats-Expected-Last-Msg-Id": "x", "Nats-Schedule": "@every 1s", "walpost-position": "1:1:1:s:0/1:0",
        "Status": "503", "a\r\nNats-Rollup": "all", "b": "x\r\nNats-Rollup: all", "": "x", "ok": "yes"
    }"#;
    on_every_nats(async |server| {
        let mut publisher = Publisher::without_stream(server, "COMMANDS").await;
        let obliging =
            async_nats::jetstream::stream::Config { allow_rollup: true, allow_message_ttl: true, ..config("COMMANDS") };
        Box::pin(publisher.context.create_stream(obliging)).await.unwrap();
        assert_eq!(publisher.publish(Row { id: "1", ..Row::default() }, 1).await, Outcome::Stored { sequence: 1 });
        let built = publisher.build(Row { id: "2", headers: Some(commands), ..Row::default() }, 2).unwrap();
        assert_eq!(built.dropped_headers.total(), 11);
        assert_eq!(publisher.send(built, 2).await, Outcome::Stored { sequence: 2 });
        let stored = stored_messages(&publisher.context, "COMMANDS").await;
        let [before, message] = &stored[..] else { panic!("the broker obeyed: {stored:?}") };
        let mut expected = before.headers.clone();
        expected.insert("ok".to_owned(), vec!["yes".to_owned()]);
        expected.insert("Nats-Msg-Id".to_owned(), vec!["2".to_owned()]);
        for changing in ["Nats-Expected-Last-Sequence", "Walpost-Position"] {
            expected.insert(changing.to_owned(), message.headers[changing].clone());
        }
        assert_eq!(message.headers, expected);
    })
    .await;
}

#[tokio::test]
async fn the_largest_message_that_the_server_takes_is_sent_and_one_byte_more_is_not() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "LARGEST").await;
        let max = publisher.broker.max_payload_bytes();
        let headers = Some(r#"{"k": "v", "umlaut": "ü"}"#);
        let payload = vec![b'x'; max];
        let row = Row { payload: &payload, headers, ..Row::default() };
        let Err(MessageError::TooLarge { message_bytes, max_bytes }) = publisher.build(row, 1) else {
            panic!("a message of more than {max} bytes was made");
        };
        assert_eq!(max_bytes, max);
        let fits = &payload[message_bytes - max..];
        let one_more = &payload[message_bytes - max - 1..];
        let refused = publisher.build(Row { payload: one_more, ..row }, 1).unwrap_err();
        assert_eq!(refused, MessageError::TooLarge { message_bytes: max + 1, max_bytes });
        let outcome = publisher.publish(Row { payload: fits, ..row }, 1).await;
        assert_eq!(outcome, Outcome::Stored { sequence: 1 });
        // The connection is still there: the next one goes the same way.
        assert_eq!(publisher.publish(Row { id: "2", ..Row::default() }, 2).await, Outcome::Stored { sequence: 2 });
    })
    .await;
}
