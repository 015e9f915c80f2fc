//! The desk of an owner: the ledger, what is on its way, and what is being written down. One owner, one loop.
//!
//! The arms of the wait are biased: the wish to stop, then the answer of JetStream, then answers of the endpoint, then new
//! events, then the clock. Arms only receive.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Worker,
    attempt::{self, Attempted, Follows, now_ms},
    pace::gap,
    wishes::{Wanted, lanes_of_open, tell_oldest, wanted},
};
use crate::webhooks::{
    event::Event,
    ledger::{Lane, Ledger},
    reader::{EventReader, Read},
    store::{Disabled, DisabledBy, Record, SaveError, Written},
};

/// How often one looks for wishes.
const WISH_GLANCE: Duration = Duration::from_secs(1);
/// The longest sleep: the clock of the machine may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How many bytes of events are kept at hand; the others are read again when they are due.
const AT_HAND_BYTES: usize = 8 * 1024 * 1024;
/// How soon an event is tried again that could not be read.
const NOT_TRIED_PAUSE_MS: u64 = 1_000;
/// How long a stop waits for answers of the endpoint.
const DRAIN: Duration = Duration::from_secs(8);
/// How long a stop may take to write the last record.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The record has no owner.
    LetGo,
    /// JetStream confirmed nothing for too long; somebody else may be the owner.
    Late,
}

/// What one owner works with.
pub(super) struct Desk {
    worker: Arc<Worker>,
    ledger: Ledger,
    /// As it is to be written next, but for the ledger.
    record: Record,
    /// What the next write must name.
    revision: u64,
    /// Whether something else of the record than the ledger changed.
    is_changed: bool,
    /// The version of the ledger that was written last.
    written: u64,
    /// When the last confirmed write was sent.
    confirmed_at: Instant,
    /// When the last write was sent.
    sent_at: Instant,
    /// The write that is under way.
    writing: JoinSet<(u64, Instant, Result<u64, SaveError>)>,
    /// What is on its way to the endpoint.
    attempts: JoinSet<Attempted>,
    /// Events that wait, as long as there is room for them.
    at_hand: HashMap<u64, Event>,
    at_hand_bytes: usize,
    /// The look for wishes that is under way.
    wishes: JoinSet<Option<Wanted>>,
    wished_at: Instant,
    /// What tells of the end of the endpoint's service.
    telling: JoinSet<bool>,
    /// Events that were opened again and are settled in the version that is being written.
    done_again: Vec<u64>,
    /// What removes their dead letters.
    exhuming: JoinSet<Option<u64>>,
}

type Joined<T> = Option<Result<T, JoinError>>;

impl Desk {
    /// Takes up the work that `held` describes.
    pub(super) async fn open(worker: Arc<Worker>, held: Written<Record>) -> Result<Self, SaveError> {
        let (lanes, held, confirmed_at) = lanes_of_open(&worker, held).await?;
        let Written { revision, value: record } = held;
        let ledger = Ledger::restore(worker.endpoint.ordering, &record.ledger, |sequence| {
            lanes.get(&sequence).copied().flatten()
        });
        let now = Instant::now();
        Ok(Self {
            worker,
            ledger,
            record,
            revision,
            is_changed: false,
            written: 0,
            confirmed_at,
            sent_at: confirmed_at,
            writing: JoinSet::new(),
            attempts: JoinSet::new(),
            at_hand: HashMap::new(),
            at_hand_bytes: 0,
            wishes: JoinSet::new(),
            wished_at: now,
            telling: JoinSet::new(),
            done_again: Vec::new(),
            exhuming: JoinSet::new(),
        })
    }

    /// Delivers until told to stop, or until somebody else may.
    pub(super) async fn deliver(mut self, stop: &CancellationToken) -> Result<Ended, SaveError> {
        let subjects = self.worker.endpoint.subjects.clone();
        let (store, begin) = (self.worker.store.clone(), (self.ledger.read(), self.record.clear));
        let mut reader = EventReader::start(store, subjects, begin, Arc::clone(&self.worker.stats));
        let limit = self.worker.lease * 2 / 3;
        let mut stop_by = None;
        loop {
            let is_stopping = stop.is_cancelled();
            if is_stopping {
                let deadline = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN);
                // What is still on its way then is sent again by whoever comes next.
                if self.attempts.is_empty() || Instant::now() >= deadline {
                    return self.let_go().await;
                }
            }
            if self.confirmed_at.elapsed() >= limit {
                return Ok(Ended::Late);
            }
            if !is_stopping {
                self.start_what_is_due();
            }
            self.write_if_due();
            self.look_for_wishes();
            self.show();
            let (takes_events, moment) = (!is_stopping && self.takes_events(), self.next_moment(is_stopping));
            tokio::select! {
                biased;
                () = stop.cancelled(), if !is_stopping => {}
                written = self.writing.join_next(), if !self.writing.is_empty() => self.take_answer(written)?,
                attempted = self.attempts.join_next(), if !self.attempts.is_empty() => self.take_attempt(&attempted),
                wish = self.wishes.join_next(), if !self.wishes.is_empty() => self.take_wish(wish),
                told = self.telling.join_next(), if !self.telling.is_empty() => self.take_told(told),
                gone = self.exhuming.join_next(), if !self.exhuming.is_empty() => self.take_exhumed(&gone),
                read = reader.next(), if takes_events => self.take(read),
                () = sleep_until(moment) => {}
            }
        }
    }

    /// Whether more of the stream is wanted: there is room, and not enough to do.
    fn takes_events(&self) -> bool {
        let endpoint = &self.worker.endpoint;
        let most = endpoint.concurrency;
        self.record.disabled.is_none()
            && self.ledger.open() < endpoint.max_waiting
            && self.ledger.startable(now_ms(), most) < most
    }

    fn start_what_is_due(&mut self) {
        if self.record.disabled.is_some() {
            return;
        }
        while self.ledger.running() < self.worker.endpoint.concurrency {
            let Some((sequence, failed)) = self.ledger.start(now_ms()) else { return };
            let at_hand = self.at_hand.remove(&sequence);
            self.at_hand_bytes -= at_hand.as_ref().map_or(0, |event| event.payload.len());
            self.attempts.spawn(attempt::attempt(Arc::clone(&self.worker), sequence, failed, at_hand));
        }
    }

    fn take(&mut self, read: Option<Read>) {
        let (event, stored_ns) = match read {
            Some(Read::Event(event, stored_ns)) => (event, stored_ns),
            // It goes with the next write: nothing depends on it.
            Some(Read::NothingUpTo(sequence)) => return self.record.clear = sequence,
            None => return,
        };
        self.record.read_stored_ns = Some(stored_ns);
        let (sequence, lane) = (event.sequence, Lane::of(&event.aggregate_type, &event.aggregate_id));
        if self.ledger.take(sequence, lane, now_ms()) && self.at_hand_bytes + event.payload.len() <= AT_HAND_BYTES {
            self.at_hand_bytes += event.payload.len();
            self.at_hand.insert(sequence, *event);
        }
    }

    fn take_attempt(&mut self, attempted: &Joined<Attempted>) {
        // A task of ours does not panic, and is aborted only with the desk.
        let Some(Ok(Attempted { sequence, result })) = *attempted else { return };
        match result {
            Follows::Delivered => {
                if self.record.failing_since_ms.take().is_some() {
                    self.is_changed = true;
                    tracing::info!(endpoint = %self.worker.endpoint.name, "the endpoint takes events again");
                }
                self.ledger.settle(sequence);
            }
            Follows::Dead => {
                self.record.again.retain(|again| *again != sequence);
                self.note_failure();
                self.ledger.settle(sequence);
            }
            Follows::Failed { due_ms } => {
                self.note_failure();
                self.ledger.fail(sequence, due_ms);
            }
            Follows::Gone => {
                self.ledger.fail(sequence, now_ms());
                self.disable(DisabledBy::Gone);
            }
            Follows::NotTried => self.ledger.put_back(sequence, now_ms() + NOT_TRIED_PAUSE_MS),
        }
    }

    fn note_failure(&mut self) {
        let now = now_ms();
        if self.record.failing_since_ms.is_none() {
            self.is_changed = true;
            let action = "nothing if it passes; `walpost webhooks show` and `attempts` tell more";
            tracing::warn!(endpoint = %self.worker.endpoint.name, action, "the endpoint fails; its events are tried again");
        }
        let since = *self.record.failing_since_ms.get_or_insert(now);
        if u128::from(now.saturating_sub(since)) >= self.worker.endpoint.disable_after.as_millis() {
            self.disable(DisabledBy::Failing);
        }
    }

    fn disable(&mut self, by: DisabledBy) {
        if self.record.disabled.is_none() {
            let endpoint = &self.worker.endpoint.name;
            let why = by.words();
            tracing::error!(%endpoint, why, action = "mend the endpoint, then `walpost webhooks enable` it", "the endpoint is disabled; its events wait");
            self.record.disabled = Some(Disabled { by, at_ms: now_ms(), is_told: false });
            self.is_changed = true;
        }
    }

    /// Writes the record if there is something new, or if others must see that we are here.
    fn write_if_due(&mut self) {
        let is_dirty = self.is_changed || self.ledger.version() != self.written;
        let is_beat_due = self.sent_at.elapsed() >= self.worker.lease / 3;
        let is_due = is_beat_due || (is_dirty && self.sent_at.elapsed() >= gap(&self.ledger));
        if self.writing.is_empty() && is_due {
            self.write();
        }
    }

    fn write(&mut self) {
        let (version, saved) = self.ledger.to_save();
        self.done_again = self.record.again.iter().copied().filter(|again| saved.has_settled(*again)).collect();
        self.record.ledger = saved;
        self.record.beat += 1;
        self.is_changed = false;
        self.written = version;
        self.sent_at = Instant::now();
        let (worker, record, revision, sent_at) =
            (Arc::clone(&self.worker), self.record.clone(), self.revision, self.sent_at);
        self.writing.spawn(async move {
            (version, sent_at, worker.store.save(&worker.endpoint.name, revision, &record).await)
        });
    }

    fn take_answer(&mut self, answer: Joined<(u64, Instant, Result<u64, SaveError>)>) -> Result<(), SaveError> {
        match answer {
            Some(Ok((version, sent_at, Ok(revision)))) => {
                self.revision = revision;
                self.confirmed_at = sent_at;
                self.ledger.confirm(version);
                self.tell_if_disabled();
                self.exhume();
                Ok(())
            }
            Some(Ok((_, _, Err(SaveError::Overtaken)))) => Err(SaveError::Overtaken),
            // Nothing was written, or nobody knows: the same again, until the lease is over.
            Some(Ok((_, _, Err(SaveError::Store(error))))) => {
                tracing::debug!(endpoint = %self.worker.endpoint.name, %error, "a record is not written yet");
                self.is_changed = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tells the log of a disabled endpoint, once the record says that it is.
    fn tell_if_disabled(&mut self) {
        let is_untold = self.record.disabled.as_ref().is_some_and(|disabled| !disabled.is_told);
        if is_untold && self.telling.is_empty() {
            let (worker, record) = (Arc::clone(&self.worker), self.record.clone());
            self.telling.spawn(async move { worker.store.tell_disabled(&worker.endpoint.name, &record).await.is_ok() });
        }
    }

    fn take_told(&mut self, told: Joined<bool>) {
        if let (Some(Ok(true)), Some(disabled)) = (told, &mut self.record.disabled) {
            disabled.is_told = true;
            self.is_changed = true;
        }
    }

    fn look_for_wishes(&mut self) {
        if self.wishes.is_empty() && self.wished_at.elapsed() >= WISH_GLANCE {
            self.wished_at = Instant::now();
            let (worker, granted) = (Arc::clone(&self.worker), self.record.wish);
            let oldest = self.ledger.oldest();
            self.wishes.spawn(async move {
                tell_oldest(&worker, oldest).await;
                wanted(worker, granted).await
            });
        }
    }

    fn take_wish(&mut self, wish: Joined<Option<Wanted>>) {
        let Some(Ok(Some(Wanted { revision, enabled, again }))) = wish else { return };
        self.record.wish = revision;
        self.is_changed = true;
        for (sequence, lane) in again {
            if self.ledger.reopen(sequence, lane, now_ms()) {
                self.record.again.push(sequence);
            }
        }
        match enabled {
            Some(true) => {
                tracing::info!(endpoint = %self.worker.endpoint.name, "the endpoint is enabled");
                self.record.disabled = None;
                self.record.failing_since_ms = None;
                self.ledger.hurry(now_ms());
            }
            Some(false) => self.disable(DisabledBy::Wish),
            None => {}
        }
    }

    /// Removes the dead letters of what was delivered after all, now that the record says so.
    fn exhume(&mut self) {
        if !self.exhuming.is_empty() {
            return;
        }
        for sequence in std::mem::take(&mut self.done_again) {
            let worker = Arc::clone(&self.worker);
            self.exhuming.spawn(async move {
                worker.store.exhume(&worker.endpoint.name, sequence).await.ok().map(|()| sequence)
            });
        }
    }

    fn take_exhumed(&mut self, gone: &Joined<Option<u64>>) {
        if let Some(Ok(Some(sequence))) = *gone {
            self.record.again.retain(|again| *again != sequence);
            self.is_changed = true;
        }
    }

    /// Leaves the record without an owner, so that the next one need not wait.
    async fn let_go(mut self) -> Result<Ended, SaveError> {
        let farewell = async {
            while let Some(answer) = self.writing.join_next().await {
                self.take_answer(Some(answer))?;
            }
            let (_, saved) = self.ledger.to_save();
            self.record.ledger = saved;
            self.record.beat += 1;
            self.record.owner = None;
            self.worker.store.save(&self.worker.endpoint.name, self.revision, &self.record).await
        };
        match timeout(FAREWELL, farewell).await {
            Ok(Ok(_)) => Ok(Ended::LetGo),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(Ended::Late),
        }
    }

    /// When to look again, if nothing happens before.
    fn next_moment(&self, is_stopping: bool) -> Instant {
        let now = Instant::now();
        let mut next = now + LONGEST_SLEEP;
        let is_dirty = self.is_changed || self.ledger.version() != self.written;
        if self.writing.is_empty() {
            let beat = self.worker.lease / 3;
            let gap = if is_dirty { gap(&self.ledger).min(beat) } else { beat };
            next = next.min(self.sent_at + gap);
        }
        next = next.min(self.confirmed_at + self.worker.lease * 2 / 3);
        let has_room = self.ledger.running() < self.worker.endpoint.concurrency;
        let has_room = has_room && self.record.disabled.is_none() && !is_stopping;
        if let (true, Some(due_ms)) = (has_room, self.ledger.next_due_ms()) {
            next = next.min(now + Duration::from_millis(due_ms.saturating_sub(now_ms())));
        }
        next
    }

    fn show(&self) {
        self.worker.stats.show(self.ledger.read(), self.ledger.open(), self.record.disabled.is_some());
    }
}
