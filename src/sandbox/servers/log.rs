//! A server's log file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of the end of a log is worth reading for a message.
const TAIL_BYTES: u64 = 64 * 1024;

/// The file that a server's output goes to, over all its restarts.
#[derive(Debug)]
pub(super) struct ServerLog {
    /// The file; it exists once the server was first started.
    path: PathBuf,
}

impl ServerLog {
    /// The log in this file.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The current end, to read on from with [`Self::since`].
    pub(super) fn end(&self) -> u64 {
        self.path.metadata().map_or(0, |found| found.len())
    }

    /// What was written after `mark`; a very long text without its beginning.
    pub(super) fn since(&self, mark: u64) -> String {
        let mut bytes = Vec::new();
        let from = mark.max(self.end().saturating_sub(TAIL_BYTES));
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(cannot read {}: {error})", self.path.display()),
        }
    }

    /// The last lines.
    pub(super) fn tail(&self, lines: usize) -> String {
        let text = self.since(0);
        let all: Vec<&str> = text.lines().collect();
        all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_and_since_starts_at_the_mark() {
        let root = tempfile::tempdir().unwrap();
        let log = ServerLog::at(root.path().join("log"));
        assert_eq!(log.end(), 0);
        std::fs::write(log.path(), "one\ntwo\nthree\n").unwrap();
        assert_eq!(log.tail(2), "two\nthree");
        assert_eq!(log.tail(9), "one\ntwo\nthree");
        assert_eq!(log.since(8), "three\n");
    }
}
