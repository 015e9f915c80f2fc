//! Numbers with and without units, and words from a list.

use std::time::Duration;

use super::{
    key::Kind,
    problem::{Reason, quoted},
    suggest::did_you_mean,
};

/// A whole number within the bounds of `kind`.
pub(super) fn count(text: &str, kind: Kind) -> Result<usize, Reason> {
    let (min, max) = if let Kind::Count { min, max } = kind { (min, max) } else { (0, usize::MAX) };
    let number: usize = digits(text).ok_or_else(|| not_one(text, "a whole number", kind))?;
    if number < min {
        return Err(Reason::new(format!("{number} is too small")).hint(kind.describe()));
    }
    if number > max {
        return Err(Reason::new(format!("{number} is too large")).hint(kind.describe()));
    }
    Ok(number)
}

/// A number of bytes, at least one: `16MiB`, or a bare number.
pub(super) fn size(text: &str) -> Result<usize, Reason> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "" | "B" => Some(1_usize),
        "kB" | "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let (number, scale) = digits::<usize>(number).zip(scale).ok_or_else(|| not_one(text, "a size", Kind::Size))?;
    match number.checked_mul(scale) {
        None => Err(Reason::new(format!("{} is too large", quoted(text)))),
        Some(0) => Err(Reason::new("must be at least one byte")),
        Some(bytes) => Ok(bytes),
    }
}

/// A length of time within the bounds of `kind`: `150ms`, `5s`, `2m`, `1h`, `7d`.
pub(super) fn duration(text: &str, kind: Kind) -> Result<Duration, Reason> {
    let (number, unit) = split_unit(text);
    let scale_ms = match unit {
        "ms" => Some(1_u64),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let refused = || not_one(text, "a duration", kind);
    let (number, scale_ms) = digits::<u64>(number).zip(scale_ms).ok_or_else(refused)?;
    let value = Duration::from_millis(number.saturating_mul(scale_ms));
    match kind {
        Kind::Duration { min, .. } if value < min => Err(Reason::new(format!("must be at least {min:?}"))),
        Kind::Duration { max, .. } if value > max => {
            Err(Reason::new(format!("must be at most {} hours", max.as_secs() / 3600)))
        }
        _ => Ok(value),
    }
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, Reason> {
    one_of(text, &[("true", true), ("false", false)])
}

/// The value of the word that `text` is.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Reason> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let reason = Reason::new(format!("{} is not one of {}", quoted(text), names.join(", ")));
    Err(reason.maybe_hint(did_you_mean(text, names)))
}

/// Cuts `text` behind its leading digits; blanks may stand between.
fn split_unit(text: &str) -> (&str, &str) {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    (number, unit.trim_start())
}

/// A number of digits alone: no sign, no blank.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Why `text` is refused.
fn not_one(text: &str, what: &str, kind: Kind) -> Reason {
    Reason::new(format!("{} is not {what}", quoted(text))).hint(kind.describe())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any duration.
    const ANY: Kind = Kind::Duration { min: Duration::ZERO, max: Duration::MAX };

    #[test]
    fn units_mean_what_they_say() {
        assert_eq!(duration("150ms", ANY).unwrap(), Duration::from_millis(150));
        assert_eq!(duration("5 s", ANY).unwrap(), Duration::from_secs(5));
        assert_eq!(duration("2m", ANY).unwrap(), Duration::from_secs(120));
        assert_eq!(duration("1h", ANY).unwrap(), Duration::from_secs(3600));
        assert_eq!(duration("7d", ANY).unwrap(), Duration::from_secs(604_800));
        assert_eq!((size("16MiB").unwrap(), size("7").unwrap(), size("2kB").unwrap()), (16 << 20, 7, 2000));
    }

    #[test]
    fn what_has_no_clear_meaning_is_refused() {
        for text in ["", "5", "s", "-5s", "+5s", "1.5s", "5 sec", "5S", "5ms ", "99999999999999999999s"] {
            assert!(duration(text, ANY).is_err(), "{text}");
        }
        for text in ["", "-1", "1.5MiB", "16mib", "MiB", "0", "0KiB", "99999999999999999999", "18446744073709551615KiB"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_value_or_a_reason(text: String) {
            let _outcome = (size(&text), duration(&text, ANY), count(&text, ANY), switch(&text));
        }

        #[test]
        fn any_number_keeps_its_value(number in 0_u64..1_000_000) {
            prop_assert_eq!(duration(&format!("{number}ms"), ANY).unwrap(), Duration::from_millis(number));
        }
    }
}
