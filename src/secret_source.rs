//! Where a secret comes from: given, or in a file that is read anew for each connection, because somebody may have replaced
//! it meanwhile. A URL may be such a secret: it can hold a login.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

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
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File(path) => read(path).await,
        }
    }
}

/// What the URL in a file says, with everything that wins over it.
#[derive(Clone)]
pub struct UrlFile<T> {
    path: PathBuf,
    reading: Arc<Reading<T>>,
}

/// What a text says, or why it cannot be used. The reason holds nothing of the text that may be secret.
type Reading<T> = dyn Fn(&str) -> Result<T, String> + Send + Sync;

impl<T> UrlFile<T> {
    /// The file at `path`, whose text is read like this.
    pub fn new(path: PathBuf, reading: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static) -> Self {
        Self { path, reading: Arc::new(reading) }
    }

    /// What it says now.
    pub async fn read(&self) -> Result<T, SecretError> {
        let text = read(&self.path).await?;
        (self.reading)(&text).map_err(|reason| self.unusable(reason))
    }

    /// Why what it says cannot be used.
    pub fn unusable(&self, reason: String) -> SecretError {
        unusable(&self.path, io::Error::other(reason))
    }
}

impl<T: 'static> UrlFile<T> {
    /// The same file, of which somebody wants to know something else.
    pub fn map<U>(&self, of: impl Fn(T) -> U + Send + Sync + 'static) -> UrlFile<U> {
        let reading = Arc::clone(&self.reading);
        UrlFile::new(self.path.clone(), move |text| reading(text).map(&of))
    }
}

/// What the file at `path` holds.
async fn read(path: &Path) -> Result<String, SecretError> {
    let text = tokio::fs::read_to_string(path).await.map_err(|source| unusable(path, source))?;
    match without_line_end(&text) {
        "" => Err(unusable(path, io::Error::other("it is empty"))),
        secret => Ok(secret.to_owned()),
    }
}

fn unusable(path: &Path, source: io::Error) -> SecretError {
    SecretError { path: path.display().to_string(), source }
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

impl<T> fmt::Debug for UrlFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
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
