//! The course of a sandbox: start, write and watch, settle, stop, judge.
//!
//! One loop owns everything that changes. The clerks and the question for the lag are tasks of their own that only tell
//! numbers; they end with the run, whatever way it ends.

use std::io::Write;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::error::SandboxError;
use super::ledger;
use super::options::SandboxOptions;
use super::parts::Parts;
use super::relay::{Relay, RelayStatus};
use super::screen::{Ink, Line, Screen};
use super::shop::Shop;
use super::stored::{Stored, StreamReader};
use super::tally::Tally;
use super::verdict::Verdict;
use super::view::{FRAME, Stage, View};

/// How long nothing may arrive after the last commit before the rest counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the relay is asked for the lag.
const ASKING: Duration = Duration::from_millis(500);

/// Run the sandbox, and print everything to `out` as it happens, the verdict last.
///
/// Cancelling `stop` ends the writing; the verdict is still made. Dropping the future, or ending the process in any way,
/// stops at once; in each case the servers end and their folders are removed.
///
/// # Errors
/// There is no verdict: something did not start or broke, or `stop` was cancelled before the first event. A bad verdict
/// is not an error: ask [`Verdict::is_clean`].
pub async fn run(
    options: SandboxOptions,
    stop: CancellationToken,
    out: &mut dyn Write,
) -> Result<Verdict, SandboxError> {
    let mut screen = Screen::new(out, options.show);
    screen.line(&Line::of(
        Ink::Plain,
        "A Postgres, a NATS and an order service of your own, with walpost between them:",
    ))?;
    let parts = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(SandboxError::Interrupted),
        parts = Box::pin(Parts::start(&options, &mut screen)) => parts?,
    };
    parts.invite(&mut screen)?;
    let session = Box::pin(Session::open(&options, &parts, &mut screen)).await?;
    let verdict = Box::pin(session.run(&stop)).await?;
    drop(parts);
    print(&verdict, &mut screen)?;
    Ok(verdict)
}

/// One run of the example on running parts.
struct Session<'a, 'w> {
    /// The servers and the relay.
    parts: &'a Parts,
    /// Where it is shown.
    screen: &'a mut Screen<'w>,
    /// The order service.
    shop: Shop,
    /// The consumer.
    reader: StreamReader,
    /// The connection of the consumer.
    nats: async_nats::Client,
    /// What is known.
    tally: Tally,
    /// How it is shown.
    view: View,
    /// When to show it.
    frames: Interval,
    /// What the relay says about itself.
    status: watch::Receiver<RelayStatus>,
    /// Asks the relay; ends with the session.
    _asking: JoinSet<()>,
}

/// What happened next.
enum Turn {
    /// Somebody wants it to end.
    Stop,
    /// All clerks have gone home.
    Closed,
    /// It is time to show something.
    Frame,
    /// A message arrived.
    Message(Stored),
}

impl<'a, 'w> Session<'a, 'w> {
    /// Open the shop.
    async fn open(
        options: &SandboxOptions,
        parts: &'a Parts,
        screen: &'a mut Screen<'w>,
    ) -> Result<Self, SandboxError> {
        let nats = async_nats::connect(parts.nats.url()).await.map_err(SandboxError::stream)?;
        let reader = StreamReader::open(&nats).await?;
        let (tell, status) = watch::channel(RelayStatus::default());
        let mut asking = JoinSet::new();
        asking.spawn(ask_for_status(parts.relay.admin_port(), tell));
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shop = Shop::open(&parts.postgres, options.events, options.rate).await?;
        let (tally, view) = (Tally::new(), View::new(options.events));
        Ok(Self { parts, screen, shop, reader, nats, tally, view, frames, status, _asking: asking })
    }

    /// Everything up to the verdict.
    async fn run(mut self, stop: &CancellationToken) -> Result<Verdict, SandboxError> {
        self.write(stop).await?;
        let mut complaints = self.settle().await?;
        self.view.finish(&self.tally, self.screen)?;
        let peak_memory_bytes = self.parts.relay.peak_memory_bytes();
        match self.parts.relay.stop().await {
            Some(end) if end.is_success => {}
            Some(end) => complaints.push(format!("walpost did not stop in order: {}", end.how)),
            None => complaints.push("walpost was told to stop and did not".to_owned()),
        }
        let findings = ledger::compare(&self.parts.postgres, &self.nats).await?;
        if !complaints.is_empty() || !findings.is_clean() {
            complaints.push(format!("the end of walpost's log:\n{}", self.parts.relay.log_tail()));
        }
        let latencies = &self.tally.latencies;
        let latency = [latencies.percentile(50), latencies.percentile(99), latencies.highest()];
        Ok(Verdict {
            findings,
            complaints,
            rolled_back: self.shop.written().rolled_back,
            events_per_second: self.tally.average_speed(),
            latency: latency.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.try_into().ok()),
            peak_memory_bytes,
        })
    }

    /// Show the events until the clerks have gone home.
    async fn write(&mut self, stop: &CancellationToken) -> Result<(), SandboxError> {
        let mut is_closing = false;
        loop {
            let turn = tokio::select! {
                biased;
                () = stop.cancelled(), if !is_closing => Turn::Stop,
                closed = self.shop.closed() => closed.map(|()| Turn::Closed)?,
                error = self.parts.relay.broke_off() => return Err(error.into()),
                _ = self.frames.tick() => Turn::Frame,
                message = self.reader.next() => Turn::Message(message?),
            };
            match turn {
                Turn::Stop => {
                    is_closing = true;
                    self.shop.close();
                }
                Turn::Closed => return Ok(()),
                Turn::Frame => self.show(Stage::Writing)?,
                Turn::Message(message) => self.tally.arrived(&message),
            }
        }
    }

    /// Wait until the consumer has seen as many messages as the table has rows; a complaint if that does not happen.
    async fn settle(&mut self) -> Result<Vec<String>, SandboxError> {
        let sql = self.parts.postgres.connect().await?;
        self.tally.written = self.shop.written();
        let rows = ledger::count_rows(&sql).await?;
        let begun = Instant::now();
        while self.tally.seen() < rows {
            let turn = tokio::select! {
                biased;
                error = self.parts.relay.broke_off() => return Err(error.into()),
                _ = self.frames.tick() => Turn::Frame,
                message = self.reader.next() => Turn::Message(message?),
            };
            match turn {
                Turn::Message(message) => self.tally.arrived(&message),
                _ => self.show(Stage::Settling)?,
            }
            if self.tally.silence().min(begun.elapsed()) > PATIENCE {
                let missing = rows - self.tally.seen();
                return Ok(vec![format!(
                    "nothing arrived for {PATIENCE:?} although {missing} events were still to come"
                )]);
            }
        }
        Ok(Vec::new())
    }

    /// Show how things are.
    fn show(&mut self, stage: Stage) -> Result<(), SandboxError> {
        self.tally.written = self.shop.written();
        self.tally.lag_bytes = Some(self.status.borrow().lag_bytes);
        self.tally.sample();
        self.view.show(&self.tally, stage, self.screen)
    }
}

/// Ask the relay now and then how it is. It may be too busy to answer, or gone: then the last answer stands.
async fn ask_for_status(port: u16, tell: watch::Sender<RelayStatus>) {
    loop {
        if let Some(status) = Relay::status(port).await {
            tell.send_replace(status);
        }
        sleep(ASKING).await;
    }
}

/// Print the verdict.
fn print(verdict: &Verdict, screen: &mut Screen<'_>) -> Result<(), SandboxError> {
    screen.blank()?;
    screen.text(&verdict.table())?;
    screen.blank()?;
    for detail in verdict.details() {
        for line in detail.lines() {
            screen.line(&Line::of(Ink::Bad, line))?;
        }
    }
    let ink = if verdict.is_clean() { Ink::Good } else { Ink::Bad };
    screen.line(&Line::of(ink, verdict.summary()))?;
    Ok(())
}
