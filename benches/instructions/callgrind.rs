//! Runs this program in Callgrind.
//!
//! Callgrind (<https://valgrind.org/docs/manual/cl-manual.html>) executes a program instruction by instruction and knows which
//! function calls which. It begins to count anew when [`COUNTED`] is called, and writes a profile when that returns.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    figures::Conditions,
    profile::{self, Count},
};

/// Tells this program that it runs in Callgrind.
pub(crate) const INSIDE: &str = "--inside-callgrind";
/// The function that is counted, as Callgrind calls it.
const COUNTED: &str = "instructions::a_counted_part";
/// `memcpy` and its like come in several kinds, of which the C library takes one that suits the processor. Without these it
/// takes the same one everywhere.
const PROCESSOR_OF_ALL: &str = "glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM";

/// Why nothing was counted.
pub(crate) enum NoCallgrind {
    /// It is not to be had here.
    Missing(String),
    /// It should have worked.
    Failed(String),
}

impl Conditions {
    /// Those of this machine.
    pub(crate) fn here() -> Result<Self, NoCallgrind> {
        let valgrind = said(Command::new("valgrind").arg("--version"))
            .map_err(|why| NoCallgrind::Missing(format!("there is no Valgrind ({why})")))?;
        let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
        let version = said(Command::new(rustc).arg("-vV")).map_err(NoCallgrind::Failed)?;
        let target = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("unknown");
        let rustc = version.lines().next().unwrap_or_default();
        let libc = said(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_else(|_| "unknown".to_owned());
        Ok(Self { target: target.to_owned(), rustc: rustc.to_owned(), libc, valgrind })
    }
}

/// What a program says when it is asked.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs this program in Callgrind; what it counted in each of so many parts.
pub(crate) fn count(parts: usize) -> Result<Vec<Count>, NoCallgrind> {
    let failed = |error: std::io::Error| NoCallgrind::Failed(format!("the profiles of Callgrind: {error}"));
    let folder = tempfile::tempdir().map_err(failed)?;
    let profile = folder.path().join("profile");
    run(&profile).map_err(NoCallgrind::Failed)?;
    let text = |index: usize| fs::read_to_string(folder.path().join(format!("profile.{index}")));
    // One more would mean that something else was counted.
    if text(parts + 1).is_ok() {
        return Err(NoCallgrind::Failed(format!("Callgrind counted more than {parts} parts")));
    }
    (1..=parts).map(|index| profile::read(&text(index).map_err(failed)?).map_err(NoCallgrind::Failed)).collect()
}

fn run(profile: &Path) -> Result<(), String> {
    let mut callgrind = Command::new("valgrind");
    callgrind
        .args(["--tool=callgrind", "--quiet", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--zero-before={COUNTED}"))
        .arg(format!("--dump-after={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().map_err(|error| error.to_string())?)
        .arg(INSIDE);
    // Nothing of this machine but the way to its programs: variables take room on the stack, and libraries read them.
    let path = env::var_os("PATH").unwrap_or_default();
    callgrind.env_clear().env("PATH", path).env("LD_BIND_NOW", "1").env("GLIBC_TUNABLES", PROCESSOR_OF_ALL);
    said(&mut callgrind).map(drop)
}
