//! The subject template as an operator writes it, taken apart.
//!
//! `outbox.{aggregate_type}.{event_type}`: literal characters, and fields in braces. It must begin with a wholly literal
//! token, so that whatever a row holds, its subject stays below a prefix that the operator chose.

use super::{Event, Traceable, token};

/// A part of the event that a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// `{id}`
    Id,
    /// `{aggregate_type}`
    AggregateType,
    /// `{aggregate_id}`
    AggregateId,
    /// `{event_type}`
    EventType,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Characters as they are, dots included; never empty, and never next to another literal.
    Literal(String),
    /// A value, escaped.
    Field(Field),
}

impl Field {
    /// All of them, by the names they have in a template.
    const ALL: [(&str, Self); 4] = [
        ("id", Self::Id),
        ("aggregate_type", Self::AggregateType),
        ("aggregate_id", Self::AggregateId),
        ("event_type", Self::EventType),
    ];

    /// The field's value in an event.
    #[inline]
    pub(super) fn of<'e>(self, event: &'e Event<'_>) -> &'e str {
        match self {
            Self::Id => &event.id,
            Self::AggregateType => &event.aggregate_type,
            Self::AggregateId => &event.aggregate_id,
            Self::EventType => &event.event_type,
        }
    }
}

/// Takes a template apart.
///
/// The first piece is a literal that holds a whole token: it has a dot in it or is the only piece.
pub(super) fn parse(text: &str) -> Result<Vec<Piece>, TemplateError> {
    if text.is_empty() {
        return Err(TemplateError::Empty);
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut token_is_empty = true;
    let mut chars = text.chars().zip(1..);
    while let Some((c, at)) = chars.next() {
        match c {
            '{' => {
                let field = field(&mut chars, at)?;
                if pieces.is_empty() && !literal.contains('.') {
                    return Err(TemplateError::StartsWithData);
                }
                flush(&mut literal, &mut pieces);
                pieces.push(Piece::Field(field));
                token_is_empty = false;
            }
            '.' if token_is_empty => return Err(TemplateError::EmptyToken { at }),
            '.' => {
                literal.push('.');
                token_is_empty = true;
            }
            c if is_literal(c) => {
                literal.push(c);
                token_is_empty = false;
            }
            found => return Err(TemplateError::Forbidden { at, found }),
        }
    }
    if token_is_empty {
        return Err(TemplateError::EmptyToken { at: text.chars().count() });
    }
    flush(&mut literal, &mut pieces);
    check_literals(text, &pieces)?;
    Ok(pieces)
}

/// Reads a field's name, from after its opening brace at `opened` to its closing one.
fn field(chars: &mut impl Iterator<Item = (char, usize)>, opened: usize) -> Result<Field, TemplateError> {
    let mut name = String::new();
    loop {
        match chars.next() {
            Some(('}', _)) => break,
            Some(('{', _)) | None => return Err(TemplateError::Unclosed { at: opened }),
            Some((c, _)) => name.push(c),
        }
    }
    let known = Field::ALL.into_iter().find(|(known, _)| *known == name);
    known
        .map(|(_, field)| field)
        .ok_or_else(|| TemplateError::UnknownField { at: opened, name: Traceable(&name).to_string() })
}

/// Moves the literal read so far into a piece of its own.
fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal)));
    }
}

/// Checks what is true of the literals as a whole.
fn check_literals(text: &str, pieces: &[Piece]) -> Result<(), TemplateError> {
    if text.starts_with('$') || text.starts_with(INBOX) {
        return Err(TemplateError::Reserved);
    }
    let literal_bytes = pieces.iter().map(|piece| match piece {
        Piece::Literal(literal) => literal.len(),
        Piece::Field(_) => 0,
    });
    if literal_bytes.sum::<usize>() > MAX_LITERAL_BYTES {
        return Err(TemplateError::TooLong);
    }
    Ok(())
}

/// Whether a character may stand in a template outside braces, dots aside: what a token shows as itself, braces excepted.
fn is_literal(c: char) -> bool {
    u8::try_from(c).is_ok_and(|byte| token::is_plain(byte) && !matches!(byte, b'{' | b'}'))
}

/// A template that cannot give valid subjects. Positions count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing.
    #[error("a subject template is empty")]
    Empty,
    /// Nothing between two dots, before the first or after the last.
    #[error("empty token at the dot in position {at} (a subject is names with one dot between them)")]
    EmptyToken {
        /// Where the dot is.
        at: usize,
    },
    /// A character that no literal may hold.
    #[error("{found:?} in position {at} is not allowed (visible ASCII except * > % and single braces is)")]
    Forbidden {
        /// Where it is.
        at: usize,
        /// What it is.
        found: char,
    },
    /// A brace that is not closed before the next one or the end.
    #[error("the brace in position {at} is not closed")]
    Unclosed {
        /// Where it is.
        at: usize,
    },
    /// Braces around something else.
    #[error("unknown field {{{name}}} in position {at} (known: id, aggregate_type, aggregate_id, event_type)")]
    UnknownField {
        /// Where its brace is.
        at: usize,
        /// What stands in the braces, escaped and cut.
        name: String,
    },
    /// The first token comes from data, so subjects would have no common prefix.
    #[error("the first token must be literal text (for example outbox in outbox.{{aggregate_type}})")]
    StartsWithData,
    /// The server's own subjects.
    #[error("subjects that begin with $ or _INBOX belong to the NATS server")]
    Reserved,
    /// Too much literal text.
    #[error("a subject template has at most {MAX_LITERAL_BYTES} bytes of literal text")]
    TooLong,
}

/// The prefix of reply subjects.
const INBOX: &str = "_INBOX";

/// How much literal text a template may have, in bytes: a quarter of [`super::MAX_SUBJECT_BYTES`], the rest is for data.
pub const MAX_LITERAL_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_fields_are_told_apart() {
        let literal = |text: &str| Piece::Literal(text.into());
        assert_eq!(
            parse("outbox.{aggregate_type}.v1-{event_type}").unwrap(),
            [literal("outbox."), Piece::Field(Field::AggregateType), literal(".v1-"), Piece::Field(Field::EventType)]
        );
        assert_eq!(parse("events").unwrap(), [literal("events")]);
        assert_eq!(
            parse("a.{id}{aggregate_id}").unwrap(),
            [literal("a."), Piece::Field(Field::Id), Piece::Field(Field::AggregateId)]
        );
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        use TemplateError as E;
        for (text, expected) in [
            ("", E::Empty),
            (".", E::EmptyToken { at: 1 }),
            (".a", E::EmptyToken { at: 1 }),
            ("a..b", E::EmptyToken { at: 3 }),
            ("a.", E::EmptyToken { at: 2 }),
            ("a.*", E::Forbidden { at: 3, found: '*' }),
            ("a.>", E::Forbidden { at: 3, found: '>' }),
            ("a b", E::Forbidden { at: 2, found: ' ' }),
            ("a.b\r\n", E::Forbidden { at: 4, found: '\r' }),
            ("a%41", E::Forbidden { at: 2, found: '%' }),
            ("aż", E::Forbidden { at: 2, found: 'ż' }),
            ("a.b}", E::Forbidden { at: 4, found: '}' }),
            ("a.{id", E::Unclosed { at: 3 }),
            ("a.{{id}}", E::Unclosed { at: 3 }),
            ("a.{}", E::UnknownField { at: 3, name: String::new() }),
            ("a.{Id}", E::UnknownField { at: 3, name: "Id".into() }),
            ("a.{x\n}", E::UnknownField { at: 3, name: "x\\n".into() }),
            ("{id}", E::StartsWithData),
            ("a{id}.b", E::StartsWithData),
            ("$JS.API.{id}", E::Reserved),
            ("$SYS", E::Reserved),
            ("_INBOX.{id}", E::Reserved),
            ("_INBOXES", E::Reserved),
        ] {
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
        assert!(parse(&"x".repeat(256)).is_ok());
        assert_eq!(parse(&"x".repeat(257)), Err(TemplateError::TooLong));
    }

    #[test]
    fn messages_say_what_is_allowed() {
        assert_eq!(
            parse("a.{kind}").unwrap_err().to_string(),
            "unknown field {kind} in position 3 (known: id, aggregate_type, aggregate_id, event_type)"
        );
        assert_eq!(
            parse("a.*").unwrap_err().to_string(),
            "'*' in position 3 is not allowed (visible ASCII except * > % and single braces is)"
        );
    }
}
