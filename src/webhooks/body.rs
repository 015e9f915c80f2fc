//! What a request carries: the event's bytes as they are, or in an envelope.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::event::Event;

/// How an event becomes a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// The payload, byte for byte.
    Raw,
    /// walpost's own envelope, which has everything that is known of the event.
    #[default]
    Envelope,
    /// CloudEvents 1.0 in its structured JSON form
    /// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
    CloudEvents,
}

/// A body and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Body {
    /// The body of `event`, the same each time that it is made. `stream` is where the event lies.
    pub fn make(event: &Event, format: BodyFormat, stream: &str) -> Self {
        let data = Data::of(&event.payload);
        match format {
            BodyFormat::Raw => Self { content_type: data.content_type(), bytes: event.payload.clone() },
            BodyFormat::Envelope => Self { content_type: JSON, bytes: to_json(&Envelope::of(event, &data)) },
            BodyFormat::CloudEvents => {
                Self { content_type: CLOUD_EVENT, bytes: to_json(&CloudEvent::of(event, &data, stream)) }
            }
        }
    }
}

/// JSON.
const JSON: &str = "application/json";
/// A CloudEvent in JSON.
const CLOUD_EVENT: &str = "application/cloudevents+json; charset=utf-8";
/// Anything.
const BYTES: &str = "application/octet-stream";

/// What the payload is.
enum Data<'a> {
    /// There is none.
    Nothing,
    /// JSON, which stands in an envelope as it is.
    Json(&'a RawValue),
    /// Something else, which stands there in base64.
    Other(String),
}

impl<'a> Data<'a> {
    fn of(payload: &'a [u8]) -> Self {
        if payload.is_empty() {
            return Self::Nothing;
        }
        match serde_json::from_slice(payload) {
            Ok(json) => Self::Json(json),
            Err(_) => Self::Other(STANDARD.encode(payload)),
        }
    }

    fn content_type(&self) -> &'static str {
        if matches!(self, Self::Json(_)) { JSON } else { BYTES }
    }

    fn json(&self) -> Option<&'a RawValue> {
        if let Self::Json(json) = self { Some(json) } else { None }
    }

    fn base64(&self) -> Option<&str> {
        if let Self::Other(text) = self { Some(text) } else { None }
    }
}

/// walpost's envelope: `type`, `timestamp` and `data` as Standard Webhooks has them, and the rest.
#[derive(Serialize)]
struct Envelope<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    sequence: u64,
    headers: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    fn of(event: &'a Event, data: &'a Data<'a>) -> Self {
        Self {
            id: &event.id,
            kind: &event.event_type,
            timestamp: event.created_at.as_deref(),
            aggregate_type: &event.aggregate_type,
            aggregate_id: &event.aggregate_id,
            sequence: event.sequence,
            headers: event.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect(),
            data: data.json(),
            data_base64: data.base64(),
        }
    }
}

/// A CloudEvent.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    sequence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<&'a str>,
}

impl<'a> CloudEvent<'a> {
    fn of(event: &'a Event, data: &'a Data<'a>, stream: &str) -> Self {
        let traceparent = event.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
        Self {
            specversion: "1.0",
            id: &event.id,
            source: source(stream, &event.aggregate_type),
            kind: &event.event_type,
            subject: &event.aggregate_id,
            time: event.created_at.as_deref(),
            // Sorts as text, as the sequence extension of CloudEvents has it.
            sequence: format!("{:020}", event.sequence),
            traceparent: traceparent.map(|(_, value)| value.as_str()),
            datacontenttype: (!matches!(data, Data::Nothing)).then(|| data.content_type()),
            data: data.json(),
            data_base64: data.base64(),
        }
    }
}

/// A reference that no two kinds of aggregates share.
fn source(stream: &str, aggregate_type: &str) -> String {
    let mut source = "/walpost".to_owned();
    for part in [stream, aggregate_type] {
        source.push('/');
        source.extend(url::form_urlencoded::byte_serialize(part.as_bytes()).map(|part| part.replace('+', "%20")));
    }
    source
}

/// The bytes of something that is made of text and numbers, which cannot fail.
fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event(payload: &[u8]) -> Event {
        Event {
            sequence: 7,
            subject: "outbox.order.OrderPlaced".to_owned(),
            id: "e1".to_owned(),
            aggregate_type: "order item".to_owned(),
            aggregate_id: "42".to_owned(),
            event_type: "OrderPlaced".to_owned(),
            created_at: Some("2026-11-24T01:22:46.005374Z".to_owned()),
            headers: vec![("traceparent".to_owned(), "00-1".to_owned())],
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn body(payload: &[u8], format: BodyFormat) -> Body {
        Body::make(&event(payload), format, "OUTBOX")
    }

    fn value(body: &Body) -> Value {
        serde_json::from_slice(&body.bytes).unwrap()
    }

    #[test]
    fn an_envelope_holds_what_is_known() {
        let made = body(br#"{"total": 1.10}"#, BodyFormat::Envelope);
        let text = str::from_utf8(&made.bytes).unwrap();
        // Not 1.1: the payload stands there as it was written.
        assert_eq!(
            text,
            r#"{"id":"e1","type":"OrderPlaced","timestamp":"2026-11-24T01:22:46.005374Z","aggregate_type":"order item","aggregate_id":"42","sequence":7,"headers":{"traceparent":"00-1"},"data":{"total": 1.10}}"#
        );
        assert_eq!(made.content_type, "application/json");
    }

    #[test]
    fn a_cloud_event_has_its_attributes() {
        let made = body(b"[1]", BodyFormat::CloudEvents);
        let expected = json!({
            "specversion": "1.0", "id": "e1", "source": "/walpost/OUTBOX/order%20item", "type": "OrderPlaced",
            "subject": "42", "time": "2026-11-24T01:22:46.005374Z", "sequence": "00000000000000000007",
            "traceparent": "00-1", "datacontenttype": "application/json", "data": [1],
        });
        assert_eq!(value(&made), expected);
        assert!(made.content_type.starts_with("application/cloudevents+json"));
    }

    #[test]
    fn what_is_not_json_is_told_apart() {
        let made = value(&body(b"\xff\x00", BodyFormat::Envelope));
        assert_eq!((made["data_base64"].as_str(), made.get("data")), (Some("/wA="), None));
        let made = value(&body(b"\xff\x00", BodyFormat::CloudEvents));
        assert_eq!(made["datacontenttype"], "application/octet-stream");
        let nothing = value(&body(b"", BodyFormat::CloudEvents));
        assert_eq!(
            (nothing.get("data"), nothing.get("data_base64"), nothing.get("datacontenttype")),
            (None, None, None)
        );
        assert_eq!(body(b"\xff", BodyFormat::Raw).content_type, "application/octet-stream");
        assert_eq!(body(b"{}", BodyFormat::Raw).content_type, "application/json");
    }

    proptest! {
        #[test]
        fn any_payload_gives_valid_json_that_holds_it(payload: Vec<u8>) {
            for format in [BodyFormat::Envelope, BodyFormat::CloudEvents] {
                let made = value(&body(&payload, format));
                let base64 = made.get("data_base64").and_then(Value::as_str);
                let held = base64.map(|text| STANDARD.decode(text).unwrap());
                let is_json = serde_json::from_slice::<Value>(&payload).is_ok();
                prop_assert!(is_json || payload.is_empty() || held == Some(payload.clone()));
            }
            prop_assert_eq!(&body(&payload, BodyFormat::Raw).bytes[..], &payload[..]);
        }
    }

    #[test]
    fn a_payload_of_any_depth_is_passed_through() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        let made = body(&deep, BodyFormat::Envelope);
        assert!(made.bytes.windows(deep.len()).any(|window| window == deep));
    }
}
