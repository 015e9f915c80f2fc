//! Which ports endpoints may have.
//!
//! Behind an address of the internet may be more than a receiver: a database that nobody but its firewall guards, a mail
//! server. Whoever writes the configuration file knows what is there; whoever writes a row of a table may be anybody.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// Ports that may be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Ports {
    /// Every port but 0, which is none.
    pub fn any() -> Self {
        Self(vec![1..=u16::MAX])
    }

    /// Those that receivers are at mostly.
    pub fn of_the_web() -> Self {
        Self([80, 443, 8443].map(|port| port..=port).into())
    }

    /// Whether a port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::any()
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    /// Ports and ranges with commas between them: `443, 8443, 9000-9999`.
    fn from_str(text: &str) -> Result<Self, PortsError> {
        text.split(',').map(range).collect::<Option<_>>().map(Self).ok_or(PortsError)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The text is no list of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not ports from 1 to 65535, or ranges of them, with commas between them")]
pub struct PortsError;

/// `443`, or `9000-9999`; a range that contains nothing is a mistake.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let text = text.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}

/// A number of digits alone, from 1 on.
fn port(text: &str) -> Option<u16> {
    let text = text.trim();
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_are_read_or_refused() {
        for (text, shown) in [
            ("443", "443"),
            ("443,8443", "443, 8443"),
            (" 80 , 9000 - 9999 ", "80, 9000-9999"),
            ("1-65535", "1-65535"),
            ("7-7", "7"),
        ] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["", ",", "443,", "0", "0-10", "65536", "443 8443", "-443", "+443", "10-9", "1-2-3", "https", "any"]
        {
            assert_eq!(text.parse::<Ports>(), Err(PortsError), "{text}");
        }
    }

    #[test]
    fn those_of_the_web_have_no_databases_mail_or_shells_among_them() {
        let web = Ports::of_the_web();
        for port in [80, 443, 8443] {
            assert!(web.contains(port), "{port}");
        }
        for port in [0, 1, 22, 25, 81, 442, 444, 465, 2375, 3306, 4222, 5432, 6379, 8080, 9200, 11211, 27017, u16::MAX]
        {
            assert!(!web.contains(port), "{port}");
        }
        let any = Ports::any();
        assert!(any.contains(1) && any.contains(u16::MAX) && !any.contains(0));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(ranges in proptest::collection::vec((1_u16.., 1_u16..), 1..5), port: u16) {
            let ranges = ranges.into_iter().map(|(one, other)| one.min(other)..=one.max(other)).collect();
            let ports = Ports(ranges);
            prop_assert_eq!(&ports.to_string().parse::<Ports>().unwrap(), &ports);
            prop_assert_eq!(ports.contains(port), ports.0.iter().any(|range| *range.start() <= port && port <= *range.end()));
        }

        #[test]
        fn any_text_is_taken_or_refused(text: String) {
            let _outcome = text.parse::<Ports>();
        }
    }
}
