//! Private NATS servers that form a cluster: who leads, elections, and the loss of any of them.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        stream::{Config, StorageType},
    },
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{BETWEEN_GLANCES, NatsOptions, PrivateNats};
use crate::sandbox::servers::{error::ServerError, port};

/// As many as keep a majority when one is lost.
const SERVERS: usize = 3;

/// How often to try with other ports for the routes: each is lost only if somebody takes one within milliseconds.
const ATTEMPTS: usize = 3;

/// How long an election may take: on an idle machine it takes a second or two.
const ELECTION: Duration = Duration::from_secs(60);

/// A stream that is made and removed before anybody has the cluster.
const PROBE: &str = "WALPOST_PROBE";

/// How long one question may take; a server without a leader is silent.
const QUESTION: Duration = Duration::from_secs(1);

/// Three NATS servers with JetStream that keep streams together. All end with this value.
#[derive(Debug)]
pub struct NatsCluster {
    /// The servers.
    servers: Vec<PrivateNats>,
    /// Their common name, which no other cluster has.
    name: String,
    /// How to enter.
    options: NatsOptions,
}

impl NatsCluster {
    /// Start three servers with these options, each with a store of its own; they have elected a leader on return.
    ///
    /// # Errors
    /// No NATS server is installed, or one does not start, or they do not come together.
    pub async fn start(options: NatsOptions) -> Result<Self, ServerError> {
        let mut attempts = 1..=ATTEMPTS;
        loop {
            attempts.next();
            match Self::start_once(&options).await {
                Err(ServerError::Misbehaved { .. }) if !attempts.is_empty() => {}
                other => return other,
            }
        }
    }

    /// Start three servers with ports that are free now.
    async fn start_once(options: &NatsOptions) -> Result<Self, ServerError> {
        let name = Uuid::new_v4().to_string();
        let mut ports = Vec::new();
        for _ in 0..SERVERS {
            ports.push(port::free().map_err(ServerError::system("find a free port in", "127.0.0.1".as_ref()))?);
        }
        let routes: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut servers = Vec::new();
        for port in ports {
            let cluster = json!({ "name": name, "listen": format!("127.0.0.1:{port}"), "routes": routes });
            servers.push(PrivateNats::start(options.clone().extra("cluster", cluster)).await?);
        }
        let cluster = Self { servers, name, options: options.clone() };
        cluster.until_acquainted().await?;
        Ok(cluster)
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &[PrivateNats] {
        &self.servers
    }

    /// The servers, to stop and start them.
    pub fn servers_mut(&mut self) -> &mut [PrivateNats] {
        &mut self.servers
    }

    /// The addresses of all servers, as `nats.url` takes them.
    #[must_use]
    pub fn url(&self) -> String {
        self.servers.iter().map(PrivateNats::url).collect::<Vec<_>>().join(",")
    }

    /// Wait until the servers that run have a leader for JetStream; it takes a majority of them.
    ///
    /// # Errors
    /// They have none after a time in which every election is over.
    pub async fn until_ready(&self) -> Result<(), ServerError> {
        let client = self.client().await?;
        self.until("elect a leader for JetStream", async || {
            let answer = timeout(QUESTION, jetstream::new(client.clone()).query_account()).await;
            matches!(answer, Ok(Ok(_))).then_some(())
        })
        .await
    }

    /// Wait until all servers know of each other, so that a stream can be kept by all of them: a leader alone refuses to
    /// make one as long as it has not heard from the others.
    async fn until_acquainted(&self) -> Result<(), ServerError> {
        let jetstream = jetstream::new(self.client().await?);
        let storage = StorageType::Memory;
        let probe = Config { name: PROBE.to_owned(), num_replicas: SERVERS, storage, ..Config::default() };
        self.until("get to know each other", async || {
            timeout(ELECTION, Box::pin(jetstream.create_stream(probe.clone()))).await.ok()?.ok()?;
            timeout(ELECTION, jetstream.delete_stream(PROBE)).await.ok()?.ok().map(|_| ())
        })
        .await
    }

    /// Wait until the stream has a leader and all its replicas have what it has, and give the leader's number.
    ///
    /// # Errors
    /// It has none after a time in which every election is over.
    pub async fn until_whole(&self, stream: &str) -> Result<usize, ServerError> {
        let jetstream = jetstream::new(self.client().await?);
        self.until("bring the stream's replicas together", async || {
            let group = group_of(&jetstream, stream).await?;
            let is_whole = group.replicas.iter().all(|replica| replica.current && !replica.offline);
            self.number_of(&group.leader?).filter(|_| is_whole)
        })
        .await
    }

    /// Wait until the stream has a leader among the servers that run, and give its number.
    ///
    /// # Errors
    /// It has none after a time in which every election is over.
    pub async fn leader_of(&self, stream: &str) -> Result<usize, ServerError> {
        let jetstream = jetstream::new(self.client().await?);
        self.until("elect a leader for the stream", async || {
            let leader = self.number_of(&group_of(&jetstream, stream).await?.leader?)?;
            self.servers.get(leader).filter(|server| server.is_running()).map(|_| leader)
        })
        .await
    }

    /// Have the stream's leader step down; the others elect another one. Whether a leader was there to do so.
    ///
    /// # Errors
    /// No server can be reached.
    pub async fn step_down(&self, stream: &str) -> Result<bool, ServerError> {
        let jetstream = jetstream::new(self.client().await?);
        let (subject, anybody) = (format!("STREAM.LEADER.STEPDOWN.{stream}"), json!({}));
        let request = jetstream.request::<_, _, StepDown>(subject, &anybody);
        Ok(matches!(timeout(QUESTION, request).await, Ok(Ok(StepDown { success: true }))))
    }

    /// The number of the server of this name.
    fn number_of(&self, name: &str) -> Option<usize> {
        self.servers.iter().position(|server| server.name() == name)
    }

    /// A connection to any server that runs.
    async fn client(&self) -> Result<Client, ServerError> {
        let urls: Vec<String> =
            self.servers.iter().filter(|server| server.is_running()).map(PrivateNats::url).collect();
        let connecting = self.options.to_connect().retry_on_initial_connect().connect(&urls[..]);
        Box::pin(connecting).await.map_err(|error| self.misbehaved(&format!("let nobody in: {error}")))
    }

    /// Wait until `look` sees something.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> Result<T, ServerError> {
        let deadline = Instant::now() + ELECTION;
        loop {
            if let Some(seen) = look().await {
                return Ok(seen);
            }
            if Instant::now() >= deadline {
                return Err(self.misbehaved(&format!("did not {what} within {ELECTION:?}")));
            }
            sleep(BETWEEN_GLANCES).await;
        }
    }

    /// The error for a cluster that does not do what it should, with the end of each log.
    fn misbehaved(&self, reason: &str) -> ServerError {
        let logs: Vec<String> = self.servers.iter().map(|server| server.log_tail(10)).collect();
        let reason = format!("{reason} (cluster {})", self.name);
        ServerError::Misbehaved { server: "the private NATS cluster", reason, log: logs.join("\n--\n") }
    }
}

/// Who keeps a stream; none without an answer.
async fn group_of(jetstream: &Context, stream: &str) -> Option<Group> {
    let request = jetstream.request::<_, _, StreamInfo>(format!("STREAM.INFO.{stream}"), &());
    timeout(QUESTION, request).await.ok()?.ok()?.cluster
}

/// What JetStream tells of a stream, as far as it is asked for here.
/// <https://docs.nats.io/reference/reference-protocols/nats_api_reference>
#[derive(Deserialize)]
struct StreamInfo {
    /// Who keeps it.
    cluster: Option<Group>,
}

/// The servers that keep a stream.
#[derive(Deserialize)]
struct Group {
    /// The name of the one that leads.
    leader: Option<String>,
    /// The others.
    #[serde(default)]
    replicas: Vec<Replica>,
}

/// A server that follows.
#[derive(Deserialize)]
struct Replica {
    /// Whether it has what the leader has.
    #[serde(default)]
    current: bool,
    /// Whether it cannot be reached.
    #[serde(default)]
    offline: bool,
}

/// The answer to a request to step down.
#[derive(Deserialize)]
struct StepDown {
    /// Whether it did.
    #[serde(default)]
    success: bool,
}
