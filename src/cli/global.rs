//! The options that every command takes.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::config::{Override, Sources, environment};

/// What holds for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub struct GlobalArgs {
    /// Read this file [env: WALPOST_CONFIG] [default: walpost.toml, if any].
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Set one value (nats.stream=OUTBOX); repeatable, not for secrets.
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
    /// Set the form of log lines: auto, pretty or json.
    #[arg(long, value_name = "FORMAT", global = true)]
    pub log_format: Option<String>,
    /// Set what is logged: a level, or target=level pairs.
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
}

impl GlobalArgs {
    /// Where the settings come from, given the environment of the process.
    pub(super) fn sources(&self, environment: Vec<(OsString, OsString)>) -> Sources {
        let set = self.set.iter().cloned().map(Override::Set);
        let own = [("--log-format", "log.format", &self.log_format), ("--log-level", "log.level", &self.log_level)];
        let own = own
            .into_iter()
            .filter_map(|(flag, key, value)| value.clone().map(|value| Override::Flag { flag, key, value }));
        let overrides = set.chain(own).collect();
        Sources { file: self.file(&environment), environment, overrides }
    }

    /// The configuration file: as the flag says, or the environment, or the default if there is such a file.
    fn file(&self, environment: &[(OsString, OsString)]) -> Option<PathBuf> {
        let named =
            environment.iter().find(|(name, value)| name == OsStr::new(environment::CONFIG) && !value.is_empty());
        let default = || Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE));
        self.config.clone().or_else(|| named.map(|(_, value)| PathBuf::from(value))).or_else(default)
    }
}

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "walpost.toml";
