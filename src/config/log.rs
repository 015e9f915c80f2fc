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
        // Blanks around a directive are taken away here, because the filter counts its offsets without them but cuts
        // the text with them: `info, a=debug` would be refused, and ` é=debug` would end the process.
        let directives: Vec<_> = text.split(',').map(str::trim).collect();
        let has_spans = text.contains('[');
        for part in directives.iter().filter(|_| !has_spans) {
            // An empty word would count as `error`.
            if part.is_empty() || (!part.contains('=') && part.parse::<LevelFilter>().is_err()) {
                let reason = Reason::new(format!("{} is not a level", quoted(part)));
                return Err(reason.hint(did_you_mean(part, LEVELS).unwrap_or_else(|| HINT.to_owned())));
            }
        }
        let clean = directives.join(",");
        match EnvFilter::builder().parse(&clean) {
            Ok(_) => Ok(Self(clean)),
            Err(_) => Err(Reason::new(format!("{} is not a filter", quoted(text))).hint(HINT)),
        }
    }

    /// The filter. The NATS client tells what walpost tells in its own words, so it is heard only if asked for by name.
    /// The library for SQL tells the values of parameters, which may be a row's: that is never heard.
    pub fn filter(&self) -> EnvFilter {
        let quiet = (!self.0.contains("async_nats")).then_some(NATS_CLIENT_QUIET);
        let quiet = [Some(SQL_VALUES_QUIET), quiet].into_iter().flatten().filter_map(|quiet| quiet.parse().ok());
        quiet.fold(EnvFilter::builder().parse_lossy(&self.0), EnvFilter::add_directive)
    }
}

/// What is always added.
const SQL_VALUES_QUIET: &str = "tokio_postgres::query=off";

/// What is added unless the level names the client.
const NATS_CLIENT_QUIET: &str = "async_nats=off";

/// The levels, with the words that the filter takes.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What a filter looks like.
const HINT: &str = "a level (error, warn, info, debug, trace, off), or target=level pairs separated by commas";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The filter in `text`, as it prints itself.
    fn filter(text: &str) -> Option<String> {
        LogLevel::parse(text).ok().map(|level| level.filter().to_string())
    }

    #[test]
    fn blanks_around_a_directive_mean_nothing() {
        assert!(filter("walpost=debug,info").is_some());
        for text in ["walpost=debug, info", " walpost=debug,info\n", "\u{2003}walpost=debug\t,\tinfo"] {
            assert_eq!(filter(text), filter("walpost=debug,info"), "{text:?}");
        }
        assert_eq!(filter(" é=debug"), filter("é=debug"));
    }

    #[test]
    fn the_values_in_sql_are_never_heard() {
        for text in ["trace", "tokio_postgres=trace", "info,tokio_postgres::query=trace"] {
            let filter = filter(text).unwrap();
            assert!(filter.split(',').any(|directive| directive == SQL_VALUES_QUIET), "{text}: {filter}");
            assert!(!filter.contains("query=trace"), "{text}: {filter}");
        }
    }

    #[test]
    fn a_slip_is_not_taken_for_a_target() {
        for text in ["inof", "info,walpost", "", " ", "info,,warn"] {
            assert_eq!(filter(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_filter_or_a_reason(text in r#"([ é=]|[,\[\]{}\"a1]|info|NaN){0,12}"#) {
            let _outcome = filter(&text);
        }
    }
}
