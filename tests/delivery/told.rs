//! What walpost says while something keeps it from delivering, and what it ends with: the code, the cause, what to do.

use async_nats::jetstream;
use serde_json::{Value, json};
use walpost::sandbox::servers::{NatsOptions, PrivateNats};

use crate::{
    daemon::{Daemon, Settings},
    stage::EVENT,
    stream::Reader,
    wait,
    world::{connect, database, nats, newest},
};

struct World {
    client: tokio_postgres::Client,
    reader: Reader,
    settings: Settings,
    daemon: Daemon,
}

impl World {
    /// A database and a slot of this name, a stream, and a process that leads. Setup and test use the broker at
    /// `everything`.
    async fn begin(name: &str, everything: &str, nats_url: &str) -> Self {
        let url = database(newest().await, name).await;
        let settings = Settings::new(&url, everything).with("POSTGRES_SLOT", name);
        settings.set_up().await;
        let settings = settings.with("NATS_URL", nats_url);
        let (client, reader) = (connect(&url).await, Reader::connect(everything, "OUTBOX").await);
        let daemon = settings.lead().await;
        Self { client, reader, settings, daemon }
    }

    async fn commit(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Waits until its log says that this keeps it from delivering, with these words in cause and action.
    async fn until_told(&self, code: &str, cause: &str, action: &str) {
        let has = |line: &Value, name: &str, part: &str| line[name].as_str().is_some_and(|text| text.contains(part));
        let what = format!("walpost says {code}, {cause}");
        let line = wait::some(&what, async || {
            let log = self.daemon.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["code"] == code && has(line, "error", cause))
        })
        .await;
        println!("{line}");
        assert!(line["message"] == "not delivering; trying again" && has(&line, "action", action), "{line}");
    }

    /// Waits until it has ended, with this code, and gives its last words.
    async fn ended_with(&mut self, code: &str) -> Value {
        assert_eq!(self.daemon.ended().await, 1);
        let log = self.daemon.log();
        let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        println!("{last}");
        assert_eq!((&last["level"], &last["code"]), (&"ERROR".into(), &code.into()), "{log}");
        assert_eq!(last["see"], json!([format!("docs/reference/errors/{code}.md")]), "{log}");
        last
    }

    /// Waits until the stream holds so many messages and nothing is wrong, and ends.
    async fn end_after(self, messages: u64) {
        wait::until("all events are stored", async || self.reader.last_sequence().await == messages).await;
        self.daemon.until_phase("leading").await;
        assert_eq!(self.daemon.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_full_stream_is_waited_out_and_told_with_the_brokers_words() {
    let broker = nats().await;
    let world = World::begin("told_full", &broker.url(), &broker.url()).await;
    world.reader.update(|config| config.max_messages = 2).await;
    for _ in 0..3 {
        world.commit(EVENT).await;
    }
    world.until_told("WP0503", "JetStream error 10077: maximum messages exceeded", "make room: raise the limits").await;
    let ready = world.daemon.get("/ready").await.unwrap();
    assert!(ready.code == 503 && ready.body.starts_with("leading; WP0503 "), "{}", ready.body);
    assert!(ready.body.contains("(try: make room"), "{}", ready.body);
    assert_eq!(world.reader.last_sequence().await, 2);
    world.reader.update(|config| config.max_messages = -1).await;
    world.end_after(3).await;
}

#[tokio::test]
async fn a_stream_that_is_kept_in_memory_is_delivered_to_with_a_warning() {
    let broker = nats().await;
    let others = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
    let (storage, subjects) = (jetstream::stream::StorageType::Memory, vec!["outbox.>".into(), "outbox_dlq.>".into()]);
    let config = jetstream::stream::Config { name: "OUTBOX".into(), subjects, storage, ..Default::default() };
    Box::pin(others.create_stream(config)).await.unwrap();
    let world = World::begin("told_memory", &broker.url(), &broker.url()).await;
    let log = world.daemon.log();
    let warning = log.lines().find(|line| line.contains("the stream may lose what it holds")).unwrap();
    assert!(warning.contains("it is kept in memory") && warning.contains("storage \\\"file\\\""), "{warning}");
    world.commit(EVENT).await;
    world.end_after(1).await;
}

#[tokio::test]
async fn the_stream_that_setup_makes_needs_no_warning() {
    let broker = nats().await;
    let world = World::begin("told_nothing", &broker.url(), &broker.url()).await;
    assert!(!world.daemon.log().contains("WARN"), "{}", world.daemon.log());
    world.end_after(0).await;
}

#[tokio::test]
async fn a_server_and_an_account_without_room_are_waited_out_and_told_with_the_brokers_words() {
    const ROOM: u64 = 4 << 20;
    let of_server = NatsOptions::default().extra("jetstream", json!({ "max_file_store": ROOM }));
    let account = json!({ "jetstream": { "max_file": ROOM }, "users": [{ "user": "all", "password": "p" }] });
    let of_account = NatsOptions::default().extra("accounts", json!({ "A": account }));
    let of_account = of_account.extra("no_auth_user", json!("all"));
    let cases = [
        ("told_server_full", of_server, "JetStream error 10023: insufficient resources"),
        ("told_account_full", of_account, "JetStream error 10002: resource limits exceeded for account"),
    ];
    for (name, options, words) in cases {
        let broker = PrivateNats::start(options).await.unwrap();
        let world = World::begin(name, &broker.url(), &broker.url()).await;
        let others = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
        let hog = jetstream::stream::Config { name: "HOG".into(), subjects: vec!["hog".into()], ..Default::default() };
        Box::pin(others.create_stream(hog)).await.unwrap();
        // Somebody else takes all the room, to the last byte.
        for bytes in [256 << 10, 4 << 10, 1] {
            while others.publish("hog", vec![0; bytes].into()).await.unwrap().await.is_ok() {}
        }
        world.commit(EVENT).await;
        world.until_told("WP0503", words, "make room").await;
        assert_eq!(world.reader.last_sequence().await, 0);
        others.delete_stream("HOG").await.unwrap();
        world.end_after(1).await;
    }
}

/// Two users: one for everything, and one who may publish only this.
fn users(publish: &[&str]) -> Value {
    let rights = json!({ "publish": publish, "subscribe": ["_INBOX.>"] });
    json!({ "users": [
        { "user": "all", "password": "p" },
        { "user": "app", "password": "p", "permissions": rights },
    ] })
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_told_with_the_subject_and_waited_for() {
    let all = ["outbox.>", "outbox_dlq.>", "$JS.API.STREAM.INFO.OUTBOX", "$JS.API.STREAM.MSG.GET.OUTBOX"];
    let options = NatsOptions::default().extra("authorization", users(&all)).extra("no_auth_user", json!("all"));
    let mut broker = PrivateNats::start(options).await.unwrap();
    let limited = broker.url().replace("nats://", "nats://app:p@");
    let world = World::begin("told_rights", &broker.url(), &limited).await;
    world.commit(EVENT).await;
    wait::until("the event is stored", async || world.reader.last_sequence().await == 1).await;

    broker.reload(|options| options.extra("authorization", users(&all[1..]))).await.unwrap();
    world.commit(EVENT).await;
    world
        .until_told("WP0402", "Permissions Violation for Publish to \"outbox.order.placed\"", "give the NATS user")
        .await;
    broker.reload(|options| options.extra("authorization", users(&all[..2]))).await.unwrap();
    // The same trouble is no news for the log, but what is asked is answered anew.
    wait::until("the missing right to JetStream is told", async || {
        let ready = world.daemon.get("/ready").await.map(|ready| ready.body).unwrap_or_default();
        ready.starts_with("leading; WP0402 ") && ready.contains("Permissions Violation for Publish to \"$JS.API.STREAM")
    })
    .await;
    broker.reload(|options| options.extra("authorization", users(&all))).await.unwrap();
    world.end_after(2).await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_ends_it() {
    let broker = nats().await;
    let mut world = World::begin("told_deleted", &broker.url(), &broker.url()).await;
    world.commit(EVENT).await;
    wait::until("the event is stored", async || world.reader.last_sequence().await == 1).await;
    let client = async_nats::connect(broker.url()).await.unwrap();
    jetstream::new(client).delete_stream("OUTBOX").await.unwrap();
    world.commit(EVENT).await;
    let last = world.ended_with("WP0501").await;
    assert_eq!(last["problems"][0]["error"], "stream \"OUTBOX\" does not exist");
    assert_eq!(last["action"], "run `walpost setup`, which creates it");
}

#[tokio::test]
async fn rows_from_a_time_without_the_publication_end_it_and_the_way_on_is_told() {
    let broker = nats().await;
    let mut world = World::begin("told_gap", &broker.url(), &broker.url()).await;
    world.commit("DROP PUBLICATION walpost").await;
    world.commit(EVENT).await;
    let last = world.ended_with("WP0202").await;
    assert!(
        last["action"].as_str().unwrap().contains("drop the slot, and run `walpost setup --existing-rows missing`"),
        "{last}"
    );
    // Making it again does not help, and the next one says the same.
    world.settings.set_up().await;
    let answer = world.settings.run(&["run"]).await;
    let last: Value = serde_json::from_str(answer.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((answer.code, &last["code"]), (Some(1), &"WP0202".into()), "{}", answer.stderr);
    assert!(
        last["action"].as_str().unwrap().contains("drop the slot, and run `walpost setup --existing-rows missing`"),
        "{last}"
    );
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_told() {
    let broker = nats().await;
    let mut world = World::begin("told_silent", &broker.url(), &broker.url()).await;
    world.daemon.kill().await;
    world.settings = world.settings.clone().with("DELIVERY_PUBLISH_TIMEOUT", "200ms");
    world.daemon = world.settings.lead().await;
    broker.pause().await.unwrap();
    world.commit(EVENT).await;
    world.until_told("WP0504", "NATS did not answer for 200ms", "check that the NATS server runs").await;
    broker.resume().unwrap();
    world.end_after(1).await;
}
