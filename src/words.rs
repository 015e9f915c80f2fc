//! Numbers for people.

use std::time::Duration;

/// A number with a comma at every thousand.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration with the unit that suits it: `840 us`, `1.2 ms`, `34 ms`, `1.2 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let millis = duration.as_secs_f64() * 1000.0;
    match micros {
        0..=999 => format!("{micros} us"),
        1000..=9_949 => format!("{millis:.1} ms"),
        9_950..=999_499 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

/// A long time by its two largest units: `42 s`, `7 min`, `2 h 10 min`, `5 d 3 h`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A number of bytes: `812 B`, `9.8 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut text = format!("{bytes} B");
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut size = bytes as f64;
    for unit in UNITS {
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        text = format!("{size:.1} {unit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        let pairs = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in pairs {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        let pairs = [(840, "840 us"), (1_240, "1.2 ms"), (34_400, "34 ms"), (1_234_000, "1.2 s")];
        for (micros, text) in pairs {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn long_times_have_their_two_largest_units() {
        let pairs = [(0, "0 s"), (59, "59 s"), (119, "1 min"), (7_805, "2 h 10 min"), (442_800, "5 d 3 h")];
        for (seconds, text) in pairs {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(10_276_045), "9.8 MiB");
        assert_eq!(bytes(1024), "1.0 KiB");
    }
}
