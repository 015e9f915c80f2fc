//! One line of the log: what an event holds, and how it looks. Pure.

use std::{error::Error, fmt};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::{
    Level,
    field::{Field, Visit},
};

use crate::config::visible::visible;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// For people.
    Pretty {
        /// With colours.
        is_coloured: bool,
    },
    /// For machines: a flat object.
    Json,
}

/// Names and values, in the order in which they were recorded; of two with one name the later counts.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Adds all of `others`.
    pub(super) fn extend(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            self.set(name, value.clone());
        }
    }

    /// Adds one field, in the place of another of this name.
    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Removes a field and gives its text.
    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| *known == name)?;
        match self.0.remove(index).1 {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.set(field.name(), text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}").into());
    }
}

/// What a line says.
pub(super) struct Line {
    /// When.
    time: Timestamp,
    /// How grave.
    level: Level,
    /// Which part of the program.
    target: String,
    /// What.
    message: String,
    /// What else.
    fields: Fields,
}

impl Line {
    /// The line of an event. Events of the `log` crate come with their target among the fields.
    pub(super) fn new(time: Timestamp, level: Level, target: &str, mut fields: Fields) -> Self {
        let message = fields.take("message").unwrap_or_default();
        let target = fields.take("log.target").unwrap_or_else(|| target.to_owned());
        fields.0.retain(|(name, _)| !name.starts_with("log."));
        Self { time, level, target, message, fields }
    }

    /// The text of the line, with its end.
    pub(super) fn render(&self, style: Style) -> String {
        match style {
            Style::Json => self.json(),
            Style::Pretty { is_coloured } => self.pretty(is_coloured),
        }
    }

    /// A flat object. A field that is called as one of the fixed four gives way to it.
    fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("timestamp".into(), format!("{:.6}", self.time).into());
        object.insert("level".into(), self.level.as_str().into());
        object.insert("target".into(), self.target.as_str().into());
        object.insert("message".into(), self.message.as_str().into());
        for (name, value) in &self.fields.0 {
            object.entry(*name).or_insert_with(|| value.clone());
        }
        // JSON escapes only the first control characters; the others become escapes here, which reads the same.
        let mut text = String::new();
        for character in Value::Object(object).to_string().chars() {
            if visible(character).eq([character]) {
                text.push(character);
            } else {
                let mut units = [0; 2];
                text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        text.push('\n');
        text
    }

    /// Time, level, message, fields.
    fn pretty(&self, is_coloured: bool) -> String {
        let paint = |code: &str, text: &str| {
            if is_coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
        };
        let code = match self.level {
            Level::ERROR => RED,
            Level::WARN => YELLOW,
            Level::INFO => GREEN,
            _ => DIM,
        };
        let time = format!("{:.3}", self.time);
        let level = format!("{:>5}", self.level.as_str());
        let message: String = self.message.chars().flat_map(visible).collect();
        let mut text = format!("{} {} {message}", paint(DIM, &time), paint(code, &level));
        for (index, (name, value)) in self.fields.0.iter().enumerate() {
            let gap = if index == 0 { "  " } else { " " };
            text.push_str(&format!("{gap}{}{}", paint(DIM, &format!("{name}=")), shown(value)));
        }
        text.push('\n');
        text
    }
}

/// A value for people: in quotes only if it would not read as one word.
fn shown(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let is_word = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    let text = if is_word { text.clone() } else { format!("\"{}\"", text.replace('"', "\\\"")) };
    text.chars().flat_map(visible).collect()
}

/// Escapes of colour (<https://en.wikipedia.org/wiki/ANSI_escape_code#SGR>): someone must act.
const RED: &str = "1;31";
/// Odd, but going on.
const YELLOW: &str = "33";
/// A change of state.
const GREEN: &str = "32";
/// Of little weight.
const DIM: &str = "2";
