//! One message after the other, and atomic batches. Both have one answer to what they wait for: a message, or a batch.

use async_nats::Message;

use super::{Lane, Source, id};

/// Each message waits for an answer of its own.
pub(super) async fn chain(lane: &mut Lane, source: &Source<'_>) {
    while lane.stored < source.messages {
        while lane.published < source.messages && lane.has_room() {
            lane.published += 1;
            let (subject, mut headers, body) = source.behind_last(lane.published);
            if lane.published > 1 {
                headers.insert("Nats-Expected-Last-Msg-Id", id(lane.published - 1));
            }
            let reply = format!("{}.{}", lane.inbox, lane.published);
            lane.client.publish_with_reply_and_headers(subject, reply, headers, body).await.unwrap();
        }
        lane.settle(|answer, stored| expect(answer, stored + 1)).await;
    }
}

/// Each batch waits for an answer; several are under way.
pub(super) async fn atomic(lane: &mut Lane, source: &Source<'_>, size: u64) {
    while lane.stored < source.messages {
        while lane.published < source.messages && lane.has_room() {
            let last = source.messages.min(lane.published + size);
            batch(lane, source, last).await;
        }
        lane.settle(|answer, stored| expect(answer, source.messages.min(stored + size))).await;
    }
}

/// Publishes all messages up to the one with the sequence `last` as one batch.
async fn batch(lane: &mut Lane, source: &Source<'_>, last: u64) {
    let (client, first) = (lane.client.clone(), lane.published + 1);
    let batch = first.to_string();
    for sequence in first..=last {
        // What is expected may be said in the first message alone, and there not by an id.
        let message = if sequence == first { source.behind_last(sequence) } else { source.message(sequence) };
        let (subject, mut headers, body) = message;
        headers.insert("Nats-Batch-Id", batch.as_str());
        headers.insert("Nats-Batch-Sequence", (sequence - first + 1).to_string());
        if sequence < last {
            client.publish_with_headers(subject, headers, body).await.unwrap();
        } else {
            headers.insert("Nats-Batch-Commit", "1");
            let reply = format!("{}.{batch}", lane.inbox);
            client.publish_with_reply_and_headers(subject, reply, headers, body).await.unwrap();
        }
    }
    lane.published = last;
}

/// Takes an answer that must be for the message with this sequence.
fn expect(answer: &Message, sequence: u64) -> u64 {
    let said = str::from_utf8(&answer.payload).unwrap();
    assert!(said.contains(&format!("\"seq\":{sequence}")), "message {sequence}: {said}");
    sequence
}
