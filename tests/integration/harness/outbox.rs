//! An outbox in a database of its own: table, publication, slot, and what the server says about them.

use tokio_postgres::{Client, NoTls};
use walpost::{
    lsn::Lsn,
    outbox::quote_identifier,
    postgres::Endpoint,
    replication::{Connection, StartOptions},
    sandbox::servers::PrivatePostgres,
};

use super::{LogReader, wait_until};

/// The outbox table as the documentation describes it.
const TABLE: &str = "CREATE TABLE public.outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    event_type text NOT NULL,
    payload jsonb NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
)";

/// A database with an outbox, and a session in it.
pub(crate) struct Outbox {
    /// Where it is, for the superuser.
    pub(crate) url: String,
    /// The slot and the publication.
    pub(crate) start: StartOptions,
    /// A session of the superuser in the database.
    pub(crate) sql: Client,
}

impl Outbox {
    /// Makes a database, a publication `walpost` and a slot; database and slot get the name, which no other test may use.
    pub(crate) async fn create(server: &PrivatePostgres, name: &str) -> Self {
        Self::create_named(server, name, "walpost").await
    }

    /// The same with a publication of another name.
    pub(crate) async fn create_named(server: &PrivatePostgres, name: &str, publication: &str) -> Self {
        let database = quote_identifier(name).unwrap();
        server.execute_sql(&format!("CREATE DATABASE {database}")).await.unwrap();
        let url = server.url_for("postgres", name);
        let sql = session(&url).await;
        let publication_name = quote_identifier(publication).unwrap();
        let make = format!(
            "{TABLE}; CREATE PUBLICATION {publication_name} FOR TABLE public.outbox WITH (publish = 'insert');"
        );
        sql.batch_execute(&make).await.unwrap();
        sql.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&name]).await.unwrap();
        let start = StartOptions { slot: name.to_owned(), publication: publication.to_owned(), start: Lsn::ZERO };
        Self { url, start, sql }
    }

    /// Where the database is.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.url).unwrap()
    }

    /// A connection for replication that does not stream yet.
    pub(crate) async fn connection(&self) -> Connection {
        Connection::open(&self.endpoint()).await.unwrap()
    }

    /// Reads as soon as the slot is free: a server takes a moment to notice that a reader has gone without a goodbye.
    pub(crate) async fn reader_when_free(&self, options: &StartOptions) -> LogReader {
        let free = async || self.sender().await.is_none();
        wait_until("the slot is free", free).await;
        LogReader::start(self.connection().await, options).await.unwrap()
    }

    /// Records one event; the payload is JSON text.
    pub(crate) async fn insert(&self, aggregate_id: &str, payload: &str) {
        let sql = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                   VALUES ('order', $1, 'placed', $2::text::jsonb)";
        self.sql.execute(sql, &[&aggregate_id, &payload]).await.unwrap();
    }

    /// Records `count` events in one transaction; payloads are `{"n": 1}` and so on.
    pub(crate) async fn insert_many(&self, count: i32) {
        let sql = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                   SELECT 'order', n::text, 'placed', jsonb_build_object('n', n) FROM generate_series(1, $1) AS n";
        self.sql.execute(sql, &[&count]).await.unwrap();
    }

    /// What the slot has confirmed.
    pub(crate) async fn confirmed_flush(&self) -> Lsn {
        let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
        lsn(self.sql.query_one(sql, &[&self.start.slot]).await.unwrap().get(0)).unwrap_or_default()
    }

    /// What the process that serves the slot knows of its reader; `None` while nobody reads.
    pub(crate) async fn sender(&self) -> Option<Sender> {
        let sql = "SELECT pid, write_lsn::text, flush_lsn::text, extract(epoch FROM now() - backend_start)::float8
                   FROM pg_stat_replication WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1)";
        let row = self.sql.query_opt(sql, &[&self.start.slot]).await.unwrap()?;
        Some(Sender { pid: row.get(0), write: lsn(row.get(1)), flush: lsn(row.get(2)), age_seconds: row.get(3) })
    }
}

/// A row of `pg_stat_replication`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sender {
    /// The process.
    pub(crate) pid: i32,
    /// What the reader said it received.
    pub(crate) write: Option<Lsn>,
    /// What the reader said it stored.
    pub(crate) flush: Option<Lsn>,
    /// How long the connection has been there.
    pub(crate) age_seconds: f64,
}

fn lsn(text: Option<&str>) -> Option<Lsn> {
    text.map(|text| text.parse().unwrap())
}

/// A plain session, driven by a task that ends with it.
async fn session(url: &str) -> Client {
    let (client, connection) = Box::pin(tokio_postgres::connect(url, NoTls)).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    client
}
