//! The captured messages.

/// The messages that one server sent for the workload.
pub(crate) struct Fixture {
    /// The file it comes from.
    pub(crate) name: &'static str,
    /// One message a line, in hexadecimal; lines that begin with `#` say where it was captured.
    text: &'static str,
}

impl Fixture {
    /// The messages, in the order in which they were sent.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        self.text.lines().filter(|line| !line.starts_with('#')).map(unhex).collect()
    }
}

macro_rules! fixture {
    ($name:literal) => {
        Fixture { name: $name, text: include_str!(concat!("../fixtures/pgoutput/", $name)) }
    };
}

/// What was captured with the stream option `binary 'true'`.
pub(crate) const BINARY: [Fixture; 2] = [fixture!("pg15-binary.hex"), fixture!("pg18-binary.hex")];

/// What was captured with the stream option `binary 'false'`.
pub(crate) const TEXT: [Fixture; 2] = [fixture!("pg15-text.hex"), fixture!("pg18-text.hex")];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Fixture> {
    BINARY.into_iter().chain(TEXT)
}

fn unhex(line: &str) -> Vec<u8> {
    assert!(line.len().is_multiple_of(2), "two digits a byte");
    (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal")).collect()
}
