//! Text from data, made safe to show in a log line or an error: printable ASCII, one line, at most 64 characters.
//!
//! A log reader must be able to trust that a line is one line and means what it seems to mean. So line breaks, terminal
//! escapes, bidirectional controls and look-alikes from other scripts are shown as escapes, never as themselves. This is
//! for ids and names; payloads and the values of headers are not shown at all.

use std::fmt::{self, Write as _};

/// Displays a text as printable ASCII of at most 64 characters; what is cut off is shown as `...`.
///
/// `\` and `"` are escaped too, so that the result can stand between quotes and different short texts look different.
#[derive(Clone, Copy)]
pub struct Traceable<'a>(pub &'a str);

/// How much is shown, in characters of the escaped form: enough for a UUID and a prefix, and no room for an essay.
const MAX_SHOWN: usize = 64;

/// What stands for the rest.
const CUT: &str = "...";

impl fmt::Display for Traceable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = *self;
        let fits = shown_len(text) <= MAX_SHOWN;
        let room = if fits { MAX_SHOWN } else { MAX_SHOWN - CUT.len() };
        let mut shown = 0;
        for c in text.chars() {
            shown += escape(c).count();
            if shown > room {
                break;
            }
            escape(c).try_for_each(|c| f.write_char(c))?;
        }
        if fits { Ok(()) } else { f.write_str(CUT) }
    }
}

impl fmt::Debug for Traceable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The length of the escaped form, counted no further than needed to know that it is too long.
fn shown_len(text: &str) -> usize {
    text.chars().take(MAX_SHOWN + 1).map(|c| escape(c).count()).sum()
}

/// One character as printable ASCII: itself, `\n` and the like, or `\u{...}`.
fn escape(c: char) -> std::char::EscapeDefault {
    c.escape_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_deceive_a_reader_is_shown_as_an_escape() {
        for (text, shown) in [
            ("order-42", "order-42"),
            ("", ""),
            ("a\r\nb", "a\\r\\nb"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("zażółć", "za\\u{17c}\\u{f3}\\u{142}\\u{107}"),
            ("say \"x\\y\"", "say \\\"x\\\\y\\\""),
        ] {
            assert_eq!(Traceable(text).to_string(), shown, "{text:?}");
        }
    }

    #[test]
    fn exactly_64_characters_are_shown_whole_and_one_more_is_cut() {
        assert_eq!(Traceable(&"x".repeat(64)).to_string(), "x".repeat(64));
        assert_eq!(Traceable(&"x".repeat(65)).to_string(), format!("{}...", "x".repeat(61)));
        assert_eq!(Traceable(&"\n".repeat(33)).to_string(), format!("{}...", "\\n".repeat(30)));
    }

    proptest! {
        #[test]
        fn any_text_is_shown_as_at_most_64_printable_ascii_characters(text: String) {
            let shown = Traceable(&text).to_string();
            prop_assert!(shown.len() <= 64);
            prop_assert!(shown.bytes().all(|b| matches!(b, b' '..=b'~')));
        }
    }
}
