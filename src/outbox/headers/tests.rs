//! Tests of what reaches the sink, and of what is reported instead.

use super::*;
use DropReason as R;
use proptest::prelude::*;

/// The headers that reach the sink, and the report.
fn sift(json: impl AsRef<[u8]>) -> (Vec<(String, String)>, Dropped) {
    let mut passed = Vec::new();
    let dropped = for_each_header(json.as_ref(), |name, value| {
        passed.push((name.as_str().to_owned(), value.as_str().to_owned()));
    });
    (passed, dropped)
}

fn reasons(dropped: &Dropped) -> Vec<(R, u32)> {
    dropped.iter().collect()
}

#[test]
fn strings_pass_as_they_are_and_other_values_as_compact_json() {
    let json = r#"{"traceparent": "00-ab-cd-01", "escaped": "a\"b\\c\u017c", "n": 1.10, "big": 12345678901234567890123,
                   "yes": true, "list": [1, "a b", null], "object": {"z": 1, "a": {"k" : []}}, "empty": ""}"#;
    let (passed, dropped) = sift(json);
    let expected = [
        ("traceparent", "00-ab-cd-01"),
        ("escaped", "a\"b\\cż"),
        ("n", "1.10"),
        ("big", "12345678901234567890123"),
        ("yes", "true"),
        ("list", r#"[1,"a b",null]"#),
        ("object", r#"{"z":1,"a":{"k":[]}}"#),
        ("empty", ""),
    ];
    assert_eq!(passed, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(dropped.is_empty() && dropped.total() == 0 && dropped.first().is_none());
}

#[test]
fn null_means_that_there_is_no_header() {
    for json in ["null", "{}", " { } ", r#"{"a": null}"#, r#"{"Nats-Rollup": null}"#] {
        let (passed, dropped) = sift(json);
        assert!(passed.is_empty() && dropped.is_empty(), "{json}");
    }
}

#[test]
fn a_repeated_key_gives_a_header_each_time() {
    let (passed, _) = sift(r#"{"a": "1", "b": "2", "a": "3"}"#);
    assert_eq!(passed.iter().map(|(name, value)| format!("{name}{value}")).collect::<Vec<_>>(), ["a1", "b2", "a3"]);
}

#[test]
fn bad_headers_are_counted_by_reason_and_good_ones_pass() {
    let json = r#"{"ok": "1", "nats-ttl": "1s", "Walpost-Position": "x", "a\nb": "v", "c": "x\r\nNats-Rollup: all",
                   "d": "Nats-Msg-Id", "e": " x", "f": "\ud800", "ok2": "2"}"#;
    let (passed, dropped) = sift(json);
    assert_eq!(passed.len(), 2);
    assert_eq!(
        reasons(&dropped),
        [
            (R::Reserved, 2),
            (R::BrokerName, 1),
            (R::InvalidName, 1),
            (R::ControlCharacter, 1),
            (R::EdgeBlank, 1),
            (R::Malformed, 1)
        ]
    );
    assert_eq!((dropped.total(), dropped.first()), (7, Some((R::Reserved, "nats-ttl"))));
}

#[test]
fn the_report_shows_a_safe_name_and_no_value() {
    let name = format!("\u{1b}[31m{}", "x".repeat(1 << 20));
    let (_, dropped) = sift(serde_json::json!({ name: "canary" }).to_string());
    let (reason, shown) = dropped.first().unwrap();
    assert_eq!(reason, R::InvalidName);
    assert!(shown.starts_with("\\u{1b}[31mxxx") && shown.len() == 64, "{shown}");
    assert!(!format!("{dropped:?}").contains("canary"));
}

#[test]
fn what_is_no_object_gives_nothing() {
    for json in ["[]", "[{\"a\": 1}]", "1", "\"a\"", "true", "-0.5e3"] {
        let (passed, dropped) = sift(json);
        assert!(passed.is_empty());
        assert_eq!(reasons(&dropped), [(R::NotAnObject, 1)], "{json}");
        assert_eq!(dropped.first(), Some((R::NotAnObject, "")));
    }
}

#[test]
fn what_is_no_json_gives_what_came_before_it() {
    for (json, count) in [
        (&b""[..], 0),
        (b"x", 0),
        (b"{", 0),
        (b"{\"a\": \"1\"", 1),
        (b"{\"a\": \"1\", }", 1),
        (b"{\"a\": \"1\"} {", 1),
        (b"{\"a\": \"1\", \"b\": \"\xFF\"}", 1),
        (b"{\"a\": \"1\", \"\xFF\": 1}", 1),
        (b"{\"a\": \"1\", \"b\": [1}}", 1),
        (b"{\"a\": \"1\", \"\\ud800\": 1}", 1),
        (b"{'a': 1}", 0),
        (b"\xEF\xBB\xBF{}", 0),
    ] {
        let (passed, dropped) = sift(json);
        assert_eq!((passed.len(), reasons(&dropped)), (count, vec![(R::Malformed, 1)]), "{:?}", json.escape_ascii());
    }
}

#[test]
fn nesting_of_any_depth_is_read_without_recursion() {
    let deep = |depth: usize| format!("{{\"a\": {}{}}}", "[ ".repeat(depth), "]".repeat(depth));
    let (passed, _) = sift(deep(8_192));
    assert_eq!(passed[0].1.len(), MAX_VALUE_BYTES);
    assert_eq!(reasons(&sift(deep(8_193)).1), [(R::TooLarge, 1)]);
    assert_eq!(reasons(&sift(deep(1 << 20)).1), [(R::TooLarge, 1)]);
    assert_eq!(reasons(&sift(format!("{{\"a\": {}", "[".repeat(1 << 20))).1), [(R::Malformed, 1)]);
    assert_eq!(reasons(&sift("[".repeat(1 << 20)).1), [(R::NotAnObject, 1)]);
}

#[test]
fn count_and_size_have_bounds() {
    let many: serde_json::Map<_, _> = (0..70).map(|n| (format!("h{n}"), "v".into())).collect();
    let (passed, dropped) = sift(serde_json::Value::Object(many).to_string());
    assert_eq!((passed.len(), reasons(&dropped)), (MAX_HEADERS, vec![(R::TooMany, 6)]));

    let big = "x".repeat(MAX_VALUE_BYTES);
    let json = serde_json::json!({ "a": big, "b": big, "c": format!("{big}x"), "d": "small" }).to_string();
    let (passed, dropped) = sift(json);
    assert_eq!(passed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(reasons(&dropped), [(R::TooLarge, 2)]);

    let escaped = format!("{{\"a\": \"{}\"}}", "\\u0041".repeat(MAX_VALUE_BYTES));
    assert_eq!(sift(escaped).0[0].1.len(), MAX_VALUE_BYTES);
    let escaped = format!("{{\"a\": \"{}\"}}", "\\u0041".repeat(MAX_VALUE_BYTES + 1));
    assert_eq!(reasons(&sift(escaped).1), [(R::TooLarge, 1)]);
}

/// Whether a header could do nothing but inform its consumer; written apart from the rules on purpose.
fn is_harmless(name: &str, value: &str) -> bool {
    let line = format!("{name}: {value}");
    let lower = name.to_ascii_lowercase();
    let one_line = !line.chars().any(char::is_control) && !name.contains([':', ' ']) && name.is_ascii();
    let not_reserved = !lower.starts_with("nats-") && !lower.starts_with("walpost-") && !name.is_empty();
    one_line && not_reserved && value.trim() == value && !line.contains("Nats-Msg-Id") && !line.contains("Nats-Rollup")
}

/// Text in which dangerous pieces are likely.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Nats-".to_owned()),
        Just("nats-".to_owned()),
        Just("Walpost-".to_owned()),
        Just("Msg-Id".to_owned()),
        Just("Rollup".to_owned()),
        Just("\r\n".to_owned()),
        Just(":".to_owned()),
        Just(" ".to_owned()),
        Just("\0".to_owned()),
        Just("\u{85}".to_owned()),
        "[a-z]{0,3}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// JSON of all kinds, a few levels deep.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        hostile_text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((hostile_text(), inner), 0..4)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_give_a_harmful_header(bytes: Vec<u8>) {
        for (name, value) in sift(&bytes).0 {
            prop_assert!(is_harmless(&name, &value));
        }
    }

    #[test]
    fn no_object_gives_a_harmful_header_and_every_entry_is_accounted_for(
        entries in prop::collection::vec((hostile_text(), any_json()), 0..6), is_pretty: bool
    ) {
        let object: serde_json::Map<_, _> = entries.into_iter().collect();
        let expected = object.values().filter(|value| !value.is_null()).count();
        let json = if is_pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
        let (passed, dropped) = sift(json.unwrap());
        prop_assert_eq!(passed.len() + usize::try_from(dropped.total()).unwrap(), expected);
        for (name, value) in passed {
            prop_assert!(is_harmless(&name, &value), "{name:?}: {value:?}");
            let source = object.get(&name).unwrap();
            match source.as_str() {
                Some(text) => prop_assert_eq!(text, value),
                None => prop_assert_eq!(source.to_string(), value),
            }
        }
    }

    #[test]
    fn cutting_the_text_anywhere_never_harms(cut in 0_usize..200) {
        let json = r#"{"a": "x\u0041\n", "b": {"c": [1, "zażółć"], "d": null}, "Nats-X": "1", "e": -1.5e-7, "f": true}"#;
        let (passed, _) = sift(json.as_bytes().get(..cut).unwrap_or(json.as_bytes()));
        for (name, value) in passed {
            prop_assert!(is_harmless(&name, &value));
        }
    }
}
