//! Small text files: the configuration and the secrets beside it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The text of the file at `path`, if it is UTF-8 and has at most `largest` bytes. Pipes and devices are read alike.
pub(super) fn read(path: &Path, largest: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > largest) {
        return Err(io::Error::other(format!("it is larger than {largest} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// Whether the file at `path` can be opened and is no folder.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    if File::open(path)?.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}
