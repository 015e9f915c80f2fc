//! What a dead letter is held against.

use serde_json::Value;

use crate::stream::Stored;

/// The reason that a dead letter gives; none for an event.
pub(crate) fn reason(message: &Stored) -> Option<&str> {
    message.headers.get("Walpost-Dead-Letter").map(String::as_str)
}

/// The record in a dead letter, which must agree with its headers and be small.
pub(crate) fn record(message: &Stored) -> Value {
    let record: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(record["reason"].as_str(), reason(message));
    assert_eq!(record["position"], message.header("Walpost-Position"));
    assert!(message.subject.starts_with("outbox_dlq."), "{}", message.subject);
    assert_eq!(message.header("Nats-Expected-Last-Sequence"), (message.sequence - 1).to_string());
    assert!(size(message) <= 8192, "{} bytes", size(message));
    record
}

/// What a message has on the wire, in bytes: the frame of the headers, their lines, the body.
pub(crate) fn size(message: &Stored) -> u64 {
    let lines: usize = message.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    (12 + lines + message.body.len()) as u64
}
