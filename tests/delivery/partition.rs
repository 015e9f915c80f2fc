//! Brokers of which too few see each other.

use std::time::Duration;

use async_nats::{
    ConnectOptions,
    jetstream::{self, stream::Config},
};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;
use walpost::sandbox::servers::{NatsCluster, NatsOptions, PrivateNats, PrivatePostgres};

use crate::{
    daemon::{Daemon, Settings, free_address},
    stage::EVENT,
    stream::Reader,
    wait,
    wire::Wire,
    witness::{Witness, assert_same, log_of},
    world::{connect, own_postgres},
};

/// As many as can lose one.
const SERVERS: usize = 3;

/// The stream, kept by all.
fn stream() -> Config {
    let subjects = ["outbox.>", "outbox_dlq.>"].map(str::to_owned).to_vec();
    let duplicate_window = Duration::from_millis(100);
    Config { name: "OUTBOX".into(), subjects, num_replicas: SERVERS, duplicate_window, ..Config::default() }
}

/// A database, and who watches it.
struct World {
    _postgres: PrivatePostgres,
    client: Client,
    witness: Witness,
}

impl World {
    async fn begin(nats_url: &str) -> (Self, Settings) {
        let postgres = own_postgres(&[]).await;
        let settings = Settings::new(&postgres.url(), nats_url);
        settings.set_up().await;
        let client = connect(&postgres.url()).await;
        let witness = Witness::begin(&client, "partition").await;
        (Self { _postgres: postgres, client, witness }, settings)
    }

    /// So many events, each by a transaction of its own.
    async fn commit(&self, events: usize) {
        for _ in 0..events {
            self.client.batch_execute(EVENT).await.unwrap();
        }
    }

    /// Waits until everything is stored, and holds it against the witness.
    async fn assert_all_arrived(&self, reader: &Reader) {
        let seen = self.witness.all(&self.client).await;
        // The servers elect again when they see each other again, so that reading may fail now and then. Not all of them need
        // have everything: nats-server 2.15.1 sometimes never lets the one that was alone catch up.
        let stored = wait::some("all events are stored", async || {
            reader.try_all().await.filter(|stored| stored.len() >= seen.len())
        })
        .await;
        assert_same(&seen, &stored, &log_of(&self.client, "walpost").await);
    }
}

#[tokio::test]
async fn without_a_majority_of_the_brokers_nothing_is_confirmed_and_all_arrives_when_it_is_back() {
    let mut cluster = NatsCluster::start(NatsOptions::default()).await.unwrap();
    let reader = Reader::enter(ConnectOptions::new(), &cluster.url(), "OUTBOX").await;
    reader.create(stream()).await;
    let (world, settings) = World::begin(&cluster.url()).await;
    let daemon = settings.lead().await;
    world.commit(1).await;
    world.assert_all_arrived(&reader).await;
    for server in 0..2 {
        cluster.servers_mut()[server].kill().await.unwrap();
    }
    world.commit(1).await;
    let blocked = async || daemon.get("/ready").await.is_some_and(|ready| ready.code == 503);
    wait::until("walpost is blocked", blocked).await;
    let end = world.witness.all(&world.client).await[1].end_lsn.to_string();
    let sql = "SELECT confirmed_flush_lsn < $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'walpost'";
    assert!(world.client.query_one(sql, &[&end]).await.unwrap().get::<_, bool>(0), "confirmed without a majority");
    for server in 0..2 {
        cluster.servers_mut()[server].restart().await.unwrap();
    }
    daemon.until_phase("leading").await;
    world.assert_all_arrived(&reader).await;
    assert_eq!(daemon.terminate().await, 0);
}

/// A cluster whose servers see each other over ways that can be cut.
struct Partitionable {
    servers: Vec<PrivateNats>,
    /// From one server to another.
    ways: Vec<(usize, usize, Wire)>,
}

impl Partitionable {
    async fn start() -> Self {
        let (name, ports): (_, Vec<u16>) = (Uuid::new_v4().to_string(), routes());
        let mut ways = Vec::new();
        for from in 0..SERVERS {
            for to in (0..SERVERS).filter(|to| *to != from) {
                ways.push((from, to, Wire::to(ports[to]).await));
            }
        }
        let mut servers = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let routes = ways.iter().filter(|(from, ..)| *from == number);
            let routes: Vec<String> = routes.map(|(.., way)| format!("nats://127.0.0.1:{}", way.port())).collect();
            let listen = format!("127.0.0.1:{port}");
            // Nobody is told of a way past those that can be cut.
            let cluster = json!({ "name": name, "listen": listen, "routes": routes, "advertise": "127.0.0.1:1" });
            servers.push(PrivateNats::start(NatsOptions::default().extra("cluster", cluster)).await.unwrap());
        }
        let jetstream = jetstream::new(async_nats::connect(servers[0].url()).await.unwrap());
        let make = async || Box::pin(jetstream.create_stream(stream())).await.is_ok();
        wait::until("the servers know each other and make the stream", make).await;
        Self { servers, ways }
    }

    /// Cuts a server off from the others, or lets it back.
    fn each_way(&self, server: usize, act: impl Fn(&Wire)) {
        let ways = self.ways.iter().filter(|(from, to, _)| [*from, *to].contains(&server));
        ways.for_each(|(.., way)| act(way));
    }

    /// The number of the server that leads the stream, asked over one that is not cut off.
    async fn leader(&self, asked: usize) -> usize {
        let jetstream = jetstream::new(async_nats::connect(self.servers[asked].url()).await.unwrap());
        wait::some("the stream has a leader", async || {
            let stream = Box::pin(jetstream.get_stream("OUTBOX")).await.ok()?;
            let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
            let name = |server: &PrivateNats| server.folder().file_name().unwrap().to_str().unwrap().to_owned();
            self.servers.iter().position(|server| name(server) == leader)
        })
        .await
    }
}

/// A port for each server's routes.
fn routes() -> Vec<u16> {
    (0..SERVERS).map(|_| free_address().port()).collect()
}

#[tokio::test]
async fn a_stream_leader_that_is_cut_off_from_the_others_costs_nothing_and_whoever_reaches_them_leads() {
    let cluster = Partitionable::start().await;
    let alone = cluster.leader(0).await;
    let others: Vec<String> =
        (0..SERVERS).filter(|server| *server != alone).map(|server| cluster.servers[server].url()).collect();
    let reader = Reader::enter(ConnectOptions::new(), &others.join(","), "OUTBOX").await;
    let (world, settings) = World::begin(&others.join(",")).await;
    // It knows only the server that will be alone.
    let with_the_one = settings.clone().with("NATS_URL", &cluster.servers[alone].url()).lead().await;
    let with_the_others = settings.with("ADMIN_LISTEN", &free_address().to_string()).start();
    with_the_others.until_phase("standby").await;
    world.commit(20).await;
    world.assert_all_arrived(&reader).await;
    cluster.each_way(alone, Wire::cut);
    // These are sent to the one that is alone, and stored nowhere.
    world.commit(20).await;
    // What it still believes to be the end of the stream is behind what the others make of it.
    with_the_others.until_phase("leading").await;
    world.assert_all_arrived(&reader).await;
    world.commit(20).await;
    world.assert_all_arrived(&reader).await;
    cluster.each_way(alone, Wire::mend);
    // The servers elect again, so that the one may lead or the other.
    let is_ready = async |daemon: &Daemon| daemon.get("/ready").await.is_some_and(|page| page.code == 200);
    let both = async || is_ready(&with_the_one).await && is_ready(&with_the_others).await;
    wait::until("one leads and the other stands by", both).await;
    world.commit(20).await;
    world.assert_all_arrived(&reader).await;
    for daemon in [with_the_one, with_the_others] {
        assert_eq!(daemon.terminate().await, 0);
    }
}
