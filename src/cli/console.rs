//! Standard output and standard error, and whether they are coloured.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::{self, IsTerminal, Write},
};

use clap::builder::styling::{AnsiColor, Style};
use terminal_size::Width;

use super::Failure;
use crate::telemetry::log::Terminal;

/// Where a command writes.
pub struct Console {
    /// Data.
    out: Stream,
    /// Everything else.
    err: Stream,
}

impl Console {
    /// The console of the process. Colours follow <https://no-color.org> and <https://bixense.com/clicolors>.
    pub fn of_process(environment: &[(OsString, OsString)]) -> Self {
        let stream = |writer: Box<dyn Write>, is_terminal: bool| {
            let is_coloured = is_coloured(environment, is_terminal);
            Stream { writer, is_terminal, is_coloured, is_for_machines: false }
        };
        Self {
            out: stream(Box::new(io::stdout()), io::stdout().is_terminal()),
            err: stream(Box::new(io::stderr()), io::stderr().is_terminal()),
        }
    }

    /// What the log needs to know of standard error.
    pub(super) fn log_terminal(&self) -> Terminal {
        Terminal { is_terminal: self.err.is_terminal, is_coloured: self.err.is_coloured }
    }

    /// Where data goes.
    pub fn out(&mut self) -> &mut Stream {
        &mut self.out
    }

    /// Where everything else goes.
    pub fn err(&mut self) -> &mut Stream {
        &mut self.err
    }

    /// Prints what the parser of the arguments has to say: help, the version, or what is wrong.
    pub(super) fn answer(&mut self, answer: &clap::Error) -> Result<(), Failure> {
        let stream = if answer.use_stderr() { &mut self.err } else { &mut self.out };
        let text = answer.render();
        let text = if stream.is_coloured { text.ansi().to_string() } else { text.to_string() };
        Ok(stream.writer.write_all(text.as_bytes())?)
    }
}

/// One of the two.
pub struct Stream {
    /// The stream itself.
    writer: Box<dyn Write>,
    /// Whether a person may be looking.
    is_terminal: bool,
    /// Whether escapes for colour may be written to it.
    is_coloured: bool,
    /// Whether each line on it is a JSON object.
    is_for_machines: bool,
}

impl Stream {
    /// From now on each line on it is a JSON object.
    pub(super) fn leave_to_machines(&mut self) {
        self.is_for_machines = true;
    }

    /// Whether each line on it is a JSON object.
    pub(super) fn is_for_machines(&self) -> bool {
        self.is_for_machines
    }

    /// Whether a person may be looking.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether colours are welcome.
    pub(super) fn is_coloured(&self) -> bool {
        self.is_coloured
    }

    /// How many characters fit in a line of the terminal; a common width where there is none.
    pub(super) fn width(&self) -> usize {
        terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(Width(columns), _)| columns.into())
    }

    /// `text` in `ink`, or plain if the stream takes no colour.
    pub(super) fn paint(&self, ink: Ink, text: impl fmt::Display) -> String {
        if self.is_coloured {
            let style = ink.style();
            format!("{style}{text}{style:#}")
        } else {
            text.to_string()
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What a word is for, which decides its colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ink {
    /// `error:`
    Error,
    /// `hint:`
    Hint,
    /// It will hurt some day.
    Warning,
    /// All went well.
    Good,
    /// To be seen first.
    Strong,
    /// As it is.
    Plain,
}

impl Ink {
    /// The style on a terminal.
    fn style(self) -> Style {
        match self {
            Self::Error => AnsiColor::Red.on_default().bold(),
            Self::Hint => AnsiColor::Cyan.on_default().bold(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Strong => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default().bold(),
            Self::Plain => Style::new(),
        }
    }
}

/// Whether a stream is coloured.
fn is_coloured(environment: &[(OsString, OsString)], is_terminal: bool) -> bool {
    let variable = |wanted: &str| {
        let found = environment.iter().find(|(name, value)| name == OsStr::new(wanted) && !value.is_empty());
        found.map(|(_, value)| value.as_os_str())
    };
    if variable("NO_COLOR").is_some() {
        return false;
    }
    if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    is_terminal && variable("TERM") != Some(OsStr::new("dumb"))
}

/// The width of a line where no terminal says otherwise.
const DEFAULT_WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_terminal_unless_told_otherwise() {
        for (variables, is_terminal, coloured) in [
            (&[][..], true, true),
            (&[][..], false, false),
            (&[("NO_COLOR", "1")], true, false),
            (&[("NO_COLOR", "")], true, true),
            (&[("TERM", "dumb")], true, false),
            (&[("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "0")], false, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false),
        ] {
            let environment: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
            assert_eq!(is_coloured(&environment, is_terminal), coloured, "{variables:?}");
        }
    }
}
