//! Where an endpoint is: a URL that is right if it exists.

use std::{fmt, net::IpAddr};

use url::{Host, Url};

use super::address::Guard;

/// The longest URL.
const LONGEST_BYTES: usize = 2048;

/// A URL that requests are sent to.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    host: Host,
    port: u16,
    is_encrypted: bool,
    /// Path and query.
    path: String,
    /// The `Host` of a request.
    authority: String,
}

impl Target {
    /// Reads a URL. However an address is spelt (`http://2130706433/`, `0x7f.1`, `[::ffff:127.0.0.1]`), it is the address
    /// that is judged.
    pub fn parse(text: &str, is_plain_allowed: bool, guard: &Guard) -> Result<Self, TargetError> {
        if text.len() > LONGEST_BYTES {
            return Err(TargetError::TooLong);
        }
        let url = Url::parse(text).map_err(|_| TargetError::Unreadable)?;
        let is_encrypted = match url.scheme() {
            "https" => true,
            "http" if is_plain_allowed => false,
            "http" => return Err(TargetError::Plain),
            _ => return Err(TargetError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        let host = url.host().ok_or(TargetError::Unreadable)?.to_owned();
        let port = url.port_or_known_default().ok_or(TargetError::Unreadable)?;
        if !guard.admits_port(port) {
            return Err(TargetError::Port(port));
        }
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let target = Self { host, port, is_encrypted, path, authority };
        match target.literal() {
            Some(address) if !guard.admits(address) => Err(TargetError::Address(address)),
            _ => Ok(target),
        }
    }

    /// The address, if the URL names one instead of a host.
    pub fn literal(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some((*address).into()),
            Host::Ipv6(address) => Some((*address).into()),
        }
    }

    /// The host as a certificate names it: without brackets.
    pub fn name(&self) -> String {
        self.literal().map_or_else(|| self.host.to_string(), |address| address.to_string())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is https.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Host and port, as a request names them.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Target {
    /// Without path and query, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a URL is refused. Shows nothing of it but an address or a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No URL.
    #[error("not a URL such as https://example.com/hook")]
    Unreadable,
    /// Too long.
    #[error("a URL has at most 2048 bytes")]
    TooLong,
    /// http.
    #[error("http is not encrypted")]
    Plain,
    /// Another scheme.
    #[error("only https is spoken")]
    Scheme,
    /// `https://user:password@host`
    #[error("a user or password in the URL is not sent")]
    Credentials,
    /// `https://host/#fragment`
    #[error("what follows # is never sent")]
    Fragment,
    /// An address that is not public.
    #[error("{0} is no address of the public internet")]
    Address(IpAddr),
    /// A port that is not among those that endpoints may have.
    #[error("port {0} is not one that endpoints may have")]
    Port(u16),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Target, TargetError> {
        Target::parse(text, true, &Guard::default())
    }

    #[test]
    fn an_address_is_judged_however_it_is_spelt() {
        for (text, address) in [
            ("http://127.0.0.1/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://127.0.1/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f000001/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://0177.0x0.0.01/", "127.0.0.1"),
            ("http://017700000001/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://%31%32%37.0.0.1/", "127.0.0.1"),
            ("http://１２７.０.０.１/", "127.0.0.1"),
            ("http://127。0。0。1/", "127.0.0.1"),
            ("http://0/", "0.0.0.0"),
            ("http://10.1/", "10.0.0.1"),
            ("http://3232235521/", "192.168.0.1"),
            ("http://169.254.169.254/latest/meta-data/", "169.254.169.254"),
            ("http://[::1]/", "::1"),
            ("http://[::]/", "::"),
            ("http://[0:0:0:0:0:0:0:1]/", "::1"),
            ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
            ("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1"),
            ("http://[::127.0.0.1]/", "::127.0.0.1"),
            ("http://[64:ff9b::7f00:1]/", "64:ff9b::7f00:1"),
            ("http://[fd00::1]/", "fd00::1"),
            ("http://[fe80::1]/", "fe80::1"),
        ] {
            let expected: IpAddr = address.parse().unwrap();
            assert_eq!(parse(text), Err(TargetError::Address(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_https_url_is_refused() {
        for (text, error) in [
            ("", TargetError::Unreadable),
            ("example.com", TargetError::Unreadable),
            ("https://", TargetError::Unreadable),
            ("https://ex ample.com", TargetError::Unreadable),
            ("https://[fe80::1%25eth0]/", TargetError::Unreadable),
            ("https://256.0.0.1/", TargetError::Unreadable),
            ("https://example.com:65536/", TargetError::Unreadable),
            ("http://example.com/", TargetError::Plain),
            ("ftp://example.com/", TargetError::Scheme),
            ("file:///etc/passwd", TargetError::Scheme),
            ("gopher://example.com/", TargetError::Scheme),
            ("https://user@example.com/", TargetError::Credentials),
            ("https://user:word@example.com/", TargetError::Credentials),
            ("https://example.com@127.0.0.1/", TargetError::Credentials),
            ("https://example.com/#x", TargetError::Fragment),
        ] {
            assert_eq!(Target::parse(text, false, &Guard::default()), Err(error), "{text}");
        }
        let long = format!("https://example.com/{}", "x".repeat(2048));
        assert_eq!(parse(&long), Err(TargetError::TooLong));
    }

    #[test]
    fn a_good_one_has_its_parts() {
        let target = parse("https://Example.COM:8443/hook/a b?token=x").unwrap();
        assert_eq!((target.name().as_str(), target.port(), target.is_encrypted()), ("example.com", 8443, true));
        assert_eq!((target.path(), target.authority()), ("/hook/a%20b?token=x", "example.com:8443"));
        assert_eq!(format!("{target} {target:?}"), "https://example.com:8443 https://example.com:8443");
        let target = parse("https://[2606:4700:4700::1111]/").unwrap();
        assert_eq!((target.name().as_str(), target.authority()), ("2606:4700:4700::1111", "[2606:4700:4700::1111]"));
        let allowed = Guard::allowing(vec!["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(Target::parse("http://127.1:80/", true, &allowed).unwrap().authority(), "127.0.0.1");
    }

    #[test]
    fn a_port_is_judged_however_it_is_given() {
        let guard = Guard::default().at_ports("443, 8000-8999".parse().unwrap());
        for text in
            ["https://example.com/", "https://example.com:443/", "http://example.com:8000/", "http://1.1.1.1:8999/"]
        {
            assert!(Target::parse(text, true, &guard).is_ok(), "{text}");
        }
        for (text, port) in [
            ("http://example.com/", 80),
            ("https://example.com:80/", 80),
            ("https://example.com:6379/", 6379),
            ("https://example.com:00022/", 22),
            ("https://[2606:4700:4700::1111]:9000/", 9000),
            ("https://example.com:0/", 0),
            // Both are wrong; the port is seen first.
            ("http://127.0.0.1:5432/", 5432),
        ] {
            assert_eq!(Target::parse(text, true, &guard), Err(TargetError::Port(port)), "{text}");
        }
        assert_eq!(parse("https://example.com:0/"), Err(TargetError::Port(0)));
        assert!(parse("https://example.com:1/").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text: String, tail in "[a-z0-9.:@/?#\\[\\]%-]{0,30}") {
            let _outcome = (parse(&text), parse(&format!("https://{tail}")));
        }
    }
}
