//! One request: the event's body, signed, and what is said beside it.

use jiff::Timestamp;

use super::{body::Body, client::Delivery, endpoint::Endpoint, event::Event, signature::signature_header};

/// The request of the `attempt`th attempt for an event of this stream, at this moment.
pub fn compose(endpoint: &Endpoint, event: &Event, stream: &str, attempt: u32, at: Timestamp) -> Delivery {
    let body = Body::make(event, endpoint.format, stream);
    let timestamp = at.as_second();
    let ours = [
        ("webhook-id", event.id.clone()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature_header(&endpoint.secrets, &event.id, timestamp, &body.bytes)),
        ("walpost-sequence", event.sequence.to_string()),
        ("walpost-attempt", attempt.to_string()),
        ("walpost-event-type", event.event_type.clone()),
        ("walpost-aggregate-type", event.aggregate_type.clone()),
        ("walpost-aggregate-id", event.aggregate_id.clone()),
    ];
    let mut headers: Vec<_> = ours.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    headers.extend(endpoint.headers.iter().map(|header| (header.name.clone(), header.value.clone())));
    Delivery { headers, content_type: body.content_type, body: body.bytes }
}
