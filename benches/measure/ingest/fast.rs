//! Fast ingest: one batch without end, whose answers tell up to which message all is stored.

use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Lane, PATIENCE, Source};

/// After how many messages an answer is asked for; the broker's own limit for one publisher.
const FLOW: u64 = 500;

/// What a message means for the batch.
#[derive(Clone, Copy)]
enum Step {
    Start = 0,
    Append = 1,
    Commit = 2,
}

/// The answers: that of the whole batch has no type.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "type")]
    kind: Option<String>,
    seq: Option<u64>,
    count: Option<u64>,
}

pub(super) async fn ingest(lane: &mut Lane, source: &Source<'_>) {
    publish(lane, source, Step::Start).await;
    // The broker takes nothing more before it has said that it has begun.
    let begun = timeout(PATIENCE, lane.answers.next()).await.expect("an answer in time").unwrap();
    let first: Answer = serde_json::from_slice(&begun.payload).unwrap();
    assert_eq!(first.kind.as_deref(), Some("ack"), "{:?}", begun.payload);
    while lane.stored < source.messages {
        while lane.published < source.messages && lane.has_room() {
            let is_last = lane.published + 1 == source.messages;
            publish(lane, source, if is_last { Step::Commit } else { Step::Append }).await;
        }
        lane.settle(|answer, stored| {
            let told: Answer = serde_json::from_slice(&answer.payload).unwrap();
            match (told.kind.as_deref(), told.seq, told.count) {
                (Some("ack"), Some(sequence), _) => sequence.max(stored),
                (None, _, Some(count)) => count,
                _ => panic!("message {stored}: {:?}", answer.payload),
            }
        })
        .await;
    }
}

async fn publish(lane: &mut Lane, source: &Source<'_>, step: Step) {
    lane.published += 1;
    let sequence = lane.published;
    let (subject, headers, body) = source.behind_last(sequence);
    let reply = format!("{}.batch.{FLOW}.fail.{sequence}.{}.$FI", lane.inbox, step as u8);
    lane.client.publish_with_reply_and_headers(subject, reply, headers, body).await.unwrap();
}
