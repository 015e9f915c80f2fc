//! One request: the event's body, signed, and what is said beside it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{body::Body, client::Delivery, endpoint::Endpoint, event::Event, signature::signature_header};

/// The request of the `attempt`th attempt for an event of this stream, at this moment.
pub fn compose(endpoint: &Endpoint, event: &Event, stream: &str, attempt: u32, at: Timestamp) -> Delivery {
    let body = Body::make(event, endpoint.format, stream);
    let (id, timestamp) = (header_text(&event.id), at.as_second());
    let signature = signature_header(&endpoint.secrets, &id, timestamp, &body.bytes);
    let ours = [
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
        ("walpost-sequence", event.sequence.to_string()),
        ("walpost-attempt", attempt.to_string()),
        ("walpost-event-type", header_text(&event.event_type)),
        ("walpost-aggregate-type", header_text(&event.aggregate_type)),
        ("walpost-aggregate-id", header_text(&event.aggregate_id)),
    ];
    let mut headers: Vec<_> = ours.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    headers.extend(endpoint.headers.iter().map(|header| (header.name.clone(), header.value.clone())));
    Delivery { headers, content_type: body.content_type, body: body.bytes }
}

/// Any text as the value of a header: what is no visible ASCII is written as `%` and two digits for each byte, and so is `%`
/// itself. A blank inside stays as it is.
fn header_text(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    let mut value = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let is_inner_blank = byte == b' ' && at != 0 && at != last;
        if (byte.is_ascii_graphic() && byte != b'%') || is_inner_blank {
            value.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written: std::fmt::Result = write!(value, "%{byte:02X}");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays_and_the_rest_is_encoded() {
        assert_eq!(header_text("a125ab3e-cb0d-48ed-aa8b-f4da51de584d"), "a125ab3e-cb0d-48ed-aa8b-f4da51de584d");
        assert_eq!(header_text("order item"), "order item");
        assert_eq!(header_text(" Größe\r\n100% "), "%20Gr%C3%B6%C3%9Fe%0D%0A100%25%20");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_value_that_a_header_can_have_and_no_two_the_same(text: String, other: String) {
            prop_assert!(HeaderValue::from_str(&header_text(&text)).is_ok());
            prop_assert_eq!(header_text(&text) == header_text(&other), text == other);
        }
    }
}
