//! `bytea` in its text form, back to bytes.
//!
//! The session's `bytea_output` chooses between two forms, told apart by how they begin: `\x` and two hexadecimal digits
//! a byte, or the bytes themselves with `\\` for a backslash and `\ooo`, in octal, for what is not printable
//! (<https://www.postgresql.org/docs/current/datatype-binary.html>). The binary form needs none of this.

use std::borrow::Cow;

/// Decodes either form; `None` if the text is neither. Borrows when nothing is escaped.
pub(super) fn decode(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    match text.strip_prefix(b"\\x") {
        Some(hex) => decode_hex(hex).map(Cow::Owned),
        None if text.contains(&b'\\') => decode_escapes(text).map(Cow::Owned),
        None => Some(Cow::Borrowed(text)),
    }
}

/// Two digits a byte.
fn decode_hex(hex: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = hex.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(hex_digit(*high)? << 4 | hex_digit(*low)?)).collect()
}

/// The value of one hexadecimal digit.
pub(super) const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Bytes with backslash escapes.
fn decode_escapes(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                after
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            (b'\\', _) => return None,
            (plain, after) => {
                bytes.push(*plain);
                after
            }
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_output_forms_are_read() {
        for (text, bytes) in [
            (r"\x", &b""[..]),
            (r"\x00ff10", b"\x00\xff\x10"),
            (r"\xDEADbeef", b"\xde\xad\xbe\xef"),
            ("", b""),
            ("plain", b"plain"),
            (r"a\\b", br"a\b"),
            (r"\000\377", b"\x00\xff"),
            (r"\\x41", br"\x41"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_the_server_never_prints_is_refused() {
        for text in [r"\x0", r"\x0g", r"\x 0", r"a\", r"\4", r"\400", r"\08x", r"\x\x"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_from_hexadecimal(bytes: Vec<u8>) {
            let mut text = String::from("\\x");
            for byte in &bytes {
                text.push_str(&format!("{byte:02x}"));
            }
            let decoded = decode(text.as_bytes());
            prop_assert_eq!(decoded.as_deref(), Some(&bytes[..]));
        }

        #[test]
        fn any_text_gives_bytes_or_a_refusal(text: Vec<u8>) {
            let _decoded = decode(&text);
        }
    }
}
