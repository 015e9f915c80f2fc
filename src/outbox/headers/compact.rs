//! JSON on one line: blanks between tokens removed, everything else as it is.
//!
//! Works on the text, so that the order of keys and the digits of numbers stay, and without recursion, so that no depth
//! of nesting can exhaust the stack.

/// Appends a valid JSON text without the blanks between its tokens; gives up, with what fits already appended, once that
/// would be more than `limit` bytes. Says whether it fitted.
pub(super) fn compact(json: &str, limit: usize, out: &mut String) -> bool {
    let end = out.len().saturating_add(limit);
    let mut in_string = false;
    let mut is_escaped = false;
    for c in json.chars() {
        if in_string {
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
        } else if matches!(c, ' ' | '\t' | '\r' | '\n') {
            continue;
        } else {
            in_string = c == '"';
        }
        if out.len() + c.len_utf8() > end {
            return false;
        }
        out.push(c);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_go_from_between_tokens_and_stay_in_strings() {
        for (json, expected) in [
            ("{\"b\": 1.10, \"a\" : [ 1 ,\n\t2 ] }", "{\"b\":1.10,\"a\":[1,2]}"),
            (r#"{"a b": "c \" d \\", "e": " "}"#, r#"{"a b":"c \" d \\","e":" "}"#),
            (r#"["\\\" ", "x"]"#, r#"["\\\" ","x"]"#),
            ("[ ]", "[]"),
            ("1e400", "1e400"),
        ] {
            let mut out = String::new();
            assert!(compact(json, 100, &mut out));
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn the_limit_counts_what_is_written_not_what_is_read() {
        let mut out = String::from("x");
        assert!(compact("[1,     2]", 5, &mut out));
        assert_eq!(out, "x[1,2]");
        assert!(!compact("[1,2]", 4, &mut String::new()));
        assert!(!compact("\"ż\"", 3, &mut String::new()));
    }
}
