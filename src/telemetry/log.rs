//! The log: `tracing` events to lines on standard error.
//!
//! One event is one line, whatever its values hold: text for people on a terminal, flat JSON elsewhere. The fields of
//! the spans around an event are its fields too. Writing never waits, fails or panics: see `queue`.

mod line;
mod queue;

use std::{
    io,
    sync::{Arc, OnceLock},
};

use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt};

use self::{
    line::{Fields, Line, Style},
    queue::Queue,
};
use crate::config::{Log, LogFormat};

/// Starts the log of the process. It ends with the returned guard, which waits a moment for the last lines.
pub fn install(log: &Log, terminal: Terminal) -> Result<LogGuard, LogError> {
    let style = match (log.format, terminal.is_terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Style::Json,
        (LogFormat::Pretty, _) | (LogFormat::Auto, true) => Style::Pretty { is_coloured: terminal.is_coloured },
    };
    let queue = Queue::start(io::stderr(), style).map_err(LogError::Thread)?;
    let lines = Lines { style, queue: Arc::clone(&queue) };
    let subscriber = tracing_subscriber::registry().with(log.level.filter()).with(lines);
    subscriber.try_init().map_err(|_| LogError::Taken)?;
    // There is one log in a process, so this is the first.
    drop(INSTALLED.set(Arc::clone(&queue)));
    Ok(LogGuard { queue, style })
}

/// How many lines of the process' log were dropped because their reader was too slow.
pub fn dropped_lines() -> u64 {
    INSTALLED.get().map_or(0, |queue| queue.dropped())
}

/// The queue of the process' log, for those who only look.
static INSTALLED: OnceLock<Arc<Queue>> = OnceLock::new();

/// A line like those of a JSON log, for what ends the process; whoever writes it waits until it is written.
pub fn last_line(message: &'static str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let mut all = Fields::default();
    all.set("message", message.into());
    for (name, value) in fields {
        all.set(name, value);
    }
    Line::new(jiff::Timestamp::now(), Level::ERROR, "walpost", all).render(Style::Json)
}

/// What standard error is.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether a person may be looking.
    pub is_terminal: bool,
    /// Whether colours are welcome.
    pub is_coloured: bool,
}

/// Keeps the log going.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct LogGuard {
    queue: Arc<Queue>,
    style: Style,
}

impl LogGuard {
    /// Whether each line is a JSON object.
    pub fn is_json(&self) -> bool {
        self.style == Style::Json
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.flush();
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The process has a log already.
    #[error("the log was started twice")]
    Taken,
    /// The system gave no thread to write it.
    #[error("the log has no thread to write it")]
    Thread(#[source] io::Error),
}

/// Makes a line of each event.
struct Lines {
    /// How a line looks.
    style: Style,
    /// Where it goes.
    queue: Arc<Queue>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.extend(of_span);
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = Line::new(jiff::Timestamp::now(), *metadata.level(), metadata.target(), fields);
        self.queue.push(line.render(self.style));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Mutex, PoisonError},
    };

    use super::*;

    /// A writer that keeps what it is given.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `events` gives.
    fn lines_of(style: Style, events: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        let queue = Queue::start(kept.clone(), style).unwrap();
        let lines = Lines { style, queue: Arc::clone(&queue) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), events);
        queue.flush();
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn json_is_flat_and_carries_the_fields_of_the_spans() {
        let lines = lines_of(Style::Json, || {
            let span = tracing::info_span!("leading", slot = "walpost", term = 3, stream = tracing::field::Empty);
            span.record("stream", "OUTBOX");
            let _inside = span.enter();
            tracing::warn!(target: "walpost::relay", lag_bytes = 12_u64, slow = true, "behind");
        });
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (&line["level"], &line["target"], &line["message"]),
            (&"WARN".into(), &"walpost::relay".into(), &"behind".into())
        );
        assert_eq!((&line["slot"], &line["term"], &line["stream"]), (&"walpost".into(), &3.into(), &"OUTBOX".into()));
        assert_eq!((&line["lag_bytes"], &line["slow"]), (&12.into(), &true.into()));
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        for style in [Style::Json, Style::Pretty { is_coloured: false }] {
            let lines = lines_of(style, || tracing::info!(value = "a\nb\u{1b}[2J\u{9b}", "one\r\ntwo\u{2028}"));
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].contains('\u{1b}') && !lines[0].contains('\u{9b}'), "{lines:?}");
        }
    }

    #[test]
    fn a_pretty_line_reads_in_order() {
        let lines = lines_of(Style::Pretty { is_coloured: false }, || {
            tracing::info!(stream = "OUTBOX", at = "16/B374D848", text = "two words", "leading");
        });
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
        assert_eq!(rest, " INFO leading  stream=OUTBOX at=16/B374D848 text=\"two words\"");
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let error = LogError::Thread(io::Error::other("no more"));
        let lines = lines_of(Style::Json, || tracing::error!(error = &error as &dyn std::error::Error, "failed"));
        assert!(lines[0].contains("\"error\":\"the log has no thread to write it: no more\""), "{lines:?}");
    }
}
