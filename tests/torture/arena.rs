//! Everything of one run: both kinds of servers, two instances of walpost, and the network between them.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::Client;
use walpost::sandbox::servers::{
    NatsBinary, NatsCluster, NatsOptions, Places, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres,
};

use crate::{
    daemon::Settings,
    figures::Figures,
    instance::Runner,
    journal::{Entry, Journal, Life, Seen},
    judge::{Kind, Violation},
    proxy::Cut,
    stream::Reader,
    told::Known,
    wait,
    workload::{MAX_PAYLOAD_BYTES, NOTE_DELETES, schema},
    world::{connect, try_connect},
};

/// Secrets that must stand in no log.
pub(crate) const SECRETS: [&str; 2] = ["c4nary-of-postgres", "c4nary-of-nats"];
/// The stream.
pub(crate) const STREAM: &str = "OUTBOX";
/// The shortest memory for message ids that the broker allows: it cannot be what saves us.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// Within this time after a fault is over something must be delivered again.
pub(crate) const HEALED: Duration = Duration::from_secs(30);
/// After this time without anything new all is stored that will be.
const QUIET: Duration = Duration::from_secs(2);
/// How often everybody is looked after.
pub(crate) const GLANCE: Duration = Duration::from_millis(20);
/// How long an instance may take to say how it does.
const QUESTION: Duration = Duration::from_millis(500);

/// Which servers.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Postgres.
    pub(crate) postgres: PostgresBinaries,
    /// NATS.
    pub(crate) nats: NatsBinary,
    /// 1, or 3 for a cluster.
    pub(crate) replicas: usize,
    /// Whether walpost deletes rows as soon as they are delivered.
    pub(crate) deletes: bool,
}

/// The brokers.
#[derive(Debug)]
pub(crate) enum Broker {
    /// One server.
    Alone(Box<PrivateNats>),
    /// Three.
    Cluster(Box<NatsCluster>),
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Arena {
    /// Postgres.
    pub(crate) postgres: PrivatePostgres,
    /// NATS.
    pub(crate) broker: Broker,
    /// Two instances of walpost.
    pub(crate) runners: [Runner; 2],
    /// What is seen on the wires.
    pub(crate) journal: Journal,
    /// The stream.
    pub(crate) reader: Reader,
    /// What happened.
    pub(crate) figures: Figures,
    /// What went wrong.
    pub(crate) misbehaviour: Vec<Violation>,
    /// Transactions that stay open for a while.
    pub(crate) long: Vec<JoinHandle<()>>,
    /// What the database tells of events is held against this.
    pub(crate) known: Known,
}

impl Cell {
    /// The newest of everything, and one broker.
    pub(crate) fn newest() -> Self {
        Self::find("", "", 1)
    }

    /// The first installed versions that begin like these.
    pub(crate) fn find(postgres: &str, nats: &str, replicas: usize) -> Self {
        let places = Places::from_environment();
        let is_wanted =
            |version: &str, wanted: &str| format!("{version}.").starts_with(&format!("{wanted}.")) || wanted.is_empty();
        let all = PostgresBinaries::all_installed(&places);
        let postgres =
            all.into_iter().find(|found| is_wanted(&found.version, postgres)).expect("such a Postgres is installed");
        let all = NatsBinary::all_installed(&places);
        let nats =
            all.into_iter().find(|found| is_wanted(&found.version, nats)).expect("such a NATS server is installed");
        Self { postgres, nats, replicas, deletes: false }
    }
}

impl Arena {
    /// Servers, a stream, and two instances that have not been started.
    pub(crate) async fn build(cell: &Cell) -> Self {
        let options = PostgresOptions::default().binaries(cell.postgres.clone()).scram(SECRETS[0]);
        // Zombies lose the slot soon; a slot's position is saved at checkpoints, so that a crash sets it far back.
        let options = options.setting("wal_sender_timeout", "2s").setting("max_prepared_transactions", "20");
        let options = options.setting("checkpoint_timeout", "1h").setting("max_wal_size", "8GB");
        let postgres = PrivatePostgres::start(options).await.unwrap();
        postgres.execute_sql(&schema()).await.unwrap();

        let options = NatsOptions::default().binary(cell.nats.clone()).login("walpost", SECRETS[1]);
        let options = options.max_payload(MAX_PAYLOAD_BYTES);
        let broker = match cell.replicas {
            1 => Broker::Alone(Box::new(PrivateNats::start(options.clone()).await.unwrap())),
            _ => Broker::Cluster(Box::new(NatsCluster::start(options.clone()).await.unwrap())),
        };
        let reader = Reader::enter(options.to_connect(), &broker.url(), STREAM).await;
        let subjects = ["outbox.>", "outbox_dlq.>"].map(str::to_owned).to_vec();
        let num_replicas = cell.replicas;
        reader.create(Config { subjects, num_replicas, duplicate_window: DUPLICATE_WINDOW, ..Config::default() }).await;

        let journal = Journal::default();
        let (url, ports) = (postgres.url(), broker.ports());
        let direct = settings(&url, &broker.url());
        direct.set_up().await;
        postgres.execute_sql(NOTE_DELETES).await.unwrap();
        let mut runners = Vec::new();
        for number in 0..2 {
            let mut runner = Runner::new(number, (&url, postgres.port()), &ports, &journal).await;
            if cell.deletes {
                runner.delete_rows();
            }
            runners.push(runner);
        }
        let [first, second] = runners.try_into().unwrap();
        let (figures, misbehaviour) = (Figures::default(), Vec::new());
        let (long, known) = (Vec::new(), Known::default());
        Self { postgres, broker, runners: [first, second], journal, reader, figures, misbehaviour, long, known }
    }

    /// Looks after both instances: starts again what has ended, and notes what it sees.
    pub(crate) async fn look_after(&mut self) {
        for runner in &mut self.runners {
            let found = runner.look_after().await;
            self.misbehaviour.extend(found);
        }
    }

    /// Waits until one instance leads, and gives its number; any if there is none for too long.
    pub(crate) async fn leader(&mut self) -> usize {
        let deadline = Instant::now() + HEALED;
        loop {
            self.look_after().await;
            for (number, runner) in self.runners.iter().enumerate() {
                if timeout(QUESTION, runner.phase()).await.is_ok_and(|phase| phase == "leading") {
                    return number;
                }
            }
            if Instant::now() > deadline {
                self.misbehave(Kind::Stuck, format!("nobody leads within {HEALED:?}"));
                return 0;
            }
            sleep(GLANCE).await;
        }
    }

    /// Waits until an event is delivered after `mark` in the journal by a process that is wanted; how long it took since
    /// `begun`.
    pub(crate) async fn delivers(
        &mut self,
        mark: usize,
        begun: Instant,
        is_wanted: impl Fn(Life) -> bool,
    ) -> Option<Duration> {
        let is_stored = |entry: &Entry| {
            matches!(entry.seen, Seen::Answered(answer) if answer.confirms() && !answer.is_duplicate)
                && is_wanted(entry.life)
        };
        let deadline = Instant::now() + HEALED;
        loop {
            self.look_after().await;
            if let Some(entry) = self.journal.first_since(mark, is_stored) {
                return Some(entry.at.saturating_duration_since(begun));
            }
            if Instant::now() > deadline {
                return None;
            }
            sleep(GLANCE).await;
        }
    }

    /// Lets time pass, and looks after everybody meanwhile.
    pub(crate) async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.look_after().await;
            sleep(GLANCE.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Notes a violation.
    pub(crate) fn misbehave(&mut self, kind: Kind, about: String) {
        println!("    !! {kind:?}: {about}");
        self.misbehaviour.push(Violation::new(kind, about));
    }

    /// A session on the database, as soon as it lets one in.
    pub(crate) async fn client(&self) -> Client {
        let url = self.postgres.url();
        wait::some("Postgres lets us in", async || try_connect(&url).await.ok()).await
    }

    /// Waits until all that is in the table is in the stream, as long as there is progress; whether it is.
    pub(crate) async fn drain(&mut self) -> bool {
        let client = connect(&self.postgres.url()).await;
        let all = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM gone)";
        let committed: i64 = client.query_one(all, &[]).await.unwrap().get(0);
        let committed = u64::try_from(committed).unwrap();
        let (mut stored, mut since) = (0, Instant::now());
        // Whether a message of somebody else was stored is not always known, so nothing may come for a while.
        while stored < committed + self.figures.of("messages of others") || since.elapsed() < QUIET {
            self.look_after().await;
            let now = self.reader.last_sequence().await;
            if now > stored {
                (stored, since) = (now, Instant::now());
            }
            if since.elapsed() > HEALED {
                self.misbehave(
                    Kind::Stuck,
                    format!("{stored} of {committed} events stored, and no more for {HEALED:?}"),
                );
                return false;
            }
            sleep(GLANCE).await;
        }
        true
    }

    /// Fine weather everywhere.
    pub(crate) fn clear(&self) {
        for runner in &self.runners {
            runner.postgres.clear();
            runner.nats.clear();
        }
    }

    /// Stops both in good order.
    pub(crate) async fn stop(&mut self) {
        for runner in &mut self.runners {
            let found = runner.stop().await;
            self.misbehaviour.extend(found);
            runner.postgres.cut(Cut::Close);
            runner.nats.cut(Cut::Close);
        }
    }
}

impl Broker {
    /// The addresses of all.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Alone(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// The ports of all.
    fn ports(&self) -> Vec<u16> {
        match self {
            Self::Alone(server) => vec![server.port()],
            Self::Cluster(cluster) => cluster.servers().iter().map(PrivateNats::port).collect(),
        }
    }

    /// The number of the server that matters most: the leader of the stream.
    pub(crate) async fn leader(&self) -> usize {
        match self {
            Self::Alone(_) => 0,
            Self::Cluster(cluster) => cluster.leader_of(STREAM).await.unwrap(),
        }
    }

    /// Has the stream's leader step down, if there are others; whether it did.
    pub(crate) async fn step_down(&self) -> bool {
        match self {
            Self::Alone(_) => false,
            Self::Cluster(cluster) => cluster.step_down(STREAM).await.unwrap_or_default(),
        }
    }

    /// How many servers there are.
    pub(crate) fn count(&self) -> usize {
        self.ports().len()
    }

    /// A server.
    pub(crate) fn server(&mut self, number: usize) -> &mut PrivateNats {
        match self {
            Self::Alone(server) => server,
            Self::Cluster(cluster) => &mut cluster.servers_mut()[number],
        }
    }

    /// Waits until nothing is missing.
    pub(crate) async fn until_whole(&self) {
        if let Self::Cluster(cluster) = self {
            cluster.until_ready().await.unwrap();
            cluster.until_whole(STREAM).await.unwrap();
        }
    }

    /// The end of the logs.
    pub(crate) fn log_tail(&self) -> String {
        match self {
            Self::Alone(server) => server.log_tail(2000),
            Self::Cluster(cluster) => cluster
                .servers()
                .iter()
                .map(|server| server.log_tail(2000))
                .collect::<Vec<_>>()
                .join("\n\n==== next ====\n\n"),
        }
    }
}

/// The settings of an instance that reaches its servers here.
pub(crate) fn settings(postgres: &str, nats: &str) -> Settings {
    let settings = Settings::new(postgres, nats).with("POSTGRES_SSLMODE", "disable");
    settings.with("NATS_USER", "walpost").with("NATS_PASSWORD", SECRETS[1])
}
