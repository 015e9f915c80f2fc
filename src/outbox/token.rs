//! Any text as exactly one token of a NATS subject, and back.
//!
//! A subject is tokens with dots between them; `*` and `>` are wildcards, and blanks and control characters end a
//! protocol line (<https://docs.nats.io/nats-concepts/subjects>). So visible ASCII other than `.`, `*`, `>` and `%` stands
//! for itself, and each other byte is written as `%` and two upper-case hexadecimal digits. The empty text would be no
//! token at all; it is written as `%00`, which no other text from Postgres gives, because its text has no NUL.

use super::bytea::hex_digit;

/// Appends the token for a value: at least one byte, at most three for each byte of the value.
pub fn escape_token(value: &str, out: &mut String) {
    if value.is_empty() {
        out.push_str(EMPTY);
        return;
    }
    let mut rest = value;
    loop {
        let plain = rest.bytes().take_while(|byte| is_plain(*byte)).count();
        let (run, after) = rest.split_at(plain);
        out.push_str(run);
        let special = after.bytes().take_while(|byte| !is_plain(*byte)).count();
        let (run, after) = after.split_at(special);
        run.bytes().for_each(|byte| push_escape(byte, out));
        if after.is_empty() {
            return;
        }
        rest = after;
    }
}

/// Appends as much of the token for a value as fits in `room` bytes, without cutting an escape.
pub(super) fn escape_token_within(value: &str, room: usize, out: &mut String) {
    let end = out.len().saturating_add(room);
    if value.is_empty() {
        out.push_str(EMPTY);
    }
    for byte in value.bytes() {
        let width = if is_plain(byte) { 1 } else { 3 };
        if out.len() + width > end {
            return;
        }
        if is_plain(byte) { out.push(char::from(byte)) } else { push_escape(byte, out) }
    }
}

/// The value that gives this token; `None` if none does.
pub fn unescape_token(token: &str) -> Option<String> {
    if token == EMPTY {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
                after
            }
            (plain, after) => {
                bytes.push(*plain);
                after
            }
        };
    }
    let value = String::from_utf8(bytes).ok()?;
    // Lower-case digits, and escapes of what needs none, are not how a token is written.
    let mut again = String::with_capacity(token.len());
    escape_token(&value, &mut again);
    (again == token).then_some(value)
}

/// Whether a byte stands for itself in a token.
pub(super) const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'.' | b'*' | b'>' | b'%')
}

/// Appends `%XX`.
fn push_escape(byte: u8, out: &mut String) {
    out.push('%');
    out.push(upper_hex(byte >> 4));
    out.push(upper_hex(byte & 0xF));
}

/// The digit for 0 to 15.
fn upper_hex(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 })
}

/// The token for the empty text.
const EMPTY: &str = "%00";

/// The token for a text that is not known. No text gives it: in a token, two hexadecimal digits follow each `%`.
pub(super) const UNKNOWN: &str = "%unknown";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(value: &str) -> String {
        let mut out = String::new();
        escape_token(value, &mut out);
        out
    }

    #[test]
    fn plain_text_passes_and_the_rest_is_escaped_byte_by_byte() {
        for (value, token) in [
            ("order", "order"),
            ("Order_42-a/b:c$d~!", "Order_42-a/b:c$d~!"),
            ("", "%00"),
            (".", "%2E"),
            ("a.b", "a%2Eb"),
            ("*", "%2A"),
            (">", "%3E"),
            ("100%", "100%25"),
            ("%00", "%2500"),
            ("a b\tc\r\n", "a%20b%09c%0D%0A"),
            ("\u{7f}", "%7F"),
            ("ż", "%C5%BC"),
            ("é.x", "%C3%A9%2Ex"),
        ] {
            assert_eq!(escaped(value), token, "{value:?}");
        }
    }

    #[test]
    fn what_was_not_escaped_here_is_not_unescaped() {
        for token in [UNKNOWN, "", "%", "%4", "%zz", "a.b", "a b", "%2e", "%41", "%FF", "%00%00x%0", "x*", ">"] {
            assert_eq!(unescape_token(token), None, "{token}");
        }
    }

    #[test]
    fn a_cut_token_ends_between_escapes() {
        for (room, token) in [(0, ""), (1, "a"), (3, "a"), (4, "a%2E"), (5, "a%2Eb"), (99, "a%2Eb")] {
            let mut out = String::from("x.");
            escape_token_within("a.b", room, &mut out);
            assert_eq!(out, format!("x.{token}"));
        }
    }

    proptest! {
        #[test]
        fn any_value_gives_exactly_one_valid_token(value: String) {
            let token = escaped(&value);
            prop_assert!(!token.is_empty());
            prop_assert!(token.bytes().all(|b| matches!(b, b'!'..=b'~') && !matches!(b, b'.' | b'*' | b'>')), "{token}");
        }

        #[test]
        fn a_token_gives_its_value_back(value in "[^\0]*") {
            prop_assert_eq!(unescape_token(&escaped(&value)), Some(value));
        }

        #[test]
        fn two_values_never_share_a_token(a in "[^\0]{0,3}", b in "[^\0]{0,3}") {
            prop_assert_eq!(escaped(&a) == escaped(&b), a == b);
        }

        #[test]
        fn any_token_is_unescaped_or_refused(token: String) {
            if let Some(value) = unescape_token(&token) {
                prop_assert_eq!(escaped(&value), token);
            }
        }
    }
}
