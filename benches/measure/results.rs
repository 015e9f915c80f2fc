//! The file of figures: one object for each part.

use std::{fs, path::Path};

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::{Map, Value};

/// Puts the figures of a part into the file, in place of its earlier ones; those of other parts stay.
pub(crate) fn keep(file: &Path, part: &str, figures: Value) {
    let mut all: Map<String, Value> =
        fs::read(file).map(|text| serde_json::from_slice(&text).expect("a file of figures")).unwrap_or_default();
    all.insert(part.to_owned(), figures);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
}

/// A table for the terminal.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header).add_rows(rows);
    table
}

/// Rounded to what a measurement is worth.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (value * unit).round() / unit
}

/// A figure in a table.
pub(crate) fn cell(figure: &Value) -> String {
    match figure {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        figure => figure.to_string().trim_end_matches(".0").to_owned(),
    }
}
