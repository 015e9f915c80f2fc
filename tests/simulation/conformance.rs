//! The model of a stream beside real ones: the same random operations, and every answer must agree.
//!
//! What the schedules found out with the model would mean little if servers did otherwise. Each installed version of
//! nats-server is asked. Answers are compared by sequence, error number and duplicate flag, and the end of the stream as the
//! program's own inspector reads it.

use std::time::Duration;

use async_nats::{
    Client, HeaderMap, HeaderValue,
    jetstream::{
        self, Context,
        stream::{Config, DiscardPolicy, StorageType},
    },
};
use walpost::{
    lsn::Lsn,
    position::{Place, Source},
    publish::{Broker, BrokerOptions, Credentials, Outcome, StreamEnd, TlsFiles},
    sandbox::servers::{NatsBinary, NatsOptions, Places, PrivateNats},
};

use crate::{
    chance::Chance,
    jetstream::{Answer, End, Publish, Stream},
};

const STREAM: &str = "OUTBOX";
const OPERATIONS: usize = 400;
/// So few ids that many are used again.
const IDS: u64 = 40;
/// Longer than the test.
const WINDOW: Duration = Duration::from_secs(3600);
/// A server starts again after so many operations.
const RESTART_EVERY: usize = 80;

/// A stream on a real server, and the model of it.
struct Pair {
    server: PrivateNats,
    client: Client,
    context: Context,
    model: Stream,
    chance: Chance,
    events: u64,
    /// The last sequence when the server was started again.
    last_at_restart: u64,
}

#[tokio::test]
async fn the_model_answers_as_every_installed_server() {
    let seed = std::env::var("WALPOST_SIM_SEED")
        .map_or_else(|_| uuid::Uuid::new_v4().as_u64_pair().0, |text| text.parse().unwrap());
    let installed = NatsBinary::all_installed(&Places::from_environment());
    assert!(!installed.is_empty(), "no nats-server is installed: run `make tools`");
    for binary in installed {
        println!("on NATS {}: WALPOST_SIM_SEED={seed}", binary.version);
        let mut pair = Box::pin(Pair::begin(binary, seed)).await;
        pair.learn().await;
        for number in 1..=OPERATIONS {
            Box::pin(pair.operate(number)).await;
        }
    }
}

impl Pair {
    async fn begin(binary: NatsBinary, seed: u64) -> Self {
        let server = PrivateNats::start(NatsOptions::default().binary(binary)).await.unwrap();
        let (client, context) = connect(&server).await;
        Box::pin(context.create_stream(config(-1))).await.unwrap();
        let window = u64::try_from(WINDOW.as_millis()).unwrap();
        Self {
            server,
            client,
            context,
            model: Stream::new(window),
            chance: Chance::new(seed),
            events: 0,
            last_at_restart: 0,
        }
    }

    /// Finds out which of two habits the server has: versions differ, and delivery must do with both.
    async fn learn(&mut self) {
        let publish = Publish { id: Some(0), ..Publish::FOREIGN };
        assert_eq!(self.ask(publish).await, Outcome::Stored { sequence: 1 });
        assert_eq!(self.model.publish(publish, 0), Answer::Stored(1));
        let again = Publish { expected: Some(0), ..publish };
        self.model.asks_sequence_first = self.ask(again).await.is_wrong_last_sequence();
        println!("asks for the sequence first: {}", self.model.asks_sequence_first);
    }

    async fn operate(&mut self, number: usize) {
        if number.is_multiple_of(RESTART_EVERY) {
            self.server.restart().await.unwrap();
            (self.client, self.context) = connect(&self.server).await;
            self.model.restart(0);
            self.last_at_restart = self.model.last;
        }
        match self.chance.below(40) {
            0 => self.remove().await,
            1 => self.limit().await,
            2 if self.chance.one_in(4) => self.purge().await,
            3..6 => self.compare_ends(number).await,
            _ => self.publish(number).await,
        }
    }

    /// A message, mostly one that is expected to be stored.
    async fn publish(&mut self, number: usize) {
        let chance = &mut self.chance;
        let last = self.model.last;
        let expected = match chance.below(8) {
            0 => None,
            1 => Some(last + 1),
            2 => Some(last.saturating_sub(1)),
            3 => Some(0),
            _ => Some(last),
        };
        let behind = match chance.below(8) {
            0 => Some(chance.below(IDS)),
            1..4 => self.model.last_id(),
            _ => None,
        };
        let id = (!chance.one_in(10)).then(|| chance.below(IDS));
        let event = (!chance.one_in(5)).then_some(self.events);
        let publish =
            Publish { id, expected, behind, is_for_us: !chance.one_in(25), event, checkpoint: event, previous: None };
        self.events += 1;
        let mut modelled = self.model.publish(publish, 0);
        let real = self.ask(publish).await;
        if let (Answer::Duplicate(sequence), Some(id)) = (modelled, publish.id)
            && sequence <= self.last_at_restart
            && !agree(&real, modelled)
        {
            // Some versions do not find every id again that they knew before they were started again.
            self.model.forget_id(id);
            modelled = self.model.publish(publish, 0);
        }
        assert!(
            agree(&real, modelled),
            "operation {number}: the model says {modelled:?}, the server {real:?}, to {publish:?}"
        );
    }

    async fn ask(&self, publish: Publish) -> Outcome {
        let mut headers = HeaderMap::new();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                headers.insert(name, value.parse::<HeaderValue>().unwrap());
            }
        };
        set("Nats-Msg-Id", publish.id.map(id));
        set("Nats-Expected-Last-Msg-Id", publish.behind.map(id));
        set("Nats-Expected-Last-Sequence", publish.expected.map(|sequence| sequence.to_string()));
        set("Nats-Expected-Stream", Some(if publish.is_for_us { STREAM } else { "OTHER" }.to_owned()));
        set("Walpost-Position", publish.event.map(position));
        let subject = if publish.event.is_some() { "outbox.event" } else { "outbox.foreign" };
        let answer = self.client.request_with_headers(subject, headers, "{}".into()).await.unwrap();
        Outcome::read(&answer.payload, STREAM)
    }

    async fn remove(&mut self) {
        let sequence = self.chance.below(self.model.last + 1);
        let stream = Box::pin(self.context.get_stream(STREAM)).await.unwrap();
        let removed = stream.delete_message(sequence).await.is_ok();
        assert_eq!(removed, self.model.remove(sequence), "message {sequence} is removed");
    }

    async fn purge(&mut self) {
        Box::pin(self.context.get_stream(STREAM)).await.unwrap().purge().await.unwrap();
        self.model.purge();
    }

    /// Room for a few messages more, or for any number.
    async fn limit(&mut self) {
        let limit = self.model.limit.is_none().then(|| self.model.len() + 1 + self.chance.index(5));
        let max_messages = limit.map_or(-1, |limit| i64::try_from(limit).unwrap());
        Box::pin(self.context.update_stream(config(max_messages))).await.unwrap();
        self.model.limit = limit;
    }

    /// Where the stream ends, as the program reads it.
    async fn compare_ends(&self, number: usize) {
        let options = BrokerOptions {
            servers: vec![self.server.url().parse().unwrap()],
            credentials: Credentials::None,
            url_file: None,
            tls: TlsFiles::default(),
            inbox_prefix: "_INBOX".to_owned(),
            stream: STREAM.to_owned(),
            max_in_flight: 1,
        };
        let broker = Box::pin(Broker::connect(&options)).await.unwrap();
        let real = match Box::pin(broker.inspector().end()).await.unwrap() {
            StreamEnd::Empty => End::Empty,
            StreamEnd::Removed { sequence } => End::Removed { sequence },
            StreamEnd::At { sequence, position } => End::At { sequence, event: position.place.commit_lsn.as_u64() },
        };
        assert_eq!(real, self.model.end(), "operation {number}");
    }
}

fn agree(real: &Outcome, modelled: Answer) -> bool {
    match (real, modelled) {
        (Outcome::Stored { sequence }, Answer::Stored(expected))
        | (Outcome::Duplicate { sequence }, Answer::Duplicate(expected)) => *sequence == expected,
        (Outcome::Refused { err_code, .. }, Answer::Refused(expected)) => *err_code == expected,
        _ => false,
    }
}

async fn connect(server: &PrivateNats) -> (Client, Context) {
    let client = Box::pin(async_nats::connect(server.url())).await.unwrap();
    (client.clone(), jetstream::new(client))
}

fn config(max_messages: i64) -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec!["outbox.>".to_owned()],
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        duplicate_window: WINDOW,
        max_messages,
        ..Config::default()
    }
}

fn id(number: u64) -> String {
    format!("id-{number}")
}

/// The position that stands for an event.
fn position(event: u64) -> String {
    let source = Source { system_id: 1, timeline: 1, slot: "walpost".to_owned() };
    source.position(Place { commit_lsn: Lsn::new(event), index: 0 })
}
