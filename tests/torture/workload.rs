//! An application whose every event can be told right or wrong by itself.
//!
//! A transaction locks its key and counts the key's version up, so the number of an event among those of its key is
//! commit order. The payload is made of the event's id and a size that stands in its headers. So nobody needs to remember
//! what was written: the table tells at the end what was committed, also where the writer never learnt it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::sleep;
use tokio_postgres::{Client, Error};
use uuid::Uuid;
use walpost::publish::event_id;

use crate::{
    chance::Chance,
    judge::{Message, Row},
    load::{BETWEEN_ATTEMPTS, Load, Turn},
    proxy::place,
    stream::Stored,
    world::try_connect,
};

/// Stands in every payload, and so must stand in no log.
pub(crate) const CANARY: &str = "c4nary-of-payloads";
/// The largest message that the broker takes, in bytes.
pub(crate) const MAX_PAYLOAD_BYTES: u64 = 64 * 1024;

/// How many keys the writers share.
const KEYS: u64 = 50;
/// The largest payload that surely fits into a message, in characters.
const LARGE: u64 = 50_000;
/// A payload that surely does not.
const TOO_LARGE: u64 = 70_000;
/// How long a writer rests between transactions: load, and on two processors something left for the others.
const REST: Duration = Duration::from_millis(20);

/// What the application has beside the outbox.
pub(crate) fn schema() -> String {
    format!(
        "CREATE TABLE aggregates (key text PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
         INSERT INTO aggregates (key) SELECT 'key ' || n FROM generate_series(0, {KEYS}) n;
         CREATE FUNCTION body(id uuid, size int) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
             SELECT CASE WHEN size >= 0 THEN jsonb_build_object('id', id, 'pad',
                 left(repeat('{PATTERN}' || id::text, size / 36 + 1), size)) END
         $$;
         CREATE TABLE gone (id uuid, aggregate_id text, headers jsonb, payload jsonb,
                            xid xid8 DEFAULT pg_current_xact_id());
         CREATE INDEX ON gone (xid);
         CREATE FUNCTION note_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO gone VALUES (OLD.id, OLD.aggregate_id, OLD.headers, OLD.payload);
             RETURN OLD;
         END $$;"
    )
}

/// Notes each row that the cleanup deletes, in the transaction that deletes it.
pub(crate) const NOTE_DELETES: &str =
    "CREATE TRIGGER note_delete BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION note_delete()";
/// All events that were committed, also those whose rows are gone.
const COMMITTED: &str = "(SELECT id, aggregate_id, headers, payload FROM outbox
     UNION ALL SELECT id, aggregate_id, headers, payload FROM gone) committed";

/// What payloads are made of, beside the id.
const PATTERN: &str = "żółw🐢 c4nary-of-payloads ";

/// Starts this many writers.
pub(crate) fn start(url: &str, writers: u64, seed: u64) -> Load {
    Load::of(writers, |number, turn| {
        let chance = Chance::new(seed.wrapping_add(number));
        Writer { number, url: url.to_owned(), chance, prepared: 0 }.write(turn)
    })
}

/// One connection of the application, again and again.
struct Writer {
    number: u64,
    url: String,
    chance: Chance,
    /// How many transactions it has prepared.
    prepared: u64,
}

impl Writer {
    async fn write(mut self, turn: Turn) {
        loop {
            let is_settled = match try_connect(&self.url).await {
                Ok(client) => self.session(&client, &turn).await.is_ok(),
                Err(_) => false,
            };
            if is_settled && turn.is_over() {
                break;
            }
            sleep(BETWEEN_ATTEMPTS).await;
        }
    }

    /// Ends what an earlier session left prepared, which holds the lock of its key; then writes until it fails.
    async fn session(&mut self, client: &Client, turn: &Turn) -> Result<(), Error> {
        let left = "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE $1";
        for row in client.query(left, &[&format!("writer {} %", self.number)]).await? {
            client.batch_execute(&format!("COMMIT PREPARED '{}'", row.get::<_, &str>(0))).await?;
        }
        while !turn.is_over() {
            self.transaction(client).await?;
            turn.done();
            sleep(REST).await;
        }
        Ok(())
    }

    async fn transaction(&mut self, client: &Client) -> Result<(), Error> {
        let key = format!("key {}", self.chance.below(KEYS));
        let kind = self.chance.below(100);
        let count = if kind < 1 { 200 + self.chance.below(800) } else { 1 + self.chance.below(5) };
        client.batch_execute("BEGIN").await?;
        // Twice as many numbers as events: what is rolled back to a savepoint uses some up.
        let lock =
            format!("UPDATE aggregates SET version = version + {} WHERE key = '{key}' RETURNING version", 2 * count);
        let version: i64 = client.query_one(&lock, &[]).await?.get(0);
        let first = u64::try_from(version).unwrap() - 2 * count;
        match kind {
            0 => {
                let size = i64::try_from(self.chance.below(2000)).unwrap();
                client.batch_execute(&insert(&key, first, count, size)).await?;
            }
            1..8 => self.copy(client, &key, first, count).await?,
            8..18 => {
                client.batch_execute(&self.inserts(&key, first, count)).await?;
                client.batch_execute("SAVEPOINT a").await?;
                client.batch_execute(&self.inserts(&key, first + count, count / 2)).await?;
                client.batch_execute("SAVEPOINT b; RELEASE b; ROLLBACK TO a").await?;
                client.batch_execute(&self.inserts(&key, first + count + count / 2, count - count / 2)).await?;
            }
            _ => client.batch_execute(&self.inserts(&key, first, count)).await?,
        }
        self.end(client).await
    }

    async fn end(&mut self, client: &Client) -> Result<(), Error> {
        let end = match self.chance.below(100) {
            0..10 => "ROLLBACK".to_owned(),
            10..13 => {
                let id = format!("writer {} {}", self.number, self.prepared);
                self.prepared += 1;
                client.batch_execute(&format!("PREPARE TRANSACTION '{id}'")).await?;
                sleep(Duration::from_millis(self.chance.below(20))).await;
                let verb = if self.chance.percent(20) { "ROLLBACK" } else { "COMMIT" };
                format!("{verb} PREPARED '{id}'")
            }
            _ => "COMMIT".to_owned(),
        };
        client.batch_execute(&end).await
    }

    /// A statement for each event.
    fn inserts(&mut self, key: &str, first: u64, count: u64) -> String {
        (0..count).map(|n| insert(key, first + n, 1, self.size())).collect::<Vec<_>>().join(";")
    }

    async fn copy(&mut self, client: &Client, key: &str, first: u64, count: u64) -> Result<(), Error> {
        let columns = "id, aggregate_type, aggregate_id, event_type, payload, headers";
        let sink = client.copy_in(&format!("COPY outbox ({columns}) FROM STDIN")).await?;
        let mut sink = std::pin::pin!(sink);
        for number in 1..=count {
            let (id, size) = (Uuid::new_v4(), self.size());
            let payload = body(id, size).unwrap_or_else(|| "\\N".to_owned());
            let headers = format!(r#"{{"number": {}, "size": {size}}}"#, first + number);
            let line = format!("{id}\torder\t{key}\tplaced\t{payload}\t{headers}\n");
            sink.send(Bytes::from(line)).await?;
        }
        sink.finish().await.map(|_| ())
    }

    /// Mostly small, now and then large, sometimes none (-1), rarely more than a message can carry.
    fn size(&mut self) -> i64 {
        let bits = self.chance.below(17);
        let size = match self.chance.below(200) {
            0 => TOO_LARGE,
            1..6 => return -1,
            _ => self.chance.below(1 << bits).min(LARGE),
        };
        i64::try_from(size).unwrap()
    }
}

/// Events of a key with the numbers after `first`.
pub(crate) fn insert(key: &str, first: u64, count: u64, size: i64) -> String {
    format!(
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
         SELECT id, 'order', '{key}', 'placed', body(id, {size}), jsonb_build_object('number', {first} + n, 'size', {size})
         FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, {count}) n OFFSET 0) event"
    )
}

/// A transaction of a key of its own that is open for so long.
pub(crate) async fn long_transaction(url: &str, open: Duration) -> Result<(), Error> {
    let client = try_connect(url).await?;
    let key = format!("key {KEYS}");
    let lock = format!("UPDATE aggregates SET version = version + 3 WHERE key = '{key}' RETURNING version");
    client.batch_execute("BEGIN").await?;
    let version: i64 = client.query_one(&lock, &[]).await?.get(0);
    client.batch_execute(&insert(&key, u64::try_from(version).unwrap() - 3, 3, 10)).await?;
    sleep(open).await;
    client.batch_execute("COMMIT").await
}

/// The text of a payload, as Postgres prints it.
fn body(id: Uuid, size: i64) -> Option<String> {
    let size = usize::try_from(size).ok()?;
    let pad: String = format!("{PATTERN}{id}").chars().cycle().take(size).collect();
    Some(format!(r#"{{"id": "{id}", "pad": "{pad}"}}"#))
}

/// The table: what was committed.
#[derive(Debug)]
pub(crate) struct Truth {
    /// The rows.
    pub(crate) rows: BTreeMap<Uuid, Row>,
    /// The sizes of their payloads.
    sizes: BTreeMap<Uuid, i64>,
}

impl Truth {
    /// Reads the table.
    pub(crate) async fn read(client: &Client) -> Self {
        let wrong = format!(
            "SELECT count(*) FROM {COMMITTED} WHERE payload IS DISTINCT FROM body(id, (headers->>'size')::int)"
        );
        assert_eq!(
            client.query_one(&wrong, &[]).await.unwrap().get::<_, i64>(0),
            0,
            "the table is not what was written"
        );
        let sql = format!(
            "SELECT id::text, aggregate_id, (headers->>'number')::bigint, (headers->>'size')::bigint FROM {COMMITTED}"
        );
        let (mut rows, mut sizes) = (BTreeMap::new(), BTreeMap::new());
        for row in client.query(&sql, &[]).await.unwrap() {
            let (id, size) = (Uuid::parse_str(row.get(0)).unwrap(), row.get::<_, i64>(3));
            let is_too_large = size >= i64::try_from(TOO_LARGE).unwrap();
            rows.insert(id, Row { key: row.get(1), number: row.get(2), is_too_large });
            sizes.insert(id, size);
        }
        Self { rows, sizes }
    }

    /// A stored message, held against its row.
    pub(crate) fn compare(&self, stored: &Stored) -> Message {
        let id = Uuid::parse_str(event_id(stored.header("Nats-Msg-Id"))).unwrap();
        let is_dead_letter = stored.headers.contains_key("Walpost-Dead-Letter");
        let is_intact = self.rows.get(&id).is_some_and(|row| {
            let has = |name: &str, value: &str| stored.headers.get(name).is_some_and(|found| found == value);
            let previous = (stored.sequence - 1).to_string();
            let common = has("Walpost-Aggregate-Id", &row.key) && has("Nats-Expected-Last-Sequence", &previous);
            let size = self.sizes[&id];
            if is_dead_letter {
                let named = String::from_utf8_lossy(&stored.body).contains(&id.to_string());
                return common && named && stored.subject == "outbox_dlq.order";
            }
            let headers = has("number", &row.number.to_string()) && has("size", &size.to_string());
            common
                && headers
                && stored.subject == "outbox.order.placed"
                && stored.body == body(id, size).unwrap_or_default().into_bytes()
        });
        let position = place(stored.header("Walpost-Position"));
        let displaced = stored.headers.get("Walpost-Displaced").map(|own| place(own));
        let behind = displaced.map(|_| position);
        let place = displaced.unwrap_or(position);
        Message { sequence: stored.sequence, id, place, behind, is_dead_letter, is_intact }
    }
}
