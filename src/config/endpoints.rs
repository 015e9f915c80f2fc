//! `[[webhooks.endpoint]]`: the only tables of the file that there may be several of.
//!
//! They have no twin in the environment or among the flags, and so no row in the table of keys. Their fields are read here
//! from TOML to owned values with their lines; what they mean is read in `webhooks`.

use toml::{Spanned, de::DeValue};

use super::{origin::Origin, problem::Reason};

/// The key of the tables.
pub(super) const ENDPOINT: &str = "webhooks.endpoint";

/// One table as it was given.
#[derive(Clone, Debug)]
pub(super) struct GivenEndpoint {
    /// Where it begins.
    pub(super) origin: Origin,
    /// Its fields, in their order.
    pub(super) fields: Vec<Field>,
}

/// One field as it was given.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// Where it stands.
    pub(super) origin: Origin,
    /// Its value.
    pub(super) value: Given,
}

/// A value as it was given. It may be a secret.
#[derive(Clone)]
pub(super) enum Given {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Switch(bool),
    /// A list of texts.
    Texts(Vec<String>),
    /// A table of texts.
    Table(Vec<(String, String)>),
    /// Something that no field takes.
    Other,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The tables in `value`; `origin_of` tells the origin of an offset.
pub(super) fn read(
    value: &Spanned<DeValue<'_>>,
    origin_of: impl Fn(usize) -> Origin,
) -> Result<Vec<GivenEndpoint>, Reason> {
    let refused =
        || Reason::new("expected tables").hint("write [[webhooks.endpoint]] on a line of its own for each endpoint");
    let DeValue::Array(tables) = value.get_ref() else { return Err(refused()) };
    let mut endpoints = Vec::new();
    for table in tables {
        let DeValue::Table(fields) = table.get_ref() else { return Err(refused()) };
        let field = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let (name, origin): (&std::borrow::Cow<'_, str>, _) = (name.get_ref(), origin_of(name.span().start));
            Field { name: name.to_string(), origin, value: given(value.get_ref()) }
        };
        let fields = fields.iter().map(field).collect();
        endpoints.push(GivenEndpoint { origin: origin_of(table.span().start), fields });
    }
    Ok(endpoints)
}

fn given(value: &DeValue<'_>) -> Given {
    let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Given::Other, Given::Number)
        }
        DeValue::Boolean(value) => Given::Switch(*value),
        DeValue::Array(values) => values.iter().map(text).collect::<Option<_>>().map_or(Given::Other, Given::Texts),
        DeValue::Table(table) => {
            let pair = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                Some((name.get_ref().to_string(), text(value)?))
            };
            table.iter().map(pair).collect::<Option<_>>().map_or(Given::Other, Given::Table)
        }
        _ => Given::Other,
    }
}
