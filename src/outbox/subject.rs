//! The subject of a message: a template filled with an event's values.
//!
//! Input: the operator's template and an event. Output: a valid subject under the template's literal prefix, whatever the
//! event holds, or the news that it would be too long.
//!
//! Each value is escaped by itself ([`super::escape_token`]), so two events share a subject only if their values are the
//! same, as long as each token holds at most one field; `{a}-{b}` in one token cannot be taken apart again.

use super::{
    Event, TemplateError,
    template::{self, Piece},
    token,
};
use std::{fmt, str::FromStr};

/// A template for subjects, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// As it was written.
    text: String,
    /// What it is made of; begins with a literal.
    pieces: Vec<Piece>,
    /// The literal beginning that dead letters have, with its dot.
    dead_letter_prefix: String,
}

impl Template {
    /// Reads a template such as `outbox.{aggregate_type}.{event_type}`.
    ///
    /// The fields are `id`, `aggregate_type`, `aggregate_id` and `event_type`; a token may mix them with literal text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let pieces = template::parse(text)?;
        let first_token = text.split('.').next().unwrap_or_default();
        Ok(Self { text: text.to_owned(), pieces, dead_letter_prefix: format!("{first_token}_dlq.") })
    }

    /// Appends the subject of an event; appends nothing if it is too long.
    #[inline]
    pub fn render(&self, event: &Event<'_>, out: &mut String) -> Result<(), SubjectError> {
        let start = out.len();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Field(field) => {
                    let value = field.of(event);
                    // Longer than that before escaping is too long after it: a huge value is not even looked at.
                    if value.len() > MAX_SUBJECT_BYTES {
                        out.truncate(start);
                        return Err(SubjectError);
                    }
                    token::escape_token(value, out);
                }
            }
        }
        if out.len() - start > MAX_SUBJECT_BYTES {
            out.truncate(start);
            return Err(SubjectError);
        }
        Ok(())
    }

    /// Appends the subject for a dead letter about an event of this aggregate type, if that is known.
    ///
    /// This always succeeds, being where everything else that fails goes: a type that is too long is cut.
    pub fn render_dead_letter(&self, aggregate_type: Option<&str>, out: &mut String) {
        out.push_str(&self.dead_letter_prefix);
        let room = MAX_SUBJECT_BYTES.saturating_sub(self.dead_letter_prefix.len());
        match aggregate_type {
            Some(aggregate_type) => token::escape_token_within(aggregate_type, room, out),
            None => out.push_str(token::UNKNOWN),
        }
    }

    /// What a stream must listen to in order to take every subject that this template gives: its wholly literal first
    /// tokens and `>`, or just itself if it has no field.
    pub fn stream_subjects(&self) -> String {
        match self.pieces.as_slice() {
            [Piece::Literal(literal), Piece::Field(_), ..] => {
                let (prefix, _mixed_token) = literal.rsplit_once('.').unwrap_or((literal, ""));
                format!("{prefix}.>")
            }
            _ => self.text.clone(),
        }
    }

    /// What a stream must listen to in order to take dead letters: the first token with `_dlq`, and `>`.
    pub fn dead_letter_subjects(&self) -> String {
        format!("{}>", self.dead_letter_prefix)
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A subject that would be longer than [`MAX_SUBJECT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subject would be longer than {MAX_SUBJECT_BYTES} bytes")]
pub struct SubjectError;

/// How long a subject may be, in bytes.
///
/// A server closes the connection at a protocol line longer than its `max_control_line`, 4,096 bytes unless configured
/// (<https://docs.nats.io/running-a-nats-service/configuration>), and that line also holds the reply subject and the sizes;
/// on the way to a consumer, an acknowledgement subject as well. A quarter leaves room for all that and for a server that
/// was configured with less.
pub const MAX_SUBJECT_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Text;
    use proptest::prelude::*;

    fn event<'a>(id: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, event_type: &'a str) -> Event<'a> {
        Event {
            id: Text::borrowed(id),
            aggregate_type: Text::borrowed(aggregate_type),
            aggregate_id: Text::borrowed(aggregate_id),
            event_type: Text::borrowed(event_type),
            ..Event::BLANK
        }
    }

    fn render(template: &str, event: &Event<'_>) -> Result<String, SubjectError> {
        let mut out = String::new();
        Template::parse(template).unwrap().render(event, &mut out).map(|()| out)
    }

    /// What the server takes as the subject of a message: tokens of visible characters, none a wildcard.
    fn is_valid(subject: &str) -> bool {
        subject
            .split('.')
            .all(|token| !token.is_empty() && token.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'*' && b != b'>'))
    }

    #[test]
    fn values_fill_the_template() {
        let event = event("7", "order", "42", "order.placed");
        for (template, subject) in [
            ("outbox.{aggregate_type}.{event_type}", "outbox.order.order%2Eplaced"),
            ("shop.v1.{aggregate_type}.{aggregate_id}.{id}", "shop.v1.order.42.7"),
            ("outbox.v1-{event_type}.end", "outbox.v1-order%2Eplaced.end"),
            ("all", "all"),
        ] {
            assert_eq!(render(template, &event).as_deref(), Ok(subject));
        }
    }

    #[test]
    fn data_cannot_leave_the_prefix_or_become_a_wildcard() {
        for hostile in [">", "*", "..", "$JS.API", "a b", "x\r\nPUB y 0\r\n", "\u{0}", "_INBOX.1", ""] {
            let subject = render("outbox.{aggregate_type}", &event("1", hostile, "2", "t")).unwrap();
            assert!(is_valid(&subject) && subject.starts_with("outbox."), "{subject}");
            assert_eq!(subject.split('.').count(), 2, "{subject}");
        }
    }

    #[test]
    fn streams_take_the_literal_prefix() {
        for (template, stream, dead) in [
            ("outbox.{aggregate_type}.{event_type}", "outbox.>", "outbox_dlq.>"),
            ("shop.v1.{id}", "shop.v1.>", "shop_dlq.>"),
            ("shop.v1-{id}.x", "shop.>", "shop_dlq.>"),
            ("shop.{id}.x.y", "shop.>", "shop_dlq.>"),
            ("shop.events", "shop.events", "shop_dlq.>"),
            ("all", "all", "all_dlq.>"),
        ] {
            let template = Template::parse(template).unwrap();
            assert_eq!((template.stream_subjects().as_str(), template.dead_letter_subjects().as_str()), (stream, dead));
        }
    }

    #[test]
    fn a_subject_of_1024_bytes_is_the_longest() {
        let prefix = "outbox.".len();
        let longest = "x".repeat(MAX_SUBJECT_BYTES - prefix);
        assert_eq!(render("outbox.{id}", &event(&longest, "", "", "")).map(|s| s.len()), Ok(MAX_SUBJECT_BYTES));
        for id in [format!("{longest}x"), ".".repeat(340), "x".repeat(1 << 20)] {
            let mut out = String::from("kept");
            let template = Template::parse("outbox.{id}").unwrap();
            assert_eq!(template.render(&event(&id, "", "", ""), &mut out), Err(SubjectError));
            assert_eq!(out, "kept");
        }
    }

    #[test]
    fn a_dead_letter_always_has_a_subject() {
        let template = Template::parse("outbox.{id}").unwrap();
        let long = ["x", "."].map(|text| text.repeat(5000));
        for (aggregate_type, len) in
            [(Some("order"), 16), (Some(""), 14), (None, 19), (Some(&*long[0]), 1024), (Some(&*long[1]), 1022)]
        {
            let mut out = String::new();
            template.render_dead_letter(aggregate_type, &mut out);
            assert!(is_valid(&out) && out.starts_with("outbox_dlq."), "{out}");
            assert_eq!(out.len(), len);
        }
    }

    proptest! {
        #[test]
        fn any_values_give_one_valid_subject_under_the_prefix(a: String, b: String, c: String, d: String) {
            let template = "outbox.{id}.{aggregate_type}.x{aggregate_id}x.{event_type}";
            if let Ok(subject) = render(template, &event(&a, &b, &c, &d)) {
                prop_assert!(is_valid(&subject), "{}", subject);
                prop_assert!(subject.starts_with("outbox."));
                prop_assert_eq!(subject.split('.').count(), 5);
            }
        }

        #[test]
        fn events_share_a_subject_only_if_they_share_the_values(
            a in "[^\0]{0,3}", b in "[^\0]{0,3}", c in "[^\0]{0,3}", d in "[^\0]{0,3}"
        ) {
            let one = render("o.{aggregate_type}.{event_type}", &event("", &a, "", &b)).unwrap();
            let two = render("o.{aggregate_type}.{event_type}", &event("", &c, "", &d)).unwrap();
            prop_assert_eq!(one == two, a == c && b == d);
        }

        #[test]
        fn any_text_is_a_template_or_an_error(text: String) {
            if let Ok(template) = Template::parse(&text) {
                let subject = render(&text, &event("a", "b", "c", "d")).unwrap();
                prop_assert!(is_valid(&subject));
                let stream = template.stream_subjects();
                let prefix = stream.strip_suffix('>').unwrap_or(&stream);
                prop_assert!(subject.starts_with(prefix));
            }
        }

        #[test]
        fn templates_of_likely_parts_give_valid_subjects(text in "([a-z$_.{}]|\\{id\\}|\\{event_type\\}){1,8}") {
            if Template::parse(&text).is_ok() {
                let subject = render(&text, &event(".", "b", "c", "")).unwrap();
                prop_assert!(is_valid(&subject));
            }
        }
    }
}
