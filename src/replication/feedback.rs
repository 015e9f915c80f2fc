//! When to tell the server what; pure.
//!
//! Time is an input, so that the pacing can be tested without waiting.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::time::Instant;

use crate::lsn::Lsn;

/// Progress is reported this often at the most while events flow: the report costs the server a slot update.
const PROGRESS_SPACING: Duration = Duration::from_millis(100);
/// An answer that repeats the last one waits this long. A server that is shutting down asks again after every answer
/// that does not satisfy it; unpaced, that is 20,000 questions a second.
const REPEAT_SPACING: Duration = Duration::from_millis(100);
/// A status goes out at least this often, whatever the server's own timeout.
const MAX_SILENCE: Duration = Duration::from_secs(10);
/// Body of a status update: tag, three positions, clock, flag.
const STATUS_BODY_BYTES: i32 = 34;

/// What one status update says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The end of the log that has been received.
    pub written: Lsn,
    /// The end of the last transaction whose every event the stream stores.
    pub flushed: Lsn,
    /// Whether the server should answer at once.
    pub reply_requested: bool,
}

impl StatusUpdate {
    /// The message as `CopyData`. The clock field is only informative to the server: zero, so that nothing here
    /// depends on wall time.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u8(b'd');
        out.put_i32(STATUS_BODY_BYTES + 4);
        out.put_u8(b'r');
        out.put_u64(self.written.as_u64());
        out.put_u64(self.flushed.as_u64());
        out.put_u64(self.flushed.as_u64());
        out.put_i64(0);
        out.put_u8(u8::from(self.reply_requested));
    }
}

/// Decides when a status update is due.
///
/// Invariant: `flushed` never decreases, and is only ever what [`Feedback::flushed`] was given.
#[derive(Debug)]
pub struct Feedback {
    written: Lsn,
    flushed: Lsn,
    last: StatusUpdate,
    last_sent: Instant,
    last_heard: Instant,
    asked: bool,
    silence: Duration,
    timeout: Duration,
    probing: bool,
}

impl Feedback {
    /// Starts at `now`, with the server's `wal_sender_timeout` (zero: it has none).
    pub fn new(now: Instant, server_timeout: Duration) -> Self {
        let timeout = if server_timeout.is_zero() { Duration::from_secs(60) } else { server_timeout };
        Self {
            written: Lsn::ZERO,
            flushed: Lsn::ZERO,
            last: StatusUpdate { written: Lsn::ZERO, flushed: Lsn::ZERO, reply_requested: false },
            last_sent: now,
            last_heard: now,
            asked: false,
            silence: MAX_SILENCE.min(timeout / 3),
            timeout,
            probing: false,
        }
    }

    /// Bytes arrived at `now`.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.probing = false;
    }

    /// Log up to `lsn` was received.
    pub fn received(&mut self, lsn: Lsn) {
        self.written = self.written.max(lsn);
    }

    /// The server wants an answer.
    pub fn reply_requested(&mut self) {
        self.asked = true;
    }

    /// The stream stores everything up to `lsn`.
    pub fn flushed(&mut self, lsn: Lsn) {
        self.flushed = self.flushed.max(lsn);
        self.written = self.written.max(lsn);
    }

    /// What is confirmed.
    pub fn confirmed(&self) -> Lsn {
        self.flushed
    }

    /// The end of the log that has been received.
    pub fn written(&self) -> Lsn {
        self.written
    }

    /// When [`Feedback::due`] should be asked again.
    pub fn deadline(&self) -> Instant {
        let changed = self.flushed != self.last.flushed;
        if self.asked && (changed || self.written != self.last.written) {
            return self.last_sent;
        }
        let wait = match (self.asked, changed) {
            (true, _) => REPEAT_SPACING,
            (false, true) => PROGRESS_SPACING,
            (false, false) => self.silence,
        };
        self.last_sent + wait
    }

    /// The update that is due at `now`, if one is. It counts as sent.
    pub fn due(&mut self, now: Instant) -> Option<StatusUpdate> {
        (now >= self.deadline()).then(|| self.update(now))
    }

    /// An update regardless of pacing: the last word before the stream ends.
    pub fn update(&mut self, now: Instant) -> StatusUpdate {
        let quiet = now.saturating_duration_since(self.last_heard) >= self.silence;
        self.probing |= quiet;
        self.last = StatusUpdate { written: self.written, flushed: self.flushed, reply_requested: quiet };
        self.last_sent = now;
        self.asked = false;
        self.last
    }

    /// Whether the server has been silent for longer than it would bear from us, although it was asked. Only
    /// meaningful while somebody reads.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.probing && now.saturating_duration_since(self.last_heard) > self.timeout + self.silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn start() -> (Feedback, Instant) {
        let now = Instant::now();
        (Feedback::new(now, TIMEOUT), now)
    }

    #[test]
    fn a_status_goes_out_before_the_server_loses_patience() {
        for (timeout, silence_ms) in [(60_000, 10_000), (2_000, 666), (0, 10_000)] {
            let now = Instant::now();
            let mut feedback = Feedback::new(now, Duration::from_millis(timeout));
            assert_eq!(feedback.due(now + Duration::from_millis(silence_ms - 1)), None);
            assert!(feedback.due(now + Duration::from_millis(silence_ms + 1)).is_some());
        }
    }

    #[test]
    fn progress_is_reported_ten_times_a_second_at_most() {
        let (mut feedback, now) = start();
        let mut sent = 0;
        for ms in 0..1000 {
            feedback.flushed(Lsn::new(ms + 1));
            sent += u32::from(feedback.due(now + Duration::from_millis(ms)).is_some());
        }
        assert!((8..=10).contains(&sent), "{sent} updates in a second");
    }

    #[test]
    fn an_answer_that_brings_news_goes_at_once() {
        let (mut feedback, now) = start();
        feedback.received(Lsn::new(9));
        feedback.reply_requested();
        let update = feedback.due(now);
        assert_eq!(update, Some(StatusUpdate { written: Lsn::new(9), flushed: Lsn::ZERO, reply_requested: false }));
    }

    #[test]
    fn an_answer_that_repeats_itself_is_paced() {
        let (mut feedback, now) = start();
        let mut sent = 0;
        for us in (0..1_000_000).step_by(50) {
            feedback.reply_requested();
            sent += u32::from(feedback.due(now + Duration::from_micros(us)).is_some());
        }
        assert!(sent <= 10, "{sent} identical answers in a second");
    }

    #[test]
    fn the_confirmed_position_never_goes_back() {
        let (mut feedback, now) = start();
        feedback.flushed(Lsn::new(100));
        feedback.flushed(Lsn::new(50));
        assert_eq!(feedback.update(now).flushed, Lsn::new(100));
    }

    #[test]
    fn a_silent_server_is_asked_and_then_given_up() {
        let (mut feedback, now) = start();
        let asked = now + Duration::from_secs(10);
        assert_eq!(feedback.due(asked).map(|update| update.reply_requested), Some(true));
        assert!(!feedback.is_silent(now + Duration::from_secs(60)));
        assert!(feedback.is_silent(now + Duration::from_secs(71)));
        feedback.heard(now + Duration::from_secs(72));
        assert!(!feedback.is_silent(now + Duration::from_secs(200)));
    }

    #[test]
    fn the_encoding_is_that_of_the_protocol() {
        let mut out = BytesMut::new();
        StatusUpdate { written: Lsn::new(3), flushed: Lsn::new(2), reply_requested: true }.encode(&mut out);
        let mut expected = vec![b'd', 0, 0, 0, 38, b'r'];
        for value in [3u64, 2, 2, 0] {
            expected.extend_from_slice(&value.to_be_bytes());
        }
        expected.push(1);
        assert_eq!(&out[..], &expected[..]);
    }
}
