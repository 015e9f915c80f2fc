//! "Did you mean": the known name nearest to one that is not known.

/// The one of `names` that `text` is most likely a slip of, if any is near enough.
pub(super) fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (text.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(&text.to_lowercase(), name), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The hint that goes with [`nearest`].
pub(super) fn did_you_mean<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(text, names).map(|name| format!("did you mean `{name}`?"))
}

/// How many slips (a letter too many, missing, wrong, or two swapped) lie between `left` and `right`.
///
/// The restricted Damerau-Levenshtein distance, kept as three rows of its table. Long text is far from everything.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len() > LONGEST {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &l) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, &r) in right.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (at(&above, column) + usize::from(l != r)).min(at(&above, column + 1) + 1).min(at(&line, column) + 1);
            let swapped = row > 0 && column > 0 && left.get(row - 1) == Some(&r) && right.get(column - 1) == Some(&l);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

/// The longest text that is compared, in characters; longer than every name, and small enough for a square table.
const LONGEST: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (left, right, slips) in [
            ("", "", 0),
            ("slot", "slot", 0),
            ("solt", "slot", 1),
            ("slt", "slot", 1),
            ("slott", "slot", 1),
            ("ca", "abc", 3),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(left, right), slips, "{left} {right}");
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = ["slot", "publication", "url"];
        assert_eq!(nearest("Slto", names), Some("slot"));
        assert_eq!(nearest("uri", names), Some("url"));
        assert_eq!(nearest("pubblicatoin", names), Some("publication"));
        assert_eq!(nearest("x", names), None);
        assert_eq!(nearest("stream", names), None);
        assert_eq!(nearest(&"slot".repeat(1000), names), None);
    }
}
