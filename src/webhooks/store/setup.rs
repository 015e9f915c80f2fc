//! Making the streams of webhooks.

use std::time::Duration;

use async_nats::jetstream::{
    context::GetStreamErrorKind,
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
};

use super::{LOG_PREFIX, STATE_PREFIX, Store, StoreError};
use crate::outbox::escape_token;

/// How long the log tells of attempts.
const LOG_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How large the log may be.
const LOG_BYTES: i64 = 1 << 30;

/// A stream of webhooks' own.
#[derive(Clone, Debug)]
pub struct OwnStream {
    /// As it is made.
    pub plan: Config,
    /// As it is; none if it is not there.
    pub there: Option<Info>,
}

/// The streams are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The outbox stream is missing.
    #[error("the outbox stream {0:?} does not exist")]
    NoOutbox(String),
    /// One of webhooks' own is missing.
    #[error("stream {0:?} does not exist")]
    Missing(String),
    /// The outbox stream forgets what its readers take.
    #[error("stream {0:?} does not keep what is read: webhooks need Limits retention")]
    Retention(String),
    /// JetStream did not answer as it must.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SetupError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoOutbox(_) => "run `walpost setup`, which makes it, or correct nats.stream",
            Self::Missing(_) => "run `walpost webhooks setup`",
            Self::Retention(_) => "let a stream with Limits retention source from it, and name that one in nats.stream",
            Self::Store(_) => "check that the NATS server runs, has JetStream, and lets this user at the streams",
        }
    }
}

impl Store {
    /// Makes what is missing; says of each stream whether it was made.
    pub async fn set_up(&self) -> Result<Vec<(String, bool)>, SetupError> {
        let replicas = self.outbox_config().await?.num_replicas;
        let mut made = Vec::new();
        for config in self.plans(replicas) {
            let name = config.name.clone();
            let is_there = self.info(&name).await?.is_some();
            if !is_there {
                let created = Box::pin(self.jetstream.create_stream(config)).await;
                created.map_err(|error| StoreError::new("create a stream", error))?;
            }
            made.push((name, !is_there));
        }
        Ok(made)
    }

    /// Whether everything is there and as it must be.
    pub async fn check(&self) -> Result<(), SetupError> {
        self.outbox_config().await?;
        for name in [self.state_stream(), self.log_stream()] {
            self.info(&name).await?.ok_or(SetupError::Missing(name))?;
        }
        Ok(())
    }

    /// What there is of its own: the stream of the state, and that of the log.
    pub async fn own_streams(&self) -> Result<[OwnStream; 2], StoreError> {
        let [state, log] = self.plans(1);
        let own = async |plan: Config| Ok(OwnStream { there: self.info(&plan.name).await?, plan });
        Ok([own(state).await?, own(log).await?])
    }

    /// What the NATS user must be allowed to publish to: for everything but to make the streams, and for that.
    pub fn rights(&self) -> [Vec<String>; 2] {
        let (outbox, state, log) = (&self.outbox, self.state_stream(), self.log_stream());
        let api = |what: &str| format!("$JS.API.{what}");
        let own = self.plans(1).into_iter().flat_map(|plan| plan.subjects);
        let of_outbox = [
            api(&format!("STREAM.INFO.{outbox}")),
            api(&format!("STREAM.MSG.GET.{outbox}")),
            api(&format!("CONSUMER.CREATE.{outbox}")),
            api(&format!("CONSUMER.INFO.{outbox}.*")),
            api(&format!("CONSUMER.MSG.NEXT.{outbox}.*")),
        ];
        let of_state = ["STREAM.INFO", "STREAM.MSG.GET", "STREAM.PURGE"].map(|what| api(&format!("{what}.{state}")));
        let of_log = [api(&format!("STREAM.INFO.{log}"))];
        // For dead letters and attempts.
        let read = [&state, &log].into_iter().flat_map(|stream| {
            [api(&format!("CONSUMER.CREATE.{stream}")), api(&format!("CONSUMER.MSG.NEXT.{stream}.*"))]
        });
        let all = own.chain(of_outbox).chain(of_state).chain(of_log).chain(read).collect();
        [all, [&state, &log].map(|stream| api(&format!("STREAM.CREATE.{stream}"))).into()]
    }

    async fn outbox_config(&self) -> Result<Config, SetupError> {
        let info = self.info(&self.outbox).await?.ok_or_else(|| SetupError::NoOutbox(self.outbox.clone()))?;
        match info.config.retention {
            RetentionPolicy::Limits => Ok(info.config),
            _ => Err(SetupError::Retention(self.outbox.clone())),
        }
    }

    async fn info(&self, name: &str) -> Result<Option<Info>, StoreError> {
        match Box::pin(self.jetstream.get_stream(name)).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(cause) if cause.error_code().0 == STREAM_NOT_FOUND => Ok(None),
                _ => Err(StoreError::new("look at the stream", error)),
            },
        }
    }

    fn plans(&self, replicas: usize) -> [Config; 2] {
        let subjects = |prefix: &str| {
            let mut subject = format!("{prefix}.");
            escape_token(&self.outbox, &mut subject);
            vec![format!("{subject}.>")]
        };
        let common = Config {
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: replicas,
            ..Config::default()
        };
        let state = Config {
            name: self.state_stream(),
            subjects: subjects(STATE_PREFIX),
            description: Some("what walpost knows of webhooks, and their dead letters".to_owned()),
            max_messages_per_subject: 1,
            // Full rather than forgetful.
            discard: DiscardPolicy::New,
            ..common.clone()
        };
        let log = Config {
            name: self.log_stream(),
            subjects: subjects(LOG_PREFIX),
            description: Some("attempts to deliver webhooks".to_owned()),
            max_age: LOG_AGE,
            max_bytes: LOG_BYTES,
            discard: DiscardPolicy::Old,
            ..common
        };
        [state, log]
    }
}

/// JetStream's error for a stream that does not exist.
const STREAM_NOT_FOUND: u64 = 10059;
