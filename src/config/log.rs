//! `[log]`: how much is logged, and in which form.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{
    keys,
    problem::{Reason, quoted},
    reader::Reader,
    suggest::did_you_mean,
    units::one_of,
};

/// The log.
#[derive(Clone, Debug)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// What is logged.
    pub level: LogLevel,
}

impl Log {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let format = reader.required(&keys::LOG_FORMAT, |text| one_of(text, &LogFormat::WORDS));
        let level = reader.required(&keys::LOG_LEVEL, LogLevel::parse);
        Some(Self { format: format?, level: level? })
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

impl LogFormat {
    /// The forms, with their words.
    const WORDS: [(&'static str, Self); 3] = [("auto", Self::Auto), ("pretty", Self::Pretty), ("json", Self::Json)];
}

/// What is logged: a level, or levels for targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// Parses filter directives. A bare word must be a level: the filter would take a slip such as `inof` for a target,
    /// and log nothing else.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let has_spans = text.contains('[');
        for part in text.split(',').map(str::trim).filter(|_| !has_spans) {
            if !part.contains('=') && part.parse::<LevelFilter>().is_err() {
                let reason = Reason::new(format!("{} is not a level", quoted(part)));
                return Err(reason.hint(did_you_mean(part, LEVELS).unwrap_or_else(|| HINT.to_owned())));
            }
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(Reason::new(format!("{} is not a filter", quoted(text))).hint(HINT)),
        }
    }

    /// The filter. The NATS client tells at level info what walpost tells in its own words, so it must be asked for by
    /// name to be heard below warnings.
    pub fn filter(&self) -> EnvFilter {
        let filter = EnvFilter::builder().parse_lossy(&self.0);
        match NATS_CLIENT_QUIET.parse() {
            Ok(quiet) if !self.0.contains("async_nats") => filter.add_directive(quiet),
            _ => filter,
        }
    }
}

/// What is added unless the level names the client.
const NATS_CLIENT_QUIET: &str = "async_nats=warn";

/// The levels, with the words that the filter takes.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What a filter looks like.
const HINT: &str = "a level (error, warn, info, debug, trace, off), or target=level pairs separated by commas";
