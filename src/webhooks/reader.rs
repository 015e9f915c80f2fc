//! Reading the stream: events behind a sequence, in order, without a gap.
//!
//! The consumer that they come through is made for the occasion and acknowledges nothing: what was read is in the ledger.
//! Anything odd, and it is made anew behind the last event that was handed on. Invariant: no event between two that are
//! handed on was passed over, as long as the stream holds it.
//!
//! What a stream holds no more cannot be asked for its subject. So it is noted up to where nothing stood unread: what goes
//! from there is none of this endpoint's business. Nothing but what is told depends on that, and of a message that is deleted
//! from the middle of the stream nobody hears.

use std::{ops::RangeInclusive, pin::pin, sync::Arc, time::Duration};

use async_nats::jetstream::{
    Message,
    consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
    stream::Stream,
};
use futures_util::StreamExt;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{event::Event, stats::EndpointStats, store::Store};

/// How many events are asked for at once.
const BATCH: usize = 64;
/// How large they may be together: a few of the largest that a server takes by default.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long the server waits for the first of them.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much longer its answer may take that there is none. A server that was restarted has forgotten the question.
const GRACE: Duration = Duration::from_secs(1);
/// How often one looks whether the connection is another one, over which no answer to a question of before will come.
const CONNECTION_GLANCE: Duration = Duration::from_millis(250);
/// How long the server keeps a consumer that nobody asks.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How long to wait after something odd.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it is told how much there is behind an event that nobody takes.
const TOLD_EVERY: Duration = Duration::from_secs(15);
/// How many events wait to be taken.
const QUEUE: usize = 32;

/// What is read.
pub(super) enum Read {
    /// The next event, and when it was stored, in nanoseconds since 1970.
    Event(Box<Event>, i64),
    /// Up to this sequence, nothing stood behind the event before.
    NothingUpTo(u64),
}

/// A task that reads. It ends when this is dropped.
pub(super) struct EventReader {
    events: mpsc::Receiver<Read>,
    task: JoinHandle<()>,
}

impl EventReader {
    /// Reads what stands behind this sequence and has one of these subjects; up to `clear` nothing did when somebody looked.
    pub(super) fn start(
        store: Store,
        subjects: Vec<String>,
        (read, clear): (u64, u64),
        stats: Arc<EndpointStats>,
    ) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let reading = Reading { store, subjects, stats, read, clear, events: sender, is_cautious: false };
        Self { events, task: tokio::spawn(reading.go_on()) }
    }

    /// What comes next. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Read> {
        self.events.recv().await
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reading {
    store: Store,
    subjects: Vec<String>,
    /// Where it is told how much is not read yet.
    stats: Arc<EndpointStats>,
    /// The last event that was handed on.
    read: u64,
    /// Up to where nothing stood unread when somebody looked, or it was told that it is gone.
    clear: u64,
    events: mpsc::Sender<Read>,
    /// Whether the last batch failed, perhaps because a message is larger than a batch may be.
    is_cautious: bool,
}

/// A question for messages.
struct Asked {
    /// Over which connection.
    connection: u64,
    /// When there is an answer at the latest, if it was heard.
    answer_by: Instant,
}

impl Reading {
    async fn go_on(mut self) {
        while !self.events.is_closed() {
            if let Err(error) = self.through_one_consumer().await {
                tracing::debug!(%error, read = self.read, "reading begins anew");
                sleep(PAUSE).await;
            }
        }
    }

    /// Reads until something is odd.
    async fn through_one_consumer(&mut self) -> Result<(), async_nats::Error> {
        let stream = self.store.outbox_stream().await?;
        let end = self.tell_of_a_gap().await?;
        let consumer = self.consumer(&stream, self.read).await?;
        if consumer.cached_info().num_pending == 0 {
            self.note_that_nothing_is_unread(end);
        }
        let mut seen = 0;
        loop {
            let mut of_batch = 0;
            let batch = consumer.batch().expires(PATIENCE);
            let batch =
                if self.is_cautious { batch.max_messages(1) } else { batch.max_messages(BATCH).max_bytes(BATCH_BYTES) };
            let asked = Asked { connection: self.store.connection(), answer_by: Instant::now() + PATIENCE + GRACE };
            let mut messages = batch.messages().await?;
            while let Some(message) = self.next_of(&mut messages, &asked).await? {
                let info = message.info()?;
                let (sequence, number, behind) = (info.stream_sequence, info.consumer_sequence, info.pending);
                let stored_ns = i64::try_from(info.published.unix_timestamp_nanos()).unwrap_or(i64::MAX);
                if number != seen + 1 {
                    return Err("a message is missing".into());
                }
                let (subject, headers) = (message.subject.to_string(), message.headers.clone());
                let event = Event::read(sequence, &subject, headers.as_ref(), &message.payload);
                (seen, of_batch) = (number, of_batch + 1);
                if !self.hand_on(&stream, event, stored_ns).await? {
                    return Ok(());
                }
                self.read = sequence;
                self.stats.set_behind(behind);
            }
            if of_batch == 0 {
                // Nothing came, or what came was lost on the way. The end of the stream is asked for first: what the consumer
                // has nothing of may be stored behind it, and not before.
                let end = self.store.outbox().await?.last_sequence;
                let info = consumer.get_info().await?;
                if info.delivered.consumer_sequence != seen {
                    return Err("messages are missing".into());
                }
                if info.num_pending == 0 {
                    self.note_that_nothing_is_unread(end);
                }
            }
            self.is_cautious &= of_batch == 0;
        }
    }

    /// The next message of a batch; none at its end.
    async fn next_of(&mut self, batch: &mut pull::Batch, asked: &Asked) -> Result<Option<Message>, async_nats::Error> {
        tokio::select! {
            biased;
            message = batch.next() => message.transpose().inspect_err(|_| self.is_cautious = true),
            () = self.until_reconnected(asked.connection) => Err("the connection was made anew".into()),
            () = sleep_until(asked.answer_by) => Err("the server is silent".into()),
        }
    }

    /// Waits until there is another connection than this one.
    async fn until_reconnected(&self, connection: u64) {
        while self.store.connection() == connection {
            sleep(CONNECTION_GLANCE).await;
        }
    }

    /// Hands an event on; false if nobody is left to take it. An endpoint that is full or disabled takes none for long, and
    /// the stream grows meanwhile.
    async fn hand_on(&self, stream: &Stream<()>, event: Event, stored_ns: i64) -> Result<bool, async_nats::Error> {
        let sequence = event.sequence;
        let mut handing = pin!(self.events.send(Read::Event(Box::new(event), stored_ns)));
        loop {
            tokio::select! {
                biased;
                sent = &mut handing => return Ok(sent.is_ok()),
                () = sleep(TOLD_EVERY) => {
                    let counter = self.consumer(stream, sequence).await?;
                    self.stats.set_behind(counter.cached_info().num_pending);
                }
            }
        }
    }

    /// Nothing that is wanted stands between the last event and the end that the stream had before that was asked.
    fn note_that_nothing_is_unread(&mut self, end: u64) {
        // If there is no room, events are on their way that come first, and there will be another look.
        if end > self.read.max(self.clear) && self.events.try_send(Read::NothingUpTo(end)).is_ok() {
            self.clear = end;
        }
    }

    /// What the stream dropped before it was read is gone for this reader, as for any other; but not in silence. Gives the
    /// end of the stream.
    async fn tell_of_a_gap(&mut self) -> Result<u64, async_nats::Error> {
        let outbox = self.store.outbox().await?;
        if let Some(gap) = gap(self.read.max(self.clear), outbox.first_sequence) {
            self.clear = *gap.end();
            let action = if outbox.drops {
                "let the stream keep events for longer than an endpoint may be away"
            } else {
                "the stream has no limit that drops messages: find out who purged it"
            };
            tracing::error!(
                endpoint = %self.stats.name(),
                from = gap.start(),
                to = gap.end(),
                action,
                "the stream lost messages before anybody looked whether they were for this endpoint; events for it may be among them"
            );
        }
        Ok(outbox.last_sequence)
    }

    /// A consumer of what stands behind this sequence.
    async fn consumer(&self, stream: &Stream<()>, after: u64) -> Result<Consumer<pull::Config>, async_nats::Error> {
        let mut config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after.saturating_add(1) },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            num_replicas: 1,
            description: Some("walpost webhooks".to_owned()),
            ..pull::Config::default()
        };
        // Servers before 2.10 know one filter only.
        match &self.subjects[..] {
            [one] => config.filter_subject.clone_from(one),
            several => config.filter_subjects = several.to_vec(),
        }
        Ok(stream.create_consumer(config).await?)
    }
}

/// The sequences that nobody looked at and that are gone. What is gone before the first look was never to be read.
fn gap(clear: u64, first: u64) -> Option<RangeInclusive<u64>> {
    (clear > 0 && first > clear.saturating_add(1)).then(|| clear + 1..=first - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_behind_the_last_look_is_a_gap_and_nothing_else() {
        assert_eq!(gap(10, 15), Some(11..=14));
        assert_eq!(gap(10, 12), Some(11..=11));
        assert_eq!((gap(10, 11), gap(10, 10), gap(10, 1), gap(0, 100), gap(u64::MAX, 1)), Default::default());
    }
}
