//! What it would gain to publish in batches: the chain that walpost uses, atomic batches and fast ingest (ADR-50 of NATS), in
//! turn, on one broker and on three, with the same messages from memory.
//!
//! `-- ingest --messages 200000 --rounds 3`. The messages are copies of some that walpost has stored, each with an id of its
//! own. What each way checks is as much as it can: in the chain and in fast ingest each message names the sequence before
//! it, in the chain the id of the message before it, too; of an atomic batch the broker takes that of the first message
//! alone. Wall time is from the first message to the answer to the last; CPU time is that of this process, which
//! publishes, and that of the brokers together. The run with the median time counts. Afterwards the stream must hold
//! each message once.

mod batches;
mod fast;

use std::time::Duration;

use async_nats::{
    HeaderMap, HeaderValue, Message, Subscriber,
    jetstream::{self, stream::Config},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use walpost::sandbox::servers::{NatsCluster, NatsOptions, PrivateNats};

use crate::{
    arguments::Arguments,
    drain::{Backlog, Shape, Status, WORKLOAD, id},
    results::{cell, rounded, table},
    usage::Usage,
    world::{STREAM, World},
};

/// As many as `delivery.max_in_flight` by default.
const WINDOW: u32 = 2048;
/// Far past what a broker needs for a window of messages; reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many messages are stored by walpost, to be copied by turns.
const SAMPLES: u32 = 100;

/// What is told of each way.
const COLUMNS: [&str; 5] =
    ["brokers", "way", "messages_per_second", "cpu_us_per_message", "brokers_cpu_us_per_message"];

/// A message: subject, headers, body.
type Sample = (String, HeaderMap, Bytes);

/// A way to publish.
#[derive(Clone, Copy, Debug)]
enum Way {
    Chain,
    AtomicBatches(u64),
    FastIngest,
}

const WAYS: [Way; 4] = [Way::Chain, Way::AtomicBatches(100), Way::AtomicBatches(1000), Way::FastIngest];

/// What one way took for all messages.
#[derive(Clone, Copy, Debug)]
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
    broker_cpu_seconds: f64,
}

pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let (messages, rounds) = (arguments.number("--messages", 200_000), arguments.number("--rounds", 3));
    let samples = samples(world).await;
    let config = world.stream().await.cached_info().config.clone();
    let cluster = NatsCluster::start(NatsOptions::default()).await.unwrap();
    let places = [("one", std::slice::from_ref(&world.nats)), ("three", cluster.servers())];
    let (mut figures, mut rows) = (Vec::new(), Vec::new());
    for (brokers, servers) in places {
        let mut costs = WAYS.map(|_| Vec::new());
        for round in 1..=rounds {
            println!("{messages} messages, brokers: {brokers}, round {round} of {rounds}");
            for (way, costs) in WAYS.into_iter().zip(&mut costs) {
                costs.push(cost(way, servers, &config, &samples, messages.into()).await);
            }
        }
        for (way, costs) in WAYS.into_iter().zip(costs) {
            let figure = figure(&way.to_string(), brokers, costs, messages.into());
            rows.push(COLUMNS.map(|name| cell(&figure[name])).into());
            figures.push(figure);
        }
    }
    println!("{}", table(&COLUMNS, rows));
    json!({ "messages": messages, "rounds": rounds, "window": WINDOW, "ways": figures })
}

/// What is told of one way, by the run with the median time.
fn figure(way: &str, brokers: &str, mut costs: Vec<Cost>, messages: f64) -> Value {
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let median = costs[costs.len() / 2];
    json!({
        "brokers": brokers,
        "way": way,
        "messages_per_second": (messages / median.seconds).round(),
        "cpu_us_per_message": rounded(median.cpu_seconds / messages * 1e6, 2),
        "brokers_cpu_us_per_message": rounded(median.broker_cpu_seconds / messages * 1e6, 2),
    })
}

/// Messages as walpost stores them.
async fn samples(world: &World) -> Vec<Sample> {
    let backlog = Backlog::make(world, Shape { events: SAMPLES, ..WORKLOAD }).await;
    backlog.walpost(Status::Kept).await;
    let stream = world.stream().await;
    let mut samples = Vec::new();
    for sequence in 1..=SAMPLES.into() {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let mut headers = HeaderMap::new();
        // Those for the broker are made anew.
        for (name, values) in message.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-")) {
            values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
        }
        samples.push((message.subject.to_string(), headers, message.payload));
    }
    samples
}

/// Publishes all messages in one way, into a stream that is empty.
async fn cost(way: Way, servers: &[PrivateNats], config: &Config, samples: &[Sample], messages: u64) -> Cost {
    let capacity = usize::try_from(WINDOW).unwrap();
    let options = async_nats::ConnectOptions::new().client_capacity(capacity).subscription_capacity(capacity);
    let mut jetstream = jetstream::new(options.connect(servers[0].url()).await.unwrap());
    jetstream.set_timeout(PATIENCE);
    // A cluster has none at first.
    drop(jetstream.delete_stream(STREAM).await);
    new_stream(&jetstream, config, servers.len()).await;
    let source = Source { samples, messages };
    let before = (Usage::of(std::process::id()).unwrap().cpu_seconds, cpu_seconds(servers));
    let begun = Instant::now();
    let mut lane = Lane::open(&jetstream).await;
    match way {
        Way::Chain => batches::chain(&mut lane, &source).await,
        Way::AtomicBatches(size) => batches::atomic(&mut lane, &source, size).await,
        Way::FastIngest => fast::ingest(&mut lane, &source).await,
    }
    let cost = Cost {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: Usage::of(std::process::id()).unwrap().cpu_seconds - before.0,
        broker_cpu_seconds: cpu_seconds(servers) - before.1,
    };
    let stream = Box::pin(jetstream.get_stream(STREAM)).await.unwrap();
    assert_eq!(stream.cached_info().state.messages, messages, "{way}");
    cost
}

/// Makes the stream as setup does, apart from its replicas and from what batches need, which the client does not know yet.
async fn new_stream(jetstream: &jetstream::Context, config: &Config, replicas: usize) {
    let mut wanted = serde_json::to_value(config).unwrap();
    wanted["num_replicas"] = replicas.into();
    wanted["allow_atomic"] = true.into();
    wanted["allow_batched"] = true.into();
    let answer: Value = jetstream.request(format!("STREAM.CREATE.{STREAM}"), &wanted).await.unwrap();
    assert_eq!(answer.get("error"), None);
}

fn cpu_seconds(servers: &[PrivateNats]) -> f64 {
    servers.iter().map(|server| Usage::of(server.pid().unwrap()).unwrap().cpu_seconds).sum()
}

/// The messages that are published.
struct Source<'a> {
    samples: &'a [Sample],
    messages: u64,
}

impl Source<'_> {
    /// The message with this sequence in the stream, with an id that no other has.
    fn message(&self, sequence: u64) -> Sample {
        let at = usize::try_from(sequence).unwrap() % self.samples.len();
        let (subject, mut headers, body) = self.samples[at].clone();
        headers.insert("Nats-Msg-Id", id(sequence));
        (subject, headers, body)
    }

    /// The same, to be stored only right behind the message before it.
    fn behind_last(&self, sequence: u64) -> Sample {
        let mut message = self.message(sequence);
        message.1.insert("Nats-Expected-Last-Sequence", HeaderValue::from(sequence - 1));
        message
    }
}

/// A connection, and how far it is.
struct Lane {
    client: async_nats::Client,
    inbox: String,
    answers: Subscriber,
    published: u64,
    stored: u64,
}

impl Lane {
    async fn open(jetstream: &jetstream::Context) -> Self {
        let client = jetstream.client();
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.>")).await.unwrap();
        Self { client, inbox, answers, published: 0, stored: 0 }
    }

    fn has_room(&self) -> bool {
        self.published - self.stored < WINDOW.into()
    }

    /// Waits for an answer, and gives all that are here to `take`, which tells up to where all is stored.
    async fn settle(&mut self, mut take: impl FnMut(&Message, u64) -> u64) {
        let mut answer = timeout(PATIENCE, self.answers.next()).await.expect("an answer in time");
        while let Some(message) = answer {
            self.stored = take(&message, self.stored);
            answer = self.answers.next().now_or_never().flatten();
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chain => f.write_str("chain"),
            Self::AtomicBatches(size) => write!(f, "atomic batches of {size}"),
            Self::FastIngest => f.write_str("fast ingest"),
        }
    }
}
