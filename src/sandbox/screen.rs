//! The screen: lines that stay, and below them a block that is drawn anew each time.
//!
//! Not a full screen: what was printed can be scrolled back to, and the block ends as ordinary lines. Knows no clock and
//! no sandbox.

use std::io::{self, Write};

use super::options::Show;

/// Has the terminal cut lines that are too long (<https://vt100.net/docs/vt510-rm/DECAWM.html>): a wrapped line would take
/// two lines of the block, whose height would no longer be known. The width may change at any time.
const DO_NOT_WRAP: &str = "\x1b[?7l";

/// Has the terminal wrap lines again.
const WRAP: &str = "\x1b[?7h";

/// What a text is for, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Nothing in particular.
    Plain,
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
    /// Worth a look.
    Accent,
    /// More important than the rest.
    Strong,
    /// Less important than the rest.
    Dim,
}

impl Ink {
    /// The codes that begin it (<https://en.wikipedia.org/wiki/ANSI_escape_code#Select_Graphic_Rendition_parameters>).
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[1;32m",
            Self::Bad => "\x1b[1;31m",
            Self::Accent => "\x1b[36m",
            Self::Strong => "\x1b[1m",
            Self::Dim => "\x1b[2m",
        }
    }
}

/// One line, in parts of different ink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Ink, String)>);

impl Line {
    /// A line of one ink.
    pub(super) fn of(ink: Ink, text: impl Into<String>) -> Self {
        Self(vec![(ink, text.into())])
    }

    /// The same line with more text.
    pub(super) fn with(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// The text as it is written, at most `width` characters of it.
    fn rendered(&self, width: usize, is_coloured: bool) -> String {
        let mut left = width;
        let mut text = String::new();
        for (ink, part) in &self.0 {
            // What comes from elsewhere (a guest's subject) must not move the cursor.
            let shown: String =
                part.chars().take(left).map(|letter| if letter.is_control() { '?' } else { letter }).collect();
            left -= shown.chars().count();
            let code = if is_coloured && !shown.is_empty() { ink.code() } else { "" };
            text.push_str(code);
            text.push_str(&shown);
            text.push_str(if code.is_empty() { "" } else { "\x1b[0m" });
        }
        text
    }
}

/// Where everything is shown.
pub(super) struct Screen<'a> {
    /// The terminal, file or pipe.
    out: &'a mut dyn Write,
    /// What it can do.
    show: Show,
    /// How many lines the block has on the screen now.
    drawn: usize,
}

impl<'a> Screen<'a> {
    /// A screen on this output.
    pub(super) fn new(out: &'a mut dyn Write, show: Show) -> Self {
        Self { out, show, drawn: 0 }
    }

    /// Whether a block can be drawn anew.
    pub(super) fn is_live(&self) -> bool {
        self.show.is_terminal
    }

    /// How many characters fit in a line.
    pub(super) fn width(&self) -> usize {
        self.show.width
    }

    /// Write a line that stays, however long it is.
    pub(super) fn line(&mut self, line: &Line) -> io::Result<()> {
        self.write(&[line.rendered(usize::MAX, self.show.is_coloured)])
    }

    /// Write lines that stay as they are.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        self.write(&lines)
    }

    /// Leave a line free.
    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.write(&[String::new()])
    }

    /// Draw the block, over the one that is there. Nothing happens where that cannot be done.
    pub(super) fn block(&mut self, lines: &[Line]) -> io::Result<()> {
        if !self.show.is_terminal {
            return Ok(());
        }
        let mut text = String::from(DO_NOT_WRAP);
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            // Cleared line by line: clearing all first would flicker.
            text.push_str("\r\x1b[2K");
            text.push_str(&line.rendered(self.show.width.saturating_sub(1), self.show.is_coloured));
            text.push('\n');
        }
        text.push_str("\x1b[0J");
        text.push_str(WRAP);
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Let the block stand; what comes next is written below it.
    pub(super) fn settle_block(&mut self) {
        self.drawn = 0;
    }

    /// Write lines and see to it that they arrive.
    fn write(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written by `action` on a screen of 10 characters.
    fn written(is_terminal: bool, is_coloured: bool, action: impl Fn(&mut Screen<'_>)) -> String {
        let mut out = Vec::new();
        action(&mut Screen::new(&mut out, Show { is_terminal, is_coloured, width: 10 }));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_block_replaces_the_one_before() {
        let text = written(true, false, |screen| {
            screen.block(&[Line::of(Ink::Plain, "one"), Line::of(Ink::Plain, "two")]).unwrap();
            screen.block(&[Line::of(Ink::Plain, "three")]).unwrap();
        });
        let first = "\r\x1b[2Kone\n\r\x1b[2Ktwo\n\x1b[0J";
        let second = "\x1b[2A\r\x1b[2Kthree\n\x1b[0J";
        assert_eq!(text, format!("{DO_NOT_WRAP}{first}{WRAP}{DO_NOT_WRAP}{second}{WRAP}"));
    }

    #[test]
    fn without_a_terminal_there_is_no_block_and_no_escape() {
        let line = Line::of(Ink::Plain, "longer than ten");
        let text = written(false, false, |screen| {
            screen.block(std::slice::from_ref(&line)).unwrap();
            screen.line(&line).unwrap();
        });
        assert_eq!(text, "longer than ten\n");
    }

    #[test]
    fn lines_of_a_block_are_cut_at_the_width_whatever_their_colours() {
        let line = Line::of(Ink::Good, "ünf4").with(Ink::Bad, "5678").with(Ink::Bad, "90");
        let text = line.rendered(9, true);
        assert_eq!(text, "\x1b[1;32münf4\x1b[0m\x1b[1;31m5678\x1b[0m\x1b[1;31m9\x1b[0m");
        assert_eq!(line.rendered(usize::MAX, false), "ünf4567890");
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        let text = written(true, false, |screen| screen.line(&Line::of(Ink::Plain, "a\x1b[2Jb")).unwrap());
        assert_eq!(text, "a?[2Jb\n");
    }
}
