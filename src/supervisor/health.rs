//! What the service is doing, and what it waits for: for everyone who only looks.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::retention::Retained;
use crate::{code::Code, preflight::SlotLook, relay::Progress};

/// How often trouble that goes on is told again.
const REMINDER: Duration = Duration::from_secs(60);

/// What the service is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Looking and connecting.
    #[default]
    Starting,
    /// Another process leads; everything is ready to take over from it.
    Standby,
    /// Delivering, or waiting for the broker with the log open.
    Leading,
    /// Asked to stop: waits for the last answers.
    Draining,
    /// Ended.
    Stopped,
}

/// What keeps events from being delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which trouble.
    pub code: Code,
    /// What happened.
    pub cause: String,
    /// What would mend it, where that is known.
    pub action: Option<String>,
    /// Since when.
    pub since: Instant,
    /// Since when for this reason.
    since_this_code: Instant,
    /// How often it was tried again.
    pub attempts: u32,
    /// How often it was told as news.
    told: u32,
}

/// One look at the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What it is doing.
    pub phase: Phase,
    /// What keeps it from delivering; none if nothing does.
    pub trouble: Option<Trouble>,
    /// How often it began to lead.
    pub terms: u64,
    /// How often something was tried again, by what had failed; only what did.
    pub retries: Vec<(Code, u64)>,
    /// The slot as last seen; none before the first look.
    pub slot: Option<SlotLook>,
    /// What became of delivered rows; none if they are kept.
    pub retention: Option<Retained>,
}

/// Looks at the service.
#[derive(Clone, Debug)]
pub struct HealthWatch {
    health: watch::Receiver<Health>,
    progress: Arc<Progress>,
}

/// Tells how the service is.
#[derive(Debug)]
pub(super) struct HealthTeller {
    health: watch::Sender<Health>,
    progress: Arc<Progress>,
}

impl Phase {
    /// All names, in the order of a life.
    pub const NAMES: [&'static str; 5] = ["starting", "standby", "leading", "draining", "stopped"];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Leading => "leading",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Health {
    /// Whether it does its part: delivers, or is ready to.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Standby | Phase::Leading) && self.trouble.is_none()
    }

    /// How often something was tried again after this had failed.
    pub fn retries(&self, code: Code) -> u64 {
        self.retries.iter().find(|(known, _)| *known == code).map_or(0, |(_, count)| *count)
    }

    fn count_retry(&mut self, code: Code) {
        match self.retries.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.retries.push((code, 1)),
        }
    }
}

impl fmt::Display for Health {
    /// `leading`, or `leading; WP0401 the connection ... (try: ...)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.phase)?;
        let Some(Trouble { code, cause, action, .. }) = &self.trouble else { return Ok(()) };
        write!(f, "; {code} {cause}")?;
        action.as_ref().map_or(Ok(()), |action| write!(f, " (try: {action})"))
    }
}

impl HealthWatch {
    /// How the service is at this moment.
    pub fn now(&self) -> Health {
        let mut health = self.health.borrow().clone();
        if !self.progress.is_blocked() {
            health.trouble = None;
        }
        health
    }
}

impl HealthTeller {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self { health: watch::Sender::default(), progress }
    }

    pub(super) fn watch(&self) -> HealthWatch {
        HealthWatch { health: self.health.subscribe(), progress: Arc::clone(&self.progress) }
    }

    /// Another phase has begun.
    pub(super) fn enter(&self, phase: Phase) {
        self.health.send_modify(|health| {
            health.phase = phase;
            health.terms += u64::from(phase == Phase::Leading);
        });
    }

    /// What it is doing.
    pub(super) fn phase(&self) -> Phase {
        self.health.borrow().phase
    }

    /// The slot was looked at.
    pub(super) fn seen(&self, slot: SlotLook) {
        self.health.send_modify(|health| health.slot = Some(slot));
    }

    /// Delivered rows were deleted, or could not be.
    pub(super) fn retains(&self, change: impl FnOnce(&mut Retained)) {
        self.health.send_modify(|health| change(health.retention.get_or_insert_default()));
    }

    /// Something keeps events from being delivered, until the relay says that they are again. Whether that is news:
    /// for the first time, for another reason than before, or for so long that people may have forgotten.
    pub(super) fn tell(&self, code: Code, cause: String, action: Option<String>) -> (Trouble, bool) {
        let now = Instant::now();
        let mut trouble = Trouble { code, cause, action, since: now, since_this_code: now, attempts: 0, told: 0 };
        if let Some(earlier) = self.health.borrow().trouble.as_ref().filter(|_| self.progress.is_blocked()) {
            trouble.since = earlier.since;
            trouble.attempts = earlier.attempts.saturating_add(1);
            if earlier.code == code {
                trouble.since_this_code = earlier.since_this_code;
                trouble.told = earlier.told;
            }
        }
        let is_news = trouble.duration() >= REMINDER * trouble.told;
        trouble.told += u32::from(is_news);
        self.progress.block();
        self.health.send_modify(|health| {
            health.trouble = Some(trouble.clone());
            health.count_retry(code);
        });
        (trouble, is_news)
    }

    /// The trouble is over although no event was delivered: another process leads, for example.
    pub(super) fn clear(&self) {
        self.progress.unblock();
    }
}

impl Trouble {
    /// For how long.
    pub fn duration(&self) -> Duration {
        self.since.elapsed()
    }

    /// For how long for the same reason, without another in between.
    pub fn of_this_code(&self) -> Duration {
        self.since_this_code.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Policy, *};

    #[test]
    fn patience_counts_from_when_the_same_was_told_first_and_another_reason_begins_anew() {
        let (code, patience) = (Code::STREAM_FORGOT, Duration::from_millis(1));
        let teller = HealthTeller::new(Arc::default());
        let pass = || {
            let begin = Instant::now();
            while begin.elapsed() <= patience {
                std::hint::spin_loop();
            }
        };
        let ends = |policy: Policy| policy.ends(code, teller.watch().now().trouble.as_ref());
        assert!(Policy::Stop.ends(code, None) && !Policy::Retry.ends(code, None));
        teller.tell(Code::NATS_UNREACHABLE, String::new(), None);
        pass();
        assert!(!ends(Policy::For(patience)) && !ends(Policy::For(Duration::ZERO)), "it was not told before");
        teller.tell(code, String::new(), None);
        assert!(ends(Policy::For(Duration::ZERO)), "told twice");
        pass();
        teller.tell(code, String::new(), None);
        assert!(ends(Policy::For(patience)) && !ends(Policy::For(Duration::from_secs(3600))));
        teller.tell(Code::NATS_UNREACHABLE, String::new(), None);
        teller.tell(code, String::new(), None);
        assert!(!ends(Policy::For(Duration::from_secs(3600))) && !ends(Policy::Retry));
    }

    #[test]
    fn trouble_shows_until_events_are_delivered_again() {
        let progress = Arc::new(Progress::default());
        let teller = HealthTeller::new(Arc::clone(&progress));
        let watch = teller.watch();
        teller.enter(Phase::Leading);
        assert!(watch.now().is_ready());
        for attempts in 0..3 {
            let (trouble, is_news) = teller.tell(Code::STREAM_FULL, "it is full".into(), Some("make room".into()));
            assert_eq!((trouble.attempts, is_news), (attempts, attempts == 0));
        }
        assert!(!watch.now().is_ready());
        assert_eq!(watch.now().to_string(), "leading; WP0503 it is full (try: make room)");
        assert!(teller.tell(Code::NATS_UNREACHABLE, String::new(), None).1, "another reason is news");
        progress.unblock();
        assert!(watch.now().is_ready());
        let (trouble, is_news) = teller.tell(Code::STREAM_FULL, String::new(), None);
        assert_eq!((trouble.attempts, is_news), (0, true), "it counts from the last delivery");
        let health = watch.now();
        let retries = [Code::STREAM_FULL, Code::NATS_UNREACHABLE, Code::TABLE].map(|code| health.retries(code));
        assert_eq!((retries, health.terms), ([4, 1, 0], 1));
    }
}
