//! The part of a URL before the host, where users and passwords stand: taking it apart, and hiding it.
//!
//! Only one reading is possible of a URL that [`Parts::of`] accepts: the user part has no `@`, and nothing after the
//! host has one. So no parser further down can see a password where this one saw none.

use super::problem::Reason;

/// A URL, cut at the places that matter here.
pub(super) struct Parts<'a> {
    /// `postgres://`; empty if the URL has none.
    pub(super) scheme: &'a str,
    /// What stands before the `@`, still escaped.
    user: Option<&'a str>,
    /// Hosts and ports.
    pub(super) hosts: &'a str,
    /// The path, with its `/`, or empty.
    pub(super) path: &'a str,
    /// The options after `?`, without it, or empty.
    pub(super) query: &'a str,
}

impl<'a> Parts<'a> {
    /// Cuts `url`, which is never quoted in the reason.
    pub(super) fn of(url: &'a str) -> Result<Self, Reason> {
        if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Reason::new("the URL holds a blank or a control character").hint(ESCAPES));
        }
        let (scheme, rest) = split_after(url, "://");
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, hosts) = authority.split_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        if hosts.contains('@') || rest.contains(['@', '#']) {
            return Err(Reason::new("the URL cannot be read in one way only").hint(ESCAPES));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self { scheme, user, hosts, path, query })
    }

    /// The user, unescaped.
    pub(super) fn user(&self) -> Result<Option<String>, Reason> {
        self.user.map(|user| unescaped(user.split_once(':').map_or(user, |(user, _)| user))).transpose()
    }

    /// The password, unescaped.
    pub(super) fn password(&self) -> Result<Option<String>, Reason> {
        self.user.and_then(|user| user.split_once(':')).map(|(_, password)| unescaped(password)).transpose()
    }

    /// The options, `name=value`, still escaped; a missing `=` gives an empty value.
    pub(super) fn options(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.query
            .split('&')
            .filter(|option| !option.is_empty())
            .map(|option| option.split_once('=').unwrap_or((option, "")))
    }

    /// The URL with everything that may be a secret hidden: the password, and a user alone if `lone_user_is_secret`.
    pub(super) fn shown(&self, lone_user_is_secret: bool) -> String {
        let user = match self.user.map(|user| user.split_once(':').map_or((user, false), |(user, _)| (user, true))) {
            None => String::new(),
            Some((user, true)) => format!("{user}:{MASK}@"),
            Some((_, false)) if lone_user_is_secret => format!("{MASK}@"),
            Some((user, false)) => format!("{user}@"),
        };
        let mut shown = format!("{}{user}{}{}", self.scheme, self.hosts, self.path);
        for (index, (name, value)) in self.options().enumerate() {
            shown.push(if index == 0 { '?' } else { '&' });
            shown.push_str(&format!("{name}={}", if name == "password" { MASK } else { value }));
        }
        shown
    }
}

/// Whether `url` may hold a secret; in doubt, it does.
pub(super) fn may_hold_a_secret(url: &str) -> bool {
    url.split(',').any(|url| {
        let Ok(parts) = Parts::of(url) else { return true };
        let is_postgres = parts.scheme.starts_with("postgres");
        parts.user.is_some_and(|user| user.contains(':') || !is_postgres)
            || parts.options().any(|(name, _)| name.contains('%') || name == "password")
    })
}

/// `text` with each `%XX` replaced by the byte it stands for.
pub(super) fn unescaped(text: &str) -> Result<String, Reason> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let digits = escape.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| Reason::new("the URL has a `%` without two hexadecimal digits").hint(ESCAPES))?);
        rest = escape.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| Reason::new("the URL has escapes that are not UTF-8 text"))
}

/// Cuts `text` behind `mark`; all of it is behind if it has none.
fn split_after<'a>(text: &'a str, mark: &str) -> (&'a str, &'a str) {
    text.split_at(text.find(mark).map_or(0, |at| at + mark.len()))
}

/// What stands for a secret inside a URL.
const MASK: &str = "****";

/// How to write what a URL gives a meaning to.
const ESCAPES: &str =
    "in a user or a password, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25, a blank as %20";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_be_secret_is_hidden() {
        for (url, shown) in [
            ("postgres://u:p@h:1,i/db?sslmode=require", "postgres://u:****@h:1,i/db?sslmode=require"),
            ("postgres://u@h/db?password=p&x=1", "postgres://u@h/db?password=****&x=1"),
            ("h:4222", "h:4222"),
            ("nats://u:@h", "nats://u:****@h"),
        ] {
            assert_eq!(Parts::of(url).unwrap().shown(false), shown);
        }
        assert_eq!(Parts::of("nats://token@h").unwrap().shown(true), "nats://****@h");
    }

    #[test]
    fn a_url_with_two_readings_is_refused() {
        for url in [
            "postgres://u:p@q@h/db",
            "postgres://u:p/q@h/db",
            "postgres://u:p?q@h",
            "postgres://u:p#q@h",
            "postgres://u:p q@h",
        ] {
            assert!(Parts::of(url).is_err(), "{url}");
            assert!(may_hold_a_secret(url), "{url}");
        }
    }

    proptest! {
        #[test]
        fn escapes_are_undone(text: String) {
            let escaped: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
            prop_assert_eq!(unescaped(&escaped).unwrap(), text);
        }

        #[test]
        fn any_text_is_cut_or_refused(url in "[a-z:/@?#&=%, ]{0,20}") {
            if let Ok(parts) = Parts::of(&url) {
                let _outcome = (parts.user(), parts.password(), parts.shown(true));
            }
        }
    }
}
