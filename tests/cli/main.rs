//! The command line as people meet it: the real program, an empty environment, a folder of its own.

mod broken;
mod cases;
mod configuration;
mod help;
mod shells;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// The smallest configuration that is whole.
const WHOLE: &str = "[postgres]\nurl = \"postgres://app@db/app\"\n";

/// One run of the program in a folder of its own.
struct Walpost {
    /// The folder; gone afterwards.
    folder: TempDir,
    /// The program, its arguments and its environment.
    command: Command,
}

impl Walpost {
    /// `walpost` with `arguments`.
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_walpost"));
        command.args(arguments).current_dir(folder.path()).env_clear().stdin(Stdio::null());
        Self { folder, command }
    }

    /// With a file of this name and text.
    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).expect("a file can be written");
        self
    }

    /// With a variable.
    fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With standard output going elsewhere.
    fn stdout_to(mut self, stdout: Stdio) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Runs it to its end.
    fn run(mut self) -> Answer {
        let output = self.command.output().expect("the program can be started");
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// The exit code; none if a signal ended it.
    code: Option<i32>,
    /// Data.
    stdout: String,
    /// Everything else.
    stderr: String,
}

/// A file beside these tests.
fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name)
}
