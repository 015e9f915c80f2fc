//! Exit codes.

use std::process::ExitCode;

/// How the process ends; part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command did what it says.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// Wrong usage or configuration; nothing was touched.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
