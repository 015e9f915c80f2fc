//! How a connection is encrypted, and what both sides prove: `sslmode` and its relatives, in libpq's words.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::EndpointError;

/// How the connection is encrypted, whom it trusts, and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether to encrypt, and what to verify; `None` where nobody said so.
    pub mode: Option<SslMode>,
    /// PEM file with the certificate authorities to trust; `None` or `system` means those of the operating system.
    pub root_cert: Option<PathBuf>,
    /// PEM file of our own certificate, and of those that lead from it to an authority that the server trusts.
    pub cert: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
    /// Whether the login is bound to the server's certificate; `None` where nobody said so.
    pub binding: Option<ChannelBinding>,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypt.
    Disable,
    /// Encrypt if the server can; verify nothing.
    Prefer,
    /// Encrypt or fail; verify the chain only if a root certificate is given, as libpq does.
    Require,
    /// Encrypt, and verify that a trusted authority signed the certificate.
    VerifyCa,
    /// Encrypt, and verify the chain and the host name.
    VerifyFull,
}

/// libpq's `channel_binding`: whether the login proves that it is the server's own certificate that we see, and that
/// nobody stands between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the connection is encrypted and the server can.
    #[default]
    Prefer,
    /// Always: a server that lets us in otherwise is refused.
    Require,
}

/// What stands for the operating system's authorities in `sslrootcert`.
pub const SYSTEM_ROOTS: &str = "system";

impl TlsSettings {
    /// The mode in force. Beyond this machine everything is verified unless somebody says otherwise. Whoever trusts every
    /// authority that the system does must check the name too, or anybody's certificate would do; so it is in libpq.
    pub fn mode(&self, is_local: bool) -> SslMode {
        match self.mode {
            _ if self.trusts_system() => SslMode::VerifyFull,
            Some(mode) => mode,
            None if is_local => SslMode::Prefer,
            None => SslMode::VerifyFull,
        }
    }

    /// Whether the login is bound to the server's certificate.
    pub fn binding(&self) -> ChannelBinding {
        self.binding.unwrap_or_default()
    }

    /// Whether somebody asked for the operating system's authorities.
    pub fn trusts_system(&self) -> bool {
        self.root_cert.as_deref() == Some(Path::new(SYSTEM_ROOTS))
    }

    /// What others say wins over what is here.
    pub(super) fn overrule(&mut self, other: Self) {
        self.mode = other.mode.or(self.mode);
        self.binding = other.binding.or(self.binding);
        for (own, others) in
            [(&mut self.root_cert, other.root_cert), (&mut self.cert, other.cert), (&mut self.key, other.key)]
        {
            if others.is_some() {
                *own = others;
            }
        }
    }
}

impl SslMode {
    /// The modes by the names that libpq gives them. Its `allow` is missing: it encrypts only if it must.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

impl FromStr for SslMode {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let known = Self::WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, mode)| *mode).ok_or(EndpointError::SslMode)
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::WORDS.iter().find(|(_, mode)| mode == self);
        f.write_str(known.map_or("", |(word, _)| word))
    }
}

impl ChannelBinding {
    /// The choices by the names that libpq gives them.
    pub const WORDS: [(&'static str, Self); 3] =
        [("disable", Self::Disable), ("prefer", Self::Prefer), ("require", Self::Require)];
}

impl FromStr for ChannelBinding {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let known = Self::WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, binding)| *binding).ok_or(EndpointError::ChannelBinding)
    }
}

impl fmt::Display for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::WORDS.iter().find(|(_, binding)| binding == self);
        f.write_str(known.map_or("", |(word, _)| word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_everything_is_verified_unless_somebody_says_otherwise() {
        let mode = |mode, root: Option<&str>, is_local| {
            let settings = TlsSettings { mode, root_cert: root.map(PathBuf::from), ..TlsSettings::default() };
            settings.mode(is_local)
        };
        assert_eq!(mode(None, None, true), SslMode::Prefer);
        assert_eq!(mode(None, None, false), SslMode::VerifyFull);
        assert_eq!(mode(Some(SslMode::Disable), None, false), SslMode::Disable);
        assert_eq!(mode(None, Some("ca.pem"), true), SslMode::Prefer);
        assert_eq!(mode(None, Some("system"), true), SslMode::VerifyFull);
        assert_eq!(mode(Some(SslMode::Require), Some("system"), true), SslMode::VerifyFull);
    }
}
