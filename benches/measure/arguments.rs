//! What the command line asks for.

/// The arguments; cargo's own among them are passed over.
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn given() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Whether this word is among them.
    pub(crate) fn names(&self, word: &str) -> bool {
        self.0.iter().any(|argument| argument == word)
    }

    /// The text behind a flag.
    pub(crate) fn text<'a>(&'a self, flag: &str, default: &'a str) -> &'a str {
        let value = self.0.iter().position(|argument| argument == flag).and_then(|at| self.0.get(at + 1));
        value.map_or(default, String::as_str)
    }

    /// The number behind a flag.
    pub(crate) fn number(&self, flag: &str, default: u32) -> u32 {
        self.text(flag, &default.to_string()).parse().unwrap_or_else(|_| panic!("{flag} takes a whole number"))
    }

    /// The numbers behind a flag, with commas between.
    pub(crate) fn numbers(&self, flag: &str, default: &[u32]) -> Vec<u32> {
        let default = default.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{flag} takes whole numbers, as in 1,100"));
        self.text(flag, &default).split(',').map(number).collect()
    }
}
