//! Values that an application might record, each with what the contract makes of it.

use super::chance::Chance;

/// A value of a type column, and the one subject token that it must become.
pub(crate) const TYPES: [(&str, &str); 7] = [
    ("order", "order"),
    ("Order.Created", "Order%2ECreated"),
    ("a b", "a%20b"),
    ("żółw", "%C5%BC%C3%B3%C5%82w"),
    ("*>", "%2A%3E"),
    ("100%", "100%25"),
    ("_-/:$#", "_-/:$#"),
];

/// A value of the headers column, and the headers that must come of it.
pub(crate) type Headers = (&'static str, &'static [(&'static str, &'static str)]);

/// Headers as applications send them, and as somebody with ill intent might.
pub(crate) const HEADERS: [Headers; 7] = [
    ("{}", &[]),
    (
        r#"{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "correlation-id": "c-17"}"#,
        &[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("correlation-id", "c-17")],
    ),
    (
        r#"{"Nats-Rollup": "all", "nats-msg-id": "x", "WALPOST-Position": "y", "Nats-TTL": "1s", "kept": "yes"}"#,
        &[("kept", "yes")],
    ),
    (r#"{"evil": "a\r\nNats-Rollup: all", "a\r\nb": "c", "a: b": "c", "good": "1"}"#, &[("good", "1")]),
    (
        r#"{"number": 1.50, "object": {"b": [1, 2], "a": "x y"}, "flag": true, "nothing": null, "list": []}"#,
        &[("number", "1.50"), ("object", r#"{"a":"x y","b":[1,2]}"#), ("flag", "true"), ("list", "[]")],
    ),
    (r#"{"name": "zażółć 🐢", "empty": ""}"#, &[("name", "zażółć 🐢"), ("empty", "")]),
    (r#"[1, 2]"#, &[]),
];

/// JSON whose text form is easily damaged by whoever parses it on the way: digits, order, escapes, blanks.
const DOCUMENTS: [&str; 11] = [
    r#"{}"#,
    r#"null"#,
    r#"true"#,
    r#"-0"#,
    r#"1.10"#,
    r#"{"big": 123456789012345678901234567890.120000000000, "small": 1e-30, "huge": 1E30, "precise": 0.1}"#,
    r#"{"name": "zażółć gęślą jaźń 🐢 \u0001\u001f\" \\ / \n", "ключ": "значение", "": ""}"#,
    r#"{"z": {"y": [{"x": [[[]]]}, {}, [], null, "deep"]}, "a": 1}"#,
    r#""text alone""#,
    r#"[1, "2", {"3": 4}]"#,
    r#"{"lines": "a\r\nb\tc", "looks_like_a_header": "\r\nNats-Rollup: all\r\n\r\n"}"#,
];

/// How large a large payload is.
const LARGE_BYTES: usize = 200 * 1024;

/// A payload: JSON, or none.
pub(crate) fn payload(chance: &mut Chance) -> Option<String> {
    match chance.below(40) {
        0 => Some(format!(r#"{{"large": "{}"}}"#, "x".repeat(LARGE_BYTES))),
        1..4 => None,
        4..20 => Some(chance.one_of(&DOCUMENTS).to_string()),
        _ => Some(format!(r#"{{"number": {}, "text": "event"}}"#, chance.below(u64::MAX))),
    }
}
