//! Everything from the table to the receivers, on private servers.

use std::{collections::BTreeMap, fs, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        consumer::{AckPolicy, pull},
    },
};
use futures_util::StreamExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    daemon::{Daemon, Settings, free_address},
    stage::Stage,
    wait,
    world::own_postgres,
};

use super::hooks::SECRET;

/// How long an owner that says nothing keeps an endpoint here.
const LEASE: &str = "2s";

/// The servers, the relay, and the configuration of webhooks.
pub(crate) struct Place {
    pub(crate) stage: Stage,
    _relay: Daemon,
    folder: TempDir,
    /// Whether endpoints are in the table, and not in the file.
    has_table: bool,
}

impl Place {
    /// With a relay that leads, and these tables of endpoints.
    pub(crate) async fn set(endpoints: &str) -> Self {
        Self::make(endpoints, false).await
    }

    /// With a relay that leads, and a table of endpoints that has no row yet.
    pub(crate) async fn set_with_table() -> Self {
        let ports = "allow_ports = \"443, 1024-65535\"";
        Self::make(&format!("[webhooks]\nsource = \"table\"\nrefresh = \"100ms\"\n{ports}\n"), true).await
    }

    async fn make(file: &str, has_table: bool) -> Self {
        let stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
        let relay = stage.settings.lead().await;
        let folder = tempfile::tempdir().unwrap();
        let place = Self { stage, _relay: relay, folder, has_table };
        place.configure(file);
        let answer = place.run(&["webhooks", "setup"]).await;
        assert!(answer.contains("created  stream OUTBOX_WEBHOOKS\ncreated  stream OUTBOX_WEBHOOK_LOG\n"), "{answer}");
        let table = "table public.walpost_webhook_endpoint\n";
        assert_eq!(answer.contains(&format!("created  {table}")), has_table, "{answer}");
        place
    }

    /// Writes the file anew.
    pub(crate) fn configure(&self, file: &str) {
        fs::write(self.folder.path().join("walpost.toml"), file).unwrap();
    }

    /// The settings of a worker, which knows nothing of Postgres unless the endpoints are there.
    pub(crate) fn settings(&self) -> Settings {
        let file = self.folder.path().join("walpost.toml");
        let settings = Settings::new(&self.stage.postgres.url(), &self.stage.broker.url());
        let settings = if self.has_table { settings } else { settings.without("POSTGRES_URL") };
        settings
            .with("CONFIG", file.to_str().unwrap())
            .with("ADMIN_LISTEN", &free_address().to_string())
            .with("WEBHOOKS_LEASE", LEASE)
            .with("WEBHOOKS_ALLOW_ADDRESSES", "127.0.0.1")
            .with("LOG_LEVEL", "walpost=debug")
    }

    /// Starts a worker.
    pub(crate) fn worker(&self) -> Daemon {
        self.settings().start_with(&["webhooks", "run"])
    }

    /// Runs a command that must do it.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let answer = self.settings().run(arguments).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        answer.stdout
    }

    /// Inserts an endpoint: its receiver, and more columns with their values.
    pub(crate) async fn insert(&self, name: &str, url: &str, more: &[(&str, &str)]) {
        let (columns, values): (Vec<_>, Vec<_>) = more.iter().copied().unzip();
        let (columns, values) = ([&["name", "url", "plain_http", "secrets"], &columns[..]].concat(), values.join(", "));
        let comma = if more.is_empty() { "" } else { ", " };
        let sql = format!(
            "INSERT INTO walpost_webhook_endpoint ({}) VALUES ('{name}', '{url}', true, '{{{SECRET}}}'{comma}{values})",
            columns.join(", ")
        );
        self.stage.commit(&sql).await;
    }

    /// Changes the row of an endpoint.
    pub(crate) async fn update(&self, name: &str, change: &str) {
        self.stage.commit(&format!("UPDATE walpost_webhook_endpoint SET {change} WHERE name = '{name}'")).await;
    }

    /// Waits until every endpoint of these stands at the end of the stream, or the beginning is known.
    pub(crate) async fn until_begun(&self, count: usize) {
        wait::until("the endpoints have begun", async || {
            let listed = self.run(&["webhooks", "list", "--format", "json"]).await;
            listed.matches("\"state\": \"delivering\"").count() == count
        })
        .await;
    }

    /// Records events, each in a transaction of its own: the aggregate of the `n`th is `n % aggregates`.
    pub(crate) async fn record(&self, count: usize, aggregates: usize) {
        let sql = format!(
            "DO $$ BEGIN FOR n IN 1..{count} LOOP
                INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                VALUES (gen_random_uuid(), 'order', (n % {aggregates})::text, 'OrderPlaced', jsonb_build_object('n', n));
                COMMIT;
             END LOOP; END $$"
        );
        self.stage.commit(&sql).await;
    }

    /// The ids of all events that were committed.
    pub(crate) async fn committed(&self) -> std::collections::BTreeSet<String> {
        let rows = self.stage.client.query("SELECT id::text FROM outbox", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The sequences of each aggregate's events, in their order.
    pub(crate) async fn sequences(&self) -> BTreeMap<String, Vec<u64>> {
        let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for stored in self.stage.reader.all().await {
            all.entry(stored.header("Walpost-Aggregate-Id").to_owned()).or_default().push(stored.sequence);
        }
        all
    }

    /// The dead letters of an endpoint.
    pub(crate) async fn dead(&self, endpoint: &str) -> Vec<Letter> {
        let client = async_nats::connect(self.stage.broker.url()).await.unwrap();
        let stream = Box::pin(jetstream::new(client).get_stream("OUTBOX_WEBHOOKS")).await.unwrap();
        let config = pull::Config {
            filter_subject: format!("walpost_webhooks.OUTBOX.dead.{endpoint}.*"),
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let messages = consumer.fetch().max_messages(1000).messages().await.unwrap();
        let letter = |message: jetstream::Message| Letter {
            headers: message.headers.clone().unwrap(),
            body: message.payload.to_vec(),
        };
        messages.map(|message| letter(message.unwrap())).collect().await
    }

    /// How many dead letters an endpoint has.
    pub(crate) async fn count_dead(&self, endpoint: &str) -> u64 {
        let client = async_nats::connect(self.stage.broker.url()).await.unwrap();
        let stream = Box::pin(jetstream::new(client).get_stream("OUTBOX_WEBHOOKS")).await.unwrap();
        let subjects = stream.info_with_subjects(format!("walpost_webhooks.OUTBOX.dead.{endpoint}.*")).await.unwrap();
        subjects.count().await as u64
    }

    /// What `walpost status` tells people, while events are delivered.
    pub(crate) async fn status_text(&self) -> String {
        self.ask_for_status(&["status"]).await
    }

    /// What it tells programs.
    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.ask_for_status(&["status", "--format", "json"]).await).unwrap()
    }

    async fn ask_for_status(&self, arguments: &[&str]) -> String {
        let settings = self.settings().with("POSTGRES_URL", &self.stage.postgres.url());
        let answer = settings.run(arguments).await;
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{}", answer.stdout);
        answer.stdout
    }

    /// Removes what webhooks are kept in.
    pub(crate) async fn forget_state(&self) {
        let client = async_nats::connect(self.stage.broker.url()).await.unwrap();
        jetstream::new(client).delete_stream("OUTBOX_WEBHOOKS").await.unwrap();
    }

    /// How an endpoint stands.
    pub(crate) async fn state(&self, endpoint: &str) -> Value {
        serde_json::from_str(&self.run(&["webhooks", "show", endpoint, "--format", "json"]).await).unwrap()
    }
}

/// A dead letter.
pub(crate) struct Letter {
    headers: HeaderMap,
    /// The event's payload.
    pub(crate) body: Vec<u8>,
}

impl Letter {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().as_str()
    }
}

/// The table of an endpoint.
pub(crate) fn endpoint(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[webhooks.endpoint]]\nname = \"{name}\"\nurl = \"{url}\"\nplain_http = true\nsecrets = [\"{SECRET}\"]\n{more}\n"
    )
}

/// A pause that is no pause.
pub(crate) const AT_ONCE: Duration = Duration::ZERO;
