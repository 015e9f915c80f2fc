//! The JetStream stream: what it must be, how it is made, where it ends.
//!
//! Everything here is asked of the stream's leader. Direct Get, which any replica may answer, is not used: a stale
//! answer about the end of the stream would only be found out by the first refused message.

mod back;
mod dead_letters;
mod error;
mod frailty;
mod ids;
mod orphans;
mod seen;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        context::{GetStreamErrorKind, RequestErrorKind},
        stream::{Config, DiscardPolicy, Info, RawMessageErrorKind, RetentionPolicy, StorageType},
    },
};

pub use self::{
    back::{Depth, Kept},
    error::StreamError,
    frailty::Frailty,
    ids::StreamExtent,
    orphans::Orphans,
    seen::{AccountUse, Replica, StreamSeen},
};
use super::sharing::Sharing;
use crate::position::Position;

/// The header that carries a message's place in the log.
pub(super) const POSITION_HEADER: &str = "Walpost-Position";
/// The header that carries the place of an event that went to the end of the stream because it had been displaced.
pub(super) const DISPLACED_HEADER: &str = "Walpost-Displaced";
/// The header that names the position that should stand before a message, which had no answer yet when this was sent.
pub(super) const PREVIOUS_HEADER: &str = "Walpost-Previous";
/// JetStream's error for a stream that does not exist.
const STREAM_NOT_FOUND: u64 = 10059;
/// JetStream's errors for an account or a server without it.
const NOT_ENABLED: [u64; 2] = [10039, 10076];
/// How many messages of others behind our last one are passed over. Whoever writes more than that between two of our
/// messages shares the stream for good.
const MAX_FOREIGN: u64 = 1000;
/// How long a message id is remembered; the broker's own default. The chain does not rely on it.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// What the stream must take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlan {
    /// Its name.
    pub name: String,
    /// The subjects that messages may have.
    pub subjects: Vec<String>,
}

/// Where the stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Nothing was ever stored.
    Empty,
    /// Messages of ours are there.
    At {
        /// The sequence of the last message, ours or not.
        sequence: u64,
        /// The place in the log of our last one.
        position: Position,
    },
    /// Our last message is not there: removed by age or by hand, or never written.
    Removed {
        /// The sequence of the last message, there or not.
        sequence: u64,
    },
}

/// Which stream it is: a stream that is deleted and made anew is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamIdentity {
    /// Its name.
    pub name: String,
    /// When it was created, in nanoseconds since 1970 by the broker's clock.
    pub created_ns: i64,
}

impl StreamIdentity {
    /// Whether the other one has its name and was made at another time: deleted and made anew, or the broker has forgotten
    /// when it made it (nats-server 2.10 does, over a kill, a change of the stream's settings, and another kill).
    pub fn is_again(&self, other: &Self) -> bool {
        self.name == other.name && self.created_ns != other.created_ns
    }
}

/// The end of the stream, and what stands behind our last message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTail {
    /// Which stream was asked.
    pub identity: StreamIdentity,
    /// The end.
    pub end: StreamEnd,
    /// Messages of others behind our last one.
    pub foreign: u64,
}

/// How a stream can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFit {
    /// What keeps it from being used; empty if nothing does.
    pub problems: Vec<StreamProblem>,
    /// Why it is not ours alone; none if it is.
    pub sharing: Option<Sharing>,
    /// Why it may lose what it holds.
    pub frailty: Option<Frailty>,
}

/// Why a stream cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamProblem {
    /// There is none of that name.
    #[error("stream {0:?} does not exist")]
    Missing(String),
    /// Messages would go to another stream or to none.
    #[error("stream {stream:?} does not take subject {subject:?}")]
    Subject {
        /// The stream.
        stream: String,
        /// What it does not take.
        subject: String,
    },
    /// It cannot be written to, or does not answer.
    #[error("stream {stream:?} cannot be written to: it {why}")]
    NotWritable {
        /// The stream.
        stream: String,
        /// What it is.
        why: &'static str,
    },
}

/// Asks and changes the stream.
#[derive(Clone, Debug)]
pub struct StreamInspector {
    jetstream: Context,
    name: String,
    /// What the server complained about first.
    complaint: Arc<OnceLock<String>>,
}

impl StreamInspector {
    pub(super) fn new(client: &Client, name: &str, complaint: Arc<OnceLock<String>>) -> Self {
        Self { jetstream: jetstream::new(client.clone()), name: name.to_owned(), complaint }
    }

    /// What keeps the stream from being used as planned; empty if nothing does.
    pub async fn problems(&self, plan: &StreamPlan) -> Result<Vec<StreamProblem>, StreamError> {
        Ok(self.fit(plan).await?.problems)
    }

    /// How the stream can be used as planned.
    pub async fn fit(&self, plan: &StreamPlan) -> Result<StreamFit, StreamError> {
        Ok(match self.info().await? {
            None => {
                StreamFit { problems: vec![StreamProblem::Missing(self.name.clone())], sharing: None, frailty: None }
            }
            Some(info) => StreamFit {
                problems: unfit(&info.config, plan),
                sharing: Sharing::of(&info.config, plan),
                frailty: Frailty::all(&info.config, is_of_cluster(&info)).into_iter().next(),
            },
        })
    }

    /// Creates the stream; `false` if it was there.
    pub async fn create(&self, plan: &StreamPlan) -> Result<bool, StreamError> {
        if self.info().await?.is_some() {
            return Ok(false);
        }
        let created = Box::pin(self.jetstream.create_stream(plan.config())).await;
        created.map_err(|error| match self.complaint.get() {
            Some(complaint) => StreamError::Refused(complaint.clone()),
            None => StreamError::Create(error.to_string()),
        })?;
        Ok(true)
    }

    /// Which stream it is.
    pub async fn identity(&self) -> Result<StreamIdentity, StreamError> {
        let info = self.info().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        Ok(self.identity_of(&info))
    }

    /// Where the stream ends.
    pub async fn end(&self) -> Result<StreamEnd, StreamError> {
        Ok(self.tail().await?.end)
    }

    /// Where the stream ends, and what others wrote behind our last message.
    pub async fn tail(&self) -> Result<StreamTail, StreamError> {
        let stream = self.stream().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        let last = stream.cached_info().state.last_sequence;
        let first = stream.cached_info().state.first_sequence.max(1);
        let identity = self.identity_of(stream.cached_info());
        let mut foreign = 0;
        for sequence in (first..=last).rev() {
            let message = match stream.get_raw_message(sequence).await {
                Ok(message) => message,
                // It may have been ours.
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => break,
                Err(error) => return Err(self.unanswered(&error)),
            };
            if let Some(header) = message.headers.get(POSITION_HEADER) {
                let position = header.as_str().parse().map_err(|source| StreamError::Position { sequence, source })?;
                return Ok(StreamTail { identity, end: StreamEnd::At { sequence: last, position }, foreign });
            }
            foreign += 1;
            if foreign > MAX_FOREIGN {
                return Err(StreamError::Foreign { sequence });
            }
        }
        let end = if last == 0 { StreamEnd::Empty } else { StreamEnd::Removed { sequence: last } };
        Ok(StreamTail { identity, end, foreign })
    }

    /// The largest message that the stream takes, headers included, in bytes; `None` if it sets no limit.
    pub async fn max_message_bytes(&self) -> Result<Option<usize>, StreamError> {
        let info = self.info().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        // The server writes -1 for no limit, and takes 0 for that too.
        Ok(usize::try_from(info.config.max_message_size).ok().filter(|max| *max > 0))
    }

    fn identity_of(&self, info: &Info) -> StreamIdentity {
        let created_ns = i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default();
        StreamIdentity { name: self.name.clone(), created_ns }
    }

    /// Whether several servers keep the stream.
    pub async fn is_replicated(&self) -> Result<bool, StreamError> {
        let info = self.info().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        Ok(info.config.num_replicas > 1)
    }

    async fn info(&self) -> Result<Option<Info>, StreamError> {
        Ok(self.stream().await?.map(|stream| stream.cached_info().clone()))
    }

    async fn stream(&self) -> Result<Option<jetstream::stream::Stream>, StreamError> {
        match Box::pin(self.jetstream.get_stream(&self.name)).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(said) if said.error_code().0 == STREAM_NOT_FOUND => Ok(None),
                GetStreamErrorKind::JetStream(said) if NOT_ENABLED.contains(&said.error_code().0) => {
                    Err(StreamError::NoJetStream)
                }
                GetStreamErrorKind::Request if is_without_jetstream(&error) => Err(StreamError::NoJetStream),
                _ => Err(self.unanswered(&error)),
            },
        }
    }

    /// A question that failed; mostly the server has said why if it may not be asked.
    fn unanswered(&self, error: &dyn std::error::Error) -> StreamError {
        match self.complaint.get() {
            Some(complaint) => StreamError::Refused(complaint.clone()),
            None => StreamError::Request(error.to_string()),
        }
    }
}

/// Whether a cluster keeps the stream; a server that is none names a leader, and no cluster.
fn is_of_cluster(info: &Info) -> bool {
    info.cluster.as_ref().is_some_and(|cluster| cluster.name.is_some())
}

/// Whether nobody answered JetStream's API at all.
fn is_without_jetstream(error: &jetstream::context::GetStreamError) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<jetstream::context::RequestError>());
    cause.is_some_and(|request| matches!(request.kind(), RequestErrorKind::NoResponders))
}

impl StreamPlan {
    /// The stream that `setup` creates: kept on disk, never emptied by its readers, and full rather than forgetful.
    pub fn config(&self) -> Config {
        Config {
            name: self.name.clone(),
            subjects: self.subjects.clone(),
            description: Some("events of the transactional outbox, written by walpost alone".to_owned()),
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            num_replicas: 1,
            ..Config::default()
        }
    }
}

fn unfit(config: &Config, plan: &StreamPlan) -> Vec<StreamProblem> {
    let mut problems = Vec::new();
    let not_writable = |why| StreamProblem::NotWritable { stream: config.name.clone(), why };
    if config.mirror.is_some() {
        problems.push(not_writable("mirrors another stream"));
        return problems;
    }
    if config.sealed {
        problems.push(not_writable("is sealed"));
    }
    if config.no_ack {
        problems.push(not_writable("does not acknowledge what it stores (no_ack)"));
    }
    for subject in &plan.subjects {
        if !config.subjects.iter().any(|taken| covers(taken, subject)) {
            problems.push(StreamProblem::Subject { stream: config.name.clone(), subject: subject.clone() });
        }
    }
    problems
}

/// Whether every subject that `inner` stands for is also one of `outer`; both may hold `*` and a final `>`.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(wanted), Some(token)) if wanted == token && token != ">" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_what_it_stands_for_and_no_more() {
        let yes = [
            ("outbox.>", "outbox.>"),
            (">", "outbox.>"),
            ("outbox.*.*", "outbox.order.*"),
            ("a", "a"),
            ("*.>", "a.b.>"),
        ];
        let no = [
            ("outbox.*", "outbox.>"),
            ("outbox.>", "outbox"),
            ("other.>", "outbox.>"),
            ("a.b", "a"),
            ("a", "a.b"),
            ("a.b", "a.*"),
        ];
        for (outer, inner) in yes {
            assert!(covers(outer, inner), "{outer} should cover {inner}");
        }
        for (outer, inner) in no {
            assert!(!covers(outer, inner), "{outer} should not cover {inner}");
        }
    }

    #[test]
    fn the_stream_that_setup_makes_is_fit() {
        let plan = StreamPlan { name: "OUTBOX".into(), subjects: vec!["outbox.>".into(), "outbox_dlq.>".into()] };
        assert_eq!(unfit(&plan.config(), &plan), []);
    }

    #[test]
    fn every_unfitness_is_named() {
        let plan = StreamPlan { name: "S".into(), subjects: vec!["outbox.>".into()] };
        let config = Config { subjects: vec!["other.>".into()], sealed: true, no_ack: true, ..plan.config() };
        assert_eq!(unfit(&config, &plan).len(), 3);
    }
}
