//! Webhooks on servers of other kinds: three that keep the streams together, and every version that is installed.

use std::fs;

use async_nats::{
    ConnectOptions, HeaderMap,
    jetstream::{self, Context, stream::Config},
};
use tempfile::TempDir;
use walpost::sandbox::servers::{NatsBinary, NatsCluster, NatsOptions, Places, PrivateNats};

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, endpoint},
    support::{
        daemon::{Daemon, Settings},
        stream::Reader,
    },
    wait,
};

/// Whoever publishes in the place of a relay.
struct Source {
    jetstream: Context,
    published: u64,
}

impl Source {
    /// On servers whose stream is made here, by this many of them.
    async fn on(urls: &str, replicas: usize) -> (Self, Reader) {
        let reader = Reader::enter(ConnectOptions::new(), urls, "OUTBOX").await;
        let subjects = vec!["outbox.>".to_owned()];
        reader.create(Config { subjects, num_replicas: replicas, ..Config::default() }).await;
        let urls: Vec<&str> = urls.split(',').collect();
        let client = Box::pin(ConnectOptions::new().retry_on_initial_connect().connect(&urls[..])).await.unwrap();
        (Self { jetstream: jetstream::new(client), published: 0 }, reader)
    }

    /// Publishes events of three aggregates, each until it is stored, and each once.
    async fn publish(&mut self, count: u64) {
        for _ in 0..count {
            self.published += 1;
            let (id, aggregate) = (format!("e{}", self.published), (self.published % 3).to_string());
            wait::some("an event is stored", async || {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", id.as_str());
                headers.insert("Walpost-Aggregate-Id", aggregate.as_str());
                let sent = self.jetstream.publish_with_headers("outbox.order.placed", headers, "{}".into()).await;
                sent.ok()?.await.ok()
            })
            .await;
        }
    }

    /// Waits until all of them are taken.
    async fn until_taken(&self, hooks: &Hooks) {
        wait::until("everything is taken", async || hooks.taken().len() as u64 == self.published).await;
    }
}

/// A worker for one receiver, whose streams it makes itself.
fn worker(folder: &TempDir, urls: &str, hooks: &Hooks) -> Daemon {
    let file = folder.path().join("walpost.toml");
    fs::write(&file, endpoint("a", &hooks.url(), "start = \"all\"\nordering = \"aggregate\"")).unwrap();
    let settings = Settings::new("", urls)
        .without("POSTGRES_URL")
        .with("CONFIG", file.to_str().unwrap())
        .with("WEBHOOKS_LEASE", "3s")
        .with("WEBHOOKS_ALLOW_ADDRESSES", "127.0.0.1");
    settings.start_with(&["webhooks", "run", "--setup"])
}

#[tokio::test]
async fn the_servers_that_lead_the_streams_of_a_cluster_die_and_everything_arrives_in_order() {
    let mut cluster = NatsCluster::start(NatsOptions::default()).await.unwrap();
    let (mut source, reader) = Source::on(&cluster.url(), 3).await;
    let (hooks, folder) = (Hooks::start(200, AT_ONCE).await, tempfile::tempdir().unwrap());
    let worker = worker(&folder, &cluster.url(), &hooks);
    source.publish(10).await;
    source.until_taken(&hooks).await;
    // What the endpoint's record is in, then what its events are in.
    for stream in ["OUTBOX_WEBHOOKS", "OUTBOX"] {
        let leader = cluster.until_whole(stream).await.unwrap();
        cluster.servers_mut()[leader].kill().await.unwrap();
        source.publish(10).await;
        source.until_taken(&hooks).await;
        cluster.servers_mut()[leader].restart().await.unwrap();
        source.publish(10).await;
        source.until_taken(&hooks).await;
    }
    let mut sequences = std::collections::BTreeMap::new();
    for stored in reader.all().await {
        let of: &mut Vec<u64> = sequences.entry(stored.header("Walpost-Aggregate-Id").to_owned()).or_default();
        of.push(stored.sequence);
    }
    hooks.assert_order(&sequences);
    assert_eq!(worker.terminate().await, 0);
}

/// nats-server 2.10 writes the time of its start as that of the stream's creation when the settings of one change.
#[tokio::test]
async fn every_version_delivers_over_restarts_and_changes_of_the_stream() {
    for binary in NatsBinary::all_installed(&Places::from_environment()) {
        let version = binary.version.clone();
        let mut broker = PrivateNats::start(NatsOptions::default().binary(binary)).await.unwrap();
        let (mut source, reader) = Source::on(&broker.url(), 1).await;
        let (hooks, folder) = (Hooks::start(200, AT_ONCE).await, tempfile::tempdir().unwrap());
        for _ in 0..2 {
            let worker = worker(&folder, &broker.url(), &hooks);
            source.publish(5).await;
            source.until_taken(&hooks).await;
            broker.kill().await.unwrap();
            broker.restart().await.unwrap();
            reader.update(|config| config.max_messages += 1000).await;
            source.publish(5).await;
            source.until_taken(&hooks).await;
            broker.kill().await.unwrap();
            broker.restart().await.unwrap();
            source.publish(5).await;
            source.until_taken(&hooks).await;
            assert_eq!(worker.terminate().await, 0, "{version}: {}", hooks.all().len());
        }
    }
}
