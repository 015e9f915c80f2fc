//! Where a secret comes from: given, or in a file that is read anew for each connection, because somebody may have replaced
//! it meanwhile.

use std::{fmt, io, path::PathBuf};

/// A secret, or the file that holds it. Shown by no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The secret itself.
    Given(String),
    /// A file with nothing else in it.
    File(PathBuf),
}

impl SecretSource {
    /// The secret as it is now.
    pub async fn read(&self) -> Result<String, SecretError> {
        let path = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let unusable = |source| SecretError { path: path.display().to_string(), source };
        let text = tokio::fs::read_to_string(path).await.map_err(unusable)?;
        match without_line_end(&text) {
            "" => Err(unusable(io::Error::other("it is empty"))),
            secret => Ok(secret.to_owned()),
        }
    }
}

/// What a file holds, without the end of its last line.
pub fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

impl From<String> for SecretSource {
    fn from(secret: String) -> Self {
        Self::Given(secret)
    }
}

impl From<&str> for SecretSource {
    fn from(secret: &str) -> Self {
        Self::Given(secret.to_owned())
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("(hidden)"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A file that holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("the secret in {path} cannot be read: {source}")]
pub struct SecretError {
    /// The file.
    pub path: String,
    /// Why.
    pub source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_anew_and_given_text_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let source = SecretSource::File(path.clone());
        for (text, secret) in [("old\n", "old"), ("new\r\n", "new"), (" two\nlines\n\n", " two\nlines\n")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(source.read().await.unwrap(), secret);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(source.read().await.unwrap_err().to_string().ends_with("cannot be read: it is empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(source.read().await.is_err());
        assert!(!format!("{:?}", SecretSource::from("canary")).contains("canary"));
    }
}
