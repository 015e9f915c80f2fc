//! An application that records events in every way that SQL has, and remembers what it committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{
    chance::Chance,
    samples::{HEADERS, Headers, TYPES, payload},
    stream::Stored,
    world::connect,
};

/// What the application does beside recording events.
pub(crate) const BUSINESS: &str = "
    CREATE TABLE orders (id bigserial PRIMARY KEY, note text NOT NULL);
    CREATE TABLE stock (item int PRIMARY KEY, count int NOT NULL);
    INSERT INTO stock SELECT item, 0 FROM generate_series(0, 9) item;";

/// A committed event as it must be in the stream.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    subject: String,
    body: Vec<u8>,
    headers: BTreeMap<String, String>,
}

/// One connection of the application.
#[derive(Debug)]
pub(crate) struct Writer {
    client: Client,
    chance: Chance,
    committed: BTreeMap<String, Expected>,
}

/// An event to record.
struct Event {
    id: Uuid,
    aggregate: (&'static str, &'static str),
    kind: (&'static str, &'static str),
    payload: Option<String>,
    headers: Headers,
}

impl Writer {
    /// A connection that makes its choices from this seed.
    pub(crate) async fn connect(url: &str, seed: u64) -> Self {
        Self { client: connect(url).await, chance: Chance::new(seed), committed: BTreeMap::new() }
    }

    /// Executes this many transactions, some of which are rolled back; gives what the others recorded.
    pub(crate) async fn write(mut self, transactions: usize) -> BTreeMap<String, Expected> {
        for _ in 0..transactions {
            self.execute("BEGIN").await;
            let recorded = self.transaction().await;
            if self.chance.percent(10) {
                self.execute("ROLLBACK").await;
            } else {
                self.execute("COMMIT").await;
                self.committed.extend(recorded);
            }
            if self.chance.percent(15) {
                self.keep_house().await;
            }
        }
        self.committed
    }

    /// Something happens, and is told: one to five events.
    async fn transaction(&mut self) -> Vec<(String, Expected)> {
        let item = self.chance.below(10);
        self.execute(&format!(
            "INSERT INTO orders (note) VALUES ('order'); UPDATE stock SET count = count + 1 WHERE item = {item}"
        ))
        .await;
        let events = self.events();
        match self.chance.below(4) {
            0 => {
                for event in &events {
                    self.insert(std::slice::from_ref(event)).await;
                    self.execute("INSERT INTO orders (note) VALUES ('between')").await;
                }
            }
            1 => self.insert(&events).await,
            2 => self.copy(&events).await,
            _ => {
                // What happens after the savepoint never happened, but its rows have used up room in the log.
                let (kept, dropped) = (self.events(), self.events());
                self.insert(&events).await;
                self.execute("SAVEPOINT a").await;
                self.insert(&dropped).await;
                self.execute("SAVEPOINT b; RELEASE b; ROLLBACK TO a").await;
                self.insert(&kept).await;
                return [self.recorded(&events).await, self.recorded(&kept).await].concat();
            }
        }
        self.recorded(&events).await
    }

    /// Rows that were delivered, or may yet be, are changed and removed: an event is what was inserted.
    async fn keep_house(&mut self) {
        let Some(id) = self.committed.keys().next() else { return };
        let sql = match self.chance.below(2) {
            0 => format!("UPDATE outbox SET payload = '\"changed\"', headers = '{{}}' WHERE id = '{id}'"),
            _ => format!("DELETE FROM outbox WHERE id = '{id}'"),
        };
        self.execute(&sql).await;
    }

    fn events(&mut self) -> Vec<Event> {
        let chance = &mut self.chance;
        let count = 1 + chance.below(5);
        let event = |_| Event {
            id: Uuid::new_v4(),
            aggregate: *chance.one_of(&TYPES),
            kind: *chance.one_of(&TYPES),
            payload: payload(chance),
            headers: *chance.one_of(&HEADERS),
        };
        (0..count).map(event).collect()
    }

    /// One statement with a row for each event.
    async fn insert(&self, events: &[Event]) {
        let row = |event: &Event| {
            let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let payload = event.payload.as_deref().map_or("NULL".to_owned(), text);
            let (aggregate, kind, headers) = (text(event.aggregate.0), text(event.kind.0), text(event.headers.0));
            format!("('{}', {aggregate}, '{}', {kind}, {payload}, {headers})", event.id, event.key())
        };
        let rows: Vec<String> = events.iter().map(row).collect();
        self.execute(&format!("INSERT INTO outbox ({COLUMNS}) VALUES {}", rows.join(", "))).await;
    }

    /// The same by `COPY`, whose rows share one place in the log.
    async fn copy(&self, events: &[Event]) {
        let sink = self.client.copy_in(&format!("COPY outbox ({COLUMNS}) FROM STDIN")).await.unwrap();
        let mut sink = Box::pin(sink);
        for event in events {
            let text = |text: &str| text.replace('\\', "\\\\");
            let payload = event.payload.as_deref().map_or("\\N".to_owned(), text);
            let values = [event.aggregate.0, &event.key(), event.kind.0, &payload, &text(event.headers.0)].join("\t");
            sink.send(Bytes::from(format!("{}\t{values}\n", event.id))).await.unwrap();
        }
        assert_eq!(sink.as_mut().finish().await.unwrap(), u64::try_from(events.len()).unwrap());
    }

    /// What the server now shows of rows that were just inserted.
    async fn recorded(&self, events: &[Event]) -> Vec<(String, Expected)> {
        let sql = "SELECT payload::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                   FROM outbox WHERE id = $1::text::uuid";
        let mut recorded = Vec::new();
        for event in events {
            let row = self.client.query_one(sql, &[&event.id.to_string()]).await.unwrap();
            let (payload, created_at): (Option<String>, String) = (row.get(0), row.get(1));
            recorded.push((event.id.to_string(), event.expected(payload.unwrap_or_default(), created_at)));
        }
        recorded
    }

    async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{error:?}: {sql:.200}"));
    }
}

impl Event {
    fn key(&self) -> String {
        format!("key {}", self.id.as_fields().0 % 7)
    }

    fn expected(&self, payload: String, created_at: String) -> Expected {
        let own = [
            ("Walpost-Aggregate-Type", self.aggregate.0.to_owned()),
            ("Walpost-Aggregate-Id", self.key()),
            ("Walpost-Event-Type", self.kind.0.to_owned()),
            ("Walpost-Created-At", created_at),
        ];
        let more = self.headers.1.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Expected {
            subject: format!("outbox.{}.{}", self.aggregate.1, self.kind.1),
            body: payload.into_bytes(),
            headers: own.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }
}

/// Holds every message against its row: subject, body, and all headers, no more and no less.
pub(crate) fn assert_contents(expected: &BTreeMap<String, Expected>, stored: &[Stored], stream: &str) {
    for (at, message) in stored.iter().enumerate() {
        let id = message.header("Nats-Msg-Id");
        let row = expected.get(id).unwrap_or_else(|| panic!("nobody committed {id}"));
        assert_eq!(message.subject, row.subject, "{id}");
        assert_eq!(String::from_utf8_lossy(&message.body), String::from_utf8_lossy(&row.body), "{id}");
        assert_eq!(message.body, row.body, "{id}");
        let mut headers = row.headers.clone();
        let previous = (message.sequence - 1).to_string();
        for (name, value) in [
            ("Nats-Msg-Id", id),
            ("Nats-Expected-Stream", stream),
            ("Nats-Expected-Last-Sequence", &previous),
            // Its value is held against the log by the witness.
            ("Walpost-Position", message.header("Walpost-Position")),
        ] {
            headers.insert(name.to_owned(), value.to_owned());
        }
        // Said while the message before it had no answer.
        if let Some(before) = message.headers.get("Nats-Expected-Last-Msg-Id") {
            assert_eq!(before, stored[at.checked_sub(1).unwrap()].header("Nats-Msg-Id"), "{id}");
            headers.insert("Nats-Expected-Last-Msg-Id".to_owned(), before.clone());
        }
        assert_eq!(message.headers, headers, "{id}");
    }
}

/// The columns that an application gives values to.
const COLUMNS: &str = "id, aggregate_type, aggregate_id, event_type, payload, headers";
