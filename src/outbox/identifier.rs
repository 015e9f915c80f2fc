//! SQL identifiers: the one function that quotes them, and its reverse for names typed by people.
//!
//! An identifier in double quotes may hold anything but NUL; a double quote inside is doubled
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>). The server silently cuts a
//! name at 63 bytes and would then look at another object, so a longer one is refused here.

use super::Traceable;

/// The identifier in double quotes, safe to put into an SQL statement.
pub fn quote_identifier(name: &str) -> Result<String, IdentifierError> {
    check(name)?;
    Ok(quoted(name))
}

/// Whether a name can be an identifier: not empty, no NUL, at most 63 bytes.
pub(super) fn check(name: &str) -> Result<(), IdentifierError> {
    if name.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if name.contains('\0') {
        return Err(IdentifierError::Nul);
    }
    if name.len() > MAX_IDENTIFIER_BYTES {
        return Err(IdentifierError::TooLong { name: Traceable(name).to_string(), bytes: name.len() });
    }
    Ok(())
}

/// The name in double quotes, for a name that passed [`check`].
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether the name means itself in SQL without quotes: lower case, and no keyword that would need them.
pub(super) fn is_plain(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let goes_on_well = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'$'));
    starts_well && goes_on_well && RESERVED.binary_search(&name).is_err()
}

/// Takes one identifier off the front of a text that a person typed; gives it and what follows.
///
/// Quoted, it is taken as it is. Unquoted, it is taken as it is too, and ends before a dot: SQL would fold upper case,
/// but a name in a configuration file is what a person copied from a listing of tables.
pub(super) fn split_first(text: &str) -> Result<(String, &str), IdentifierError> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(inside) => unquote(inside)?,
        None => {
            let (name, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
            if let Some(found) = name.chars().find(|c| *c == '"' || c.is_whitespace()) {
                return Err(IdentifierError::NeedsQuotes { found });
            }
            (name.to_owned(), rest)
        }
    };
    check(&name)?;
    Ok((name, rest))
}

/// Reads from after the opening quote to the closing one; gives the name and what follows.
fn unquote(inside: &str) -> Result<(String, &str), IdentifierError> {
    let mut name = String::new();
    let mut rest = inside;
    loop {
        let (part, after) = rest.split_once('"').ok_or(IdentifierError::Unclosed)?;
        name.push_str(part);
        let Some(more) = after.strip_prefix('"') else { return Ok((name, after)) };
        name.push('"');
        rest = more;
    }
}

/// A name that cannot be an SQL identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// Nothing.
    #[error("an identifier is empty")]
    Empty,
    /// A NUL, which no Postgres text can hold.
    #[error("an identifier contains a NUL character")]
    Nul,
    /// Longer than the server's names.
    #[error("identifier \"{name}\" is {bytes} bytes long (Postgres keeps 63)")]
    TooLong {
        /// The name, escaped and cut for display.
        name: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// An opening double quote without its end.
    #[error("a quoted identifier is not closed")]
    Unclosed,
    /// A character that an unquoted name cannot hold.
    #[error("an identifier with {found:?} must be written in double quotes (a double quote inside is doubled)")]
    NeedsQuotes {
        /// The character.
        found: char,
    },
}

/// `NAMEDATALEN - 1` of every packaged server
/// (<https://www.postgresql.org/docs/current/limits.html>, identifier length).
const MAX_IDENTIFIER_BYTES: usize = 63;

/// The keywords that cannot name a table unquoted: category "reserved" of
/// <https://www.postgresql.org/docs/current/sql-keywords-appendix.html>; sorted. Quoting more than needed does no harm,
/// so words that may be functions or types are here as well.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quoting_doubles_quotes_and_touches_nothing_else() {
        for (name, expected) in [
            ("outbox", "\"outbox\""),
            ("My Table", "\"My Table\""),
            ("a\"; drop table x; --", "\"a\"\"; drop table x; --\""),
            ("\"", "\"\"\"\""),
            ("żółw", "\"żółw\""),
        ] {
            assert_eq!(quote_identifier(name).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_the_server_would_cut_or_cannot_hold_is_refused() {
        assert_eq!(quote_identifier(""), Err(IdentifierError::Empty));
        assert_eq!(quote_identifier("a\0b"), Err(IdentifierError::Nul));
        assert!(quote_identifier(&"x".repeat(63)).is_ok());
        assert!(matches!(quote_identifier(&"x".repeat(64)), Err(IdentifierError::TooLong { bytes: 64, .. })));
        assert!(matches!(quote_identifier(&"ż".repeat(32)), Err(IdentifierError::TooLong { bytes: 64, .. })));
    }

    #[test]
    fn keywords_are_sorted_as_the_search_needs_and_are_never_plain() {
        assert!(RESERVED.is_sorted());
        assert!(!is_plain("order") && !is_plain("user") && !is_plain("Order") && !is_plain("1a") && !is_plain(""));
        assert!(is_plain("outbox") && is_plain("_x$1"));
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_its_quotes(name in "[^\0]{1,15}") {
            let quoted = quote_identifier(&name).unwrap();
            prop_assert_eq!(split_first(&quoted), Ok((name, "")));
        }
    }
}
