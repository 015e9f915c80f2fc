//! Secrets: text that no log line, error or page may show.

use std::{fmt, path::PathBuf};

use crate::secret_source::SecretSource;

/// Text that is hidden from `Debug` and `Display`; only [`Secret::expose`] gives it away. Two are equal that say the same.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Where it was read, and can be read again.
    file: Option<PathBuf>,
}

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), file: None }
    }

    /// The same secret, which can be read again in this file.
    pub(super) fn in_file(self, file: Option<PathBuf>) -> Self {
        Self { file, ..self }
    }

    /// For the one place that hands it to the peer, and wants it as it is then.
    pub fn source(&self) -> SecretSource {
        match &self.file {
            Some(path) => SecretSource::File(path.clone()),
            None => SecretSource::Given(self.text.clone()),
        }
    }

    /// The text itself, for the one place that hands it to the peer.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// What stands where a secret would be.
pub const HIDDEN: &str = "(hidden)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("canary");
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)).matches("canary").count(), 0);
        assert_eq!(secret.expose(), "canary");
    }
}
