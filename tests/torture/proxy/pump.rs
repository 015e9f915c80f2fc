//! One direction of one connection: reads, notes, passes on; or not, as the weather is.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Shared, reset_when_dropped,
    tap::{Message, Tap},
    weather::{Answers, Cut, Cuts, Flow, Weather},
};
use crate::journal::{Life, Seen};

/// Which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// From walpost to the server.
    Up,
    /// From the server to walpost.
    Down,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Pump {
    shared: Arc<Shared>,
    side: Side,
    life: Life,
    tap: Tap,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    /// What waits for fine weather.
    held: BytesMut,
    /// Answers that come late.
    late: VecDeque<(Instant, Bytes)>,
    /// Whether whoever sends has said its last.
    is_read_out: bool,
}

/// The connection ends now.
struct Over;

impl Pump {
    pub(super) fn new(
        shared: Arc<Shared>,
        (side, life): (Side, Life),
        tap: Tap,
        (reader, writer): (OwnedReadHalf, OwnedWriteHalf),
    ) -> Self {
        let (held, late) = (BytesMut::new(), VecDeque::new());
        Self { shared, side, life, tap, reader, writer, held, late, is_read_out: false }
    }

    /// Until either end is gone, or the connection is cut.
    pub(super) async fn run(mut self, mut weather: watch::Receiver<Weather>, mut cuts: Cuts) {
        while self.turn(&mut weather, &mut cuts).await.is_ok() {}
        if !self.is_read_out {
            // The other direction must not wait for an end that does not answer any more.
            drop(self.writer.shutdown().await);
        }
    }

    async fn turn(&mut self, weather: &mut watch::Receiver<Weather>, cuts: &mut Cuts) -> Result<(), Over> {
        let now = *weather.borrow_and_update();
        let flow = if self.side == Side::Up { now.up } else { now.down };
        if flow == Flow::Pass && !self.held.is_empty() {
            let held = self.held.split().freeze();
            self.write(&held).await?;
        }
        if self.is_read_out && flow == Flow::Pass && self.late.is_empty() {
            drop(self.writer.shutdown().await);
            return Err(Over);
        }
        let due = self.late.front().map_or_else(Instant::now, |(due, _)| *due);
        tokio::select! {
            biased;
            cut = cuts.changed() => {
                if cut.is_ok() && cuts.borrow().1 == Cut::Reset {
                    reset_when_dropped(self.writer.as_ref());
                    reset_when_dropped(self.reader.as_ref());
                    self.is_read_out = true;
                }
                Err(Over)
            }
            changed = weather.changed() => changed.map_err(|_| Over),
            () = sleep_until(due), if !self.late.is_empty() => match self.late.pop_front() {
                Some((_, bytes)) => self.write(&bytes).await,
                None => Ok(()),
            },
            read = self.reader.read_buf(self.tap.space()), if !self.is_read_out => {
                self.is_read_out = read.map_err(|_| Over)? == 0;
                self.pass(now, flow).await
            }
        }
    }

    /// Takes the messages that are whole, notes them, and passes them on.
    async fn pass(&mut self, weather: Weather, flow: Flow) -> Result<(), Over> {
        let mut out = BytesMut::new();
        let mut is_last = false;
        while let Some(message) = self.tap.next() {
            if self.shared.is_over.load(Relaxed) {
                return Err(Over);
            }
            is_last = self.side == Side::Up && self.shared.messages.burn(1).is_some();
            self.take(message, weather.answers, flow, &mut out);
            if is_last {
                break;
            }
        }
        match flow {
            Flow::Swallow => {}
            Flow::Hold => self.held.extend_from_slice(&out),
            Flow::Pass => {
                if !weather.latency.is_zero() {
                    sleep(weather.latency).await;
                }
                self.write(&out).await?;
            }
        }
        if is_last {
            self.shared.is_over.store(true, Relaxed);
            return Err(Over);
        }
        Ok(())
    }

    fn take(&mut self, message: Message, answers: Answers, flow: Flow, out: &mut BytesMut) {
        let Message { bytes, mut seen } = message;
        let is_answer = matches!(seen, Some(Seen::Answered(_)));
        if let Some(Seen::Answered(answer)) = &mut seen {
            answer.is_delivered = flow != Flow::Swallow && answers != Answers::Drop;
        }
        // A position that never arrives tells walpost nothing.
        if let Some(seen) = seen.filter(|seen| flow != Flow::Swallow || !matches!(seen, Seen::Tail { .. })) {
            self.shared.journal.note(self.life, seen);
        }
        match answers {
            Answers::Drop if is_answer => {}
            Answers::Late(by) if is_answer => self.late.push_back((Instant::now() + by, bytes)),
            Answers::Twice if is_answer => {
                out.extend_from_slice(&bytes);
                out.extend_from_slice(&bytes);
            }
            _ => out.extend_from_slice(&bytes),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        if bytes.is_empty() {
            return Ok(());
        }
        let last = self.shared.bytes.burn(bytes.len() as u64).map(|left| usize::try_from(left).unwrap());
        let written = self.writer.write_all(&bytes[..last.unwrap_or(bytes.len())]).await;
        if last.is_some() {
            reset_when_dropped(self.writer.as_ref());
            reset_when_dropped(self.reader.as_ref());
            self.is_read_out = true;
            return Err(Over);
        }
        written.map_err(|_| Over)
    }
}
