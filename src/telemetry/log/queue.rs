//! The way of log lines out of the process: a bounded queue, and a thread that writes.
//!
//! A reader that does not read (a stopped pager, a full pipe) must not stop delivery. So adding a line never waits: when
//! the queue is full the line is dropped and counted, and the count is told as soon as lines go out again. A writer that
//! fails is ignored, because there is no one left to tell.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tracing::Level;

use super::line::{Fields, Line, Style};

/// Lines on their way to the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What waits, and what is known of the writer.
    state: Mutex<State>,
    /// Told when lines come, and when all are written.
    changed: Condvar,
}

/// What is behind the lock.
#[derive(Debug, Default)]
struct State {
    /// Lines that wait: at most [`LONGEST`].
    lines: VecDeque<String>,
    /// Whether the writer has lines in hand.
    is_writing: bool,
    /// Lines dropped since the start.
    dropped: u64,
    /// Of these, how many the log has told about; never more than `dropped`.
    told: u64,
}

impl Queue {
    /// A queue with a thread that writes to `writer`, for as long as the process lives.
    pub(super) fn start(writer: impl Write + Send + 'static, style: Style) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::default());
        let of_thread = Arc::clone(&queue);
        thread::Builder::new().name("log".into()).spawn(move || of_thread.write_to(writer, style))?;
        Ok(queue)
    }

    /// Adds a line, or drops it if the queue is full.
    pub(super) fn push(&self, line: String) {
        let mut state = self.lock();
        if state.lines.len() < LONGEST {
            state.lines.push_back(line);
            drop(state);
            self.changed.notify_all();
        } else {
            state.dropped += 1;
        }
    }

    /// Waits until everything is written, but not longer than [`PATIENCE`].
    pub(super) fn flush(&self) {
        let state = self.lock();
        let is_busy = |state: &mut State| !state.lines.is_empty() || state.is_writing;
        drop(self.changed.wait_timeout_while(state, PATIENCE, is_busy));
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Writes what comes, for ever.
    fn write_to(&self, mut writer: impl Write, style: Style) {
        loop {
            let is_idle = |state: &mut State| state.lines.is_empty();
            let mut state = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
            state.is_writing = true;
            let lines = mem::take(&mut state.lines);
            let untold = state.dropped - state.told;
            state.told = state.dropped;
            drop(state);
            let notice = (untold > 0).then(|| dropped_notice(untold, style));
            for line in lines.into_iter().chain(notice) {
                let _unheard: io::Result<()> = writer.write_all(line.as_bytes());
            }
            let _unheard: io::Result<()> = writer.flush();
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// The state. No one panics with it in hand; if someone did, the lines would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line that tells how many others are missing.
fn dropped_notice(count: u64, style: Style) -> String {
    let mut fields = Fields::default();
    fields.set("message", "log lines were dropped, because their reader was too slow".into());
    fields.set("lines", count.into());
    Line::new(Timestamp::now(), Level::WARN, "walpost::telemetry::log", fields).render(style)
}

/// The most lines that wait: some seconds of a busy log, and a few megabytes at most.
const LONGEST: usize = 8192;

/// How long the end of the process waits for a slow reader.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A writer that holds every write until it is let go, and tells when one begins.
    struct Gate {
        /// Told at each write.
        begun: mpsc::Sender<Vec<u8>>,
        /// Waited for at each write.
        go: mpsc::Receiver<()>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(bytes.to_vec()).ok();
            self.go.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_but_no_time() {
        let (begun, begun_writes) = mpsc::channel();
        let (let_go, go) = mpsc::channel();
        let queue = Queue::start(Gate { begun, go }, Style::Json).unwrap();
        queue.push("first\n".into());
        assert_eq!(begun_writes.recv().unwrap(), b"first\n");
        for _ in 0..LONGEST + 5 {
            queue.push("more\n".into());
        }
        assert_eq!(queue.dropped(), 5);
        for _ in 0..LONGEST + 2 {
            let_go.send(()).unwrap();
        }
        let written: Vec<_> = begun_writes.iter().take(LONGEST + 1).collect();
        let notice = String::from_utf8(written.last().unwrap().clone()).unwrap();
        assert!(notice.contains("were dropped") && notice.contains("\"lines\":5"), "{notice}");
        queue.flush();
    }

    #[test]
    fn a_writer_that_fails_is_ignored() {
        let (begun, begun_writes) = mpsc::channel();
        let (let_go, go) = mpsc::channel();
        drop(let_go);
        let queue = Queue::start(Gate { begun, go }, Style::Json).unwrap();
        queue.push("one\n".into());
        queue.push("two\n".into());
        queue.flush();
        assert_eq!(begun_writes.iter().take(2).count(), 2);
    }
}
