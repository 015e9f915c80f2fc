//! How a run looks: a block on a terminal, a line now and then elsewhere.

use std::time::Duration;

use tokio::time::Instant;

use super::error::SandboxError;
use super::screen::{Ink, Line, Screen};
use super::tally::{Arrival, Tally};
use crate::words::{bytes, duration, grouped};

/// How often the block is drawn.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// How often there is a line where no block can be drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// The longest progress bar.
const LONGEST_BAR: usize = 60;

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The clerks write.
    Writing,
    /// The clerks have gone home; what they wrote is on its way.
    Settling,
}

/// Shows a run.
#[derive(Debug)]
pub(super) struct View {
    /// The number of events to write, if there is one.
    goal: Option<u64>,
    /// When the last line was written.
    last_line: Instant,
}

impl View {
    /// A view of a run of so many events.
    pub(super) fn new(goal: Option<u64>) -> Self {
        Self { goal, last_line: Instant::now() }
    }

    /// Show how things are, if it is time.
    pub(super) fn show(&mut self, tally: &Tally, stage: Stage, screen: &mut Screen<'_>) -> Result<(), SandboxError> {
        if screen.is_live() {
            screen.block(&self.block(tally, stage, screen.width()))?;
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            screen.line(&plain(tally))?;
        }
        Ok(())
    }

    /// Show how things were in the end.
    pub(super) fn finish(&mut self, tally: &Tally, screen: &mut Screen<'_>) -> Result<(), SandboxError> {
        if screen.is_live() {
            screen.block(&self.block(tally, Stage::Settling, screen.width()))?;
            screen.settle_block();
        } else {
            screen.line(&plain(tally))?;
        }
        Ok(())
    }

    /// The block.
    fn block(&self, tally: &Tally, stage: Stage, width: usize) -> Vec<Line> {
        let mut lines = vec![self.headline(tally, stage, width), counts(tally), latencies(tally), Line::default()];
        lines.extend(tally.recent.iter().map(arrival));
        lines
    }

    /// How far it is, or how long it has been.
    fn headline(&self, tally: &Tally, stage: Stage, width: usize) -> Line {
        let speed = format!("{:.0} events/s", tally.speed());
        let Some(goal) = self.goal else {
            let line = Line::of(Ink::Strong, format!("  {speed}   ")).with(Ink::Plain, clock(tally.elapsed()));
            return match stage {
                Stage::Writing => line.with(Ink::Dim, "   Ctrl-C ends it with a verdict"),
                Stage::Settling => line.with(Ink::Dim, "   no more writing; waiting for what is on its way"),
            };
        };
        let text = format!("  {} of {}   {speed}", grouped(tally.stored()), grouped(goal));
        let length = width.saturating_sub(text.len() + 4).min(LONGEST_BAR);
        let done = scaled(tally.stored(), goal, length);
        let (full, empty) = ("━".repeat(done), "─".repeat(length - done));
        Line::of(Ink::Plain, "  ").with(Ink::Good, full).with(Ink::Dim, empty).with(Ink::Strong, text)
    }
}

/// A line for logs and pipes.
fn plain(tally: &Tally) -> Line {
    let [p50, p99] = [50, 99].map(|percent| tally.latencies.percentile(percent).map_or("-".to_owned(), duration));
    let lag = tally.lag_bytes.map_or("-".to_owned(), bytes);
    let text = format!(
        "{}  {} committed  {} stored  {} in flight  {:.0} events/s  lag {lag}  p50 {p50}  p99 {p99}",
        clock(tally.elapsed()),
        grouped(tally.written.committed),
        grouped(tally.stored()),
        grouped(tally.in_flight()),
        tally.speed(),
    );
    Line::of(Ink::Plain, text)
}

/// The numbers.
fn counts(tally: &Tally) -> Line {
    let lag = tally.lag_bytes.map_or("-".to_owned(), bytes);
    let numbers = [
        ("committed", grouped(tally.written.committed)),
        ("stored", grouped(tally.stored())),
        ("in flight", grouped(tally.in_flight())),
        ("rolled back", grouped(tally.written.rolled_back)),
        ("lag", lag),
    ];
    labelled(numbers)
}

/// How long events took.
fn latencies(tally: &Tally) -> Line {
    let shown = |latency: Option<Duration>| latency.map_or("-".to_owned(), duration);
    let latencies = &tally.latencies;
    labelled([
        ("insert to consumer: p50", shown(latencies.percentile(50))),
        ("p99", shown(latencies.percentile(99))),
        ("max", shown(latencies.highest())),
    ])
}

/// Numbers, each behind its name.
fn labelled<const N: usize>(numbers: [(&str, String); N]) -> Line {
    numbers.into_iter().fold(Line::default(), |line, (name, number)| {
        line.with(Ink::Dim, format!("  {name} ")).with(Ink::Plain, number)
    })
}

/// An event that arrived.
fn arrival(arrival: &Arrival) -> Line {
    // The end of a version 7 id is random; its beginning is the time, which all have in common.
    let id = arrival.id.map(|id| id.simple().to_string()).unwrap_or_default();
    let id = id.get(24..).unwrap_or("-");
    let latency = arrival.latency.map(duration).unwrap_or_default();
    // Those of guests stand out.
    let ink = if arrival.subject.starts_with("outbox.order.") { Ink::Plain } else { Ink::Good };
    Line::of(Ink::Dim, format!("  {}  ", arrival.at.strftime("%H:%M:%S%.3f")))
        .with(Ink::Accent, format!("#{:<8} ", arrival.sequence))
        .with(ink, format!("{:<28} ", arrival.subject))
        .with(Ink::Dim, format!("{id:<8} {latency:>8}"))
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!("{:02}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// `part` of `whole` on a scale up to `length`.
fn scaled(part: u64, whole: u64, length: usize) -> usize {
    let wide = u128::try_from(length).unwrap_or_default();
    let scaled = u128::from(part.min(whole)) * wide / u128::from(whole.max(1));
    usize::try_from(scaled).unwrap_or(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::options::Show;

    /// What a fresh run looks like.
    fn shown(goal: Option<u64>, is_terminal: bool, committed: u64) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, Show { is_terminal, is_coloured: false, width: 80 });
        let mut tally = Tally::new();
        tally.written.committed = committed;
        View::new(goal).finish(&tally, &mut screen).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn a_goal_has_a_bar_and_without_one_the_way_out_is_shown() {
        let text = shown(Some(5000), true, 12);
        assert!(text.contains("─ ") && text.contains("0 of 5,000"), "{text}");
        assert!(text.contains("committed 12") && text.contains("in flight 12"), "{text}");
        let block = View::new(None).block(&Tally::new(), Stage::Writing, 80);
        assert!(format!("{block:?}").contains("Ctrl-C"), "{block:?}");
    }

    #[tokio::test]
    async fn elsewhere_it_is_one_line() {
        let text = shown(None, false, 1200);
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("00:00  1,200 committed  0 stored  1,200 in flight"), "{text}");
    }

    #[test]
    fn the_bar_is_full_only_at_the_goal() {
        assert_eq!([scaled(0, 10, 60), scaled(5, 10, 60), scaled(10, 10, 60), scaled(11, 10, 60)], [0, 30, 60, 60]);
        assert_eq!(scaled(9_999, 10_000, 60), 59);
    }
}
