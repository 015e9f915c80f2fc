//! Names and values in SQL that stands in a file; pure.

/// Puts values in their places, in one pass: a value that looks like a place stays a value.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    let next = |rest: &str| {
        let found = values.iter().filter_map(|(place, value)| Some((rest.find(place)?, *place, *value)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, place, value)) = next(rest) {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        filled.push_str(value);
        rest = after.strip_prefix(place).unwrap_or_default();
    }
    filled.push_str(rest);
    filled
}
