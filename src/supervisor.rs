//! One life of the service: look, connect, deliver, leave.
//!
//! Everything is looked at before anything is moved: what Postgres and the stream must have, whose log the stream was
//! fed from, where it ends. Any fault ends the life with an error that says what to do; the next one continues where
//! the stream ends.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, time::interval};
use tokio_util::sync::CancellationToken;

use crate::{
    plan::Plan,
    position::Source,
    postgres::sql::{Session as SqlSession, SqlError},
    preflight::{self, Facts, Needs, Problem, explain},
    publish::{Broker, BrokerError, Composer, MessageBuilder, MessageError, StreamEnd, StreamError, StreamPlan},
    relay::{Finish, Intake, Progress, Relay, ResumeError, Session, SessionError, Start},
    replication::{Connection, ReplicationError, StartOptions},
};

/// How often the server is asked where its log ends, for the lag.
const SERVER_END_INTERVAL: Duration = Duration::from_secs(5);

/// What the service is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Looking and connecting.
    #[default]
    Starting,
    /// Delivering.
    Leading,
    /// Asked to stop, or broken off.
    Stopped,
}

/// Looks at the phase.
#[derive(Clone, Debug)]
pub struct PhaseWatch(watch::Receiver<Phase>);

/// The service.
#[derive(Debug)]
pub struct Supervisor {
    plan: Plan,
    progress: Arc<Progress>,
    phase: watch::Sender<Phase>,
}

impl Supervisor {
    /// A service that has not begun.
    pub fn new(plan: Plan) -> Self {
        Self { plan, progress: Arc::default(), phase: watch::Sender::default() }
    }

    /// The account that others may look at.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The phase that others may look at.
    pub fn phase(&self) -> PhaseWatch {
        PhaseWatch(self.phase.subscribe())
    }

    /// Delivers until `stop` is cancelled or something breaks.
    pub async fn run(&self, stop: &CancellationToken) -> Result<Finish, RunError> {
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Finish::Drained),
            ready = self.prepare() => ready,
        };
        let finish = match outcome {
            Ok((session, sql)) => {
                self.phase.send_replace(Phase::Leading);
                let watching = watch_server_end(&sql, &self.progress);
                tokio::select! {
                    biased;
                    finish = session.run(stop) => finish.map_err(RunError::from),
                    never = watching => match never {},
                }
            }
            Err(error) => Err(error),
        };
        self.phase.send_replace(Phase::Stopped);
        finish
    }

    /// Looks at both sides, opens both connections, and finds the place to continue at.
    async fn prepare(&self) -> Result<(Session, SqlSession), RunError> {
        let Plan { endpoint, needs, template, broker, stream, window, limits, on_poison } = &self.plan;
        let sql = SqlSession::connect(endpoint).await?;
        let broker = Broker::connect(broker).await?;
        let facts = inspect(&sql, needs, &broker, stream).await?;
        let end = stream_end(&broker).await?;

        let mut connection = Connection::open(endpoint).await?;
        let identity = connection.identify_system().await?;
        let source = Source { system_id: identity.system_id, timeline: identity.timeline, slot: needs.slot.clone() };
        let start = Start::after(&end, &source, identity.wal_end)?;
        self.progress.server_ends_at(identity.wal_end);
        let options =
            StartOptions { slot: needs.slot.clone(), publication: needs.publication.clone(), start: start.lsn };
        let log = connection.start(&options).await?;
        tracing::info!(
            slot = needs.slot,
            stream = stream.name,
            system_id = source.system_id,
            timeline = source.timeline,
            last_sequence = start.resume.last_sequence,
            from = %start.lsn,
            "leading",
        );
        let builder = MessageBuilder::new(Arc::clone(template), source, &stream.name, broker.size_limits().await?)?;
        let intake =
            Intake::new(needs.mapping.clone(), facts.base_types, Composer::new(builder, *on_poison), self.progress());
        let relay = Relay::new(*window, start.resume);
        let session = Session::new(log, broker, (intake, relay), *limits, self.progress());
        Ok((session, sql))
    }
}

/// Everything that is missing on either side, at once.
async fn inspect(sql: &SqlSession, needs: &Needs, broker: &Broker, stream: &StreamPlan) -> Result<Facts, RunError> {
    let facts = preflight::inspect(sql, needs).await?;
    let mut problems = preflight::problems(&facts, needs);
    problems.extend(broker.inspector().problems(stream).await?.into_iter().map(Problem::Stream));
    if problems.is_empty() { Ok(facts) } else { Err(RunError::NotReady(problems)) }
}

async fn stream_end(broker: &Broker) -> Result<StreamEnd, RunError> {
    let end = broker.inspector().end().await?;
    if let StreamEnd::Removed { sequence } = end {
        tracing::warn!(
            sequence,
            "the stream's last message was removed, so delivery continues at the slot's own position"
        );
    }
    Ok(end)
}

/// Asks the server now and then where its log ends. Only the lag depends on it, so a failure is none of delivery's.
async fn watch_server_end(sql: &SqlSession, progress: &Progress) -> std::convert::Infallible {
    let mut ticks = interval(SERVER_END_INTERVAL);
    loop {
        ticks.tick().await;
        match preflight::server_end(sql).await {
            Ok(lsn) => progress.server_ends_at(lsn),
            Err(error) => tracing::debug!(%error, "cannot ask Postgres where its log ends"),
        }
    }
}

impl Phase {
    /// All names, in the order of a life.
    pub const NAMES: [&'static str; 3] = ["starting", "leading", "stopped"];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Leading => "leading",
            Self::Stopped => "stopped",
        }
    }

    /// Whether events are being delivered.
    pub fn is_ready(self) -> bool {
        self == Self::Leading
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PhaseWatch {
    /// The phase at this moment.
    pub fn now(&self) -> Phase {
        *self.0.borrow()
    }
}

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Plain SQL failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Something is missing or does not fit.
    #[error("cannot start: {}", preflight::counted(.0))]
    NotReady(Vec<Problem>),
    /// NATS failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// JetStream failed.
    #[error(transparent)]
    JetStream(#[from] StreamError),
    /// The replication connection failed.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The stream was not fed from this log.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The stream's name cannot be put in a header.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Delivery broke off.
    #[error("delivery broke off, and goes on at the next start where it stopped")]
    Session(#[from] SessionError),
}

impl RunError {
    /// The problems that must be mended first, if that is what it is.
    pub fn problems(&self) -> &[Problem] {
        if let Self::NotReady(problems) = self { problems } else { &[] }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sql(error) => explain(error.sqlstate(), &error.to_string()),
            Self::Replication(error) | Self::Session(SessionError::Replication(error)) => {
                explain(error.sqlstate(), &error.to_string())
            }
            Self::Session(SessionError::Intake(error)) => error.hint(),
            Self::Resume(error) => Some(error.remedy().to_owned()),
            Self::Broker(error) | Self::Session(SessionError::Broker(error)) => error.hint().map(str::to_owned),
            Self::JetStream(error) => error.hint().map(str::to_owned),
            Self::NotReady(_) | Self::Message(_) | Self::Session(_) => None,
        }
    }
}
