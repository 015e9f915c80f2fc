//! Tables that are not setup's own: other names, types, orders of columns, and changes while events flow.

use tokio_postgres::Client;
use walpost::sandbox::servers::{PrivateNats, PrivatePostgres};

use crate::{
    daemon::{Daemon, Settings},
    stream::{Reader, Stored},
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, database, nats, shared_postgres},
};

/// A database with a table of its own making, published and delivered.
struct World {
    name: String,
    client: Client,
    witness: Witness,
    reader: Reader,
    daemon: Daemon,
    _broker: PrivateNats,
}

impl World {
    /// Makes a database of this name, executes `sql` in it, sets up and delivers.
    async fn begin(server: &PrivatePostgres, name: &str, sql: &str, variables: &[(&str, &str)]) -> Self {
        database(server, name).await;
        Self::within(server, (name, name), sql, variables).await
    }

    /// The same in a database that there is, with a slot of this name.
    async fn within(
        server: &PrivatePostgres,
        (database, name): (&str, &str),
        sql: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let (url, broker) = (server.url_for("postgres", database), nats().await);
        let client = connect(&url).await;
        client.batch_execute(sql).await.unwrap();
        let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
        let settings = variables.iter().fold(settings, |settings, (name, value)| settings.with(name, value));
        let said = settings.set_up().await;
        assert!(said.contains("exists   table"), "{said}");
        let witness = Witness::begin(&client, name).await;
        let daemon = settings.lead().await;
        let reader = Reader::connect(&broker.url(), "OUTBOX").await;
        Self { name: name.to_owned(), client, witness, reader, daemon, _broker: broker }
    }

    async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Waits until everything that was committed is stored, and gives it. The table's first column must be the id.
    async fn delivered(&self) -> Vec<Stored> {
        let seen = self.witness.all(&self.client).await;
        wait::until("all events are stored", async || self.reader.last_sequence().await >= seen.len() as u64).await;
        let stored = self.reader.all().await;
        assert_same(&seen, &stored, &log_of(&self.client, &self.name).await);
        stored
    }

    /// Ends in good order.
    async fn end(self) {
        assert_eq!(self.daemon.terminate().await, 0);
    }
}

/// Message id and body of each message.
fn bodies(stored: &[Stored]) -> Vec<(&str, &str)> {
    stored.iter().map(|stored| (stored.header("Nats-Msg-Id"), str::from_utf8(&stored.body).unwrap())).collect()
}

#[tokio::test]
async fn a_payload_of_any_type_arrives_as_it_was_written() {
    let json = r#"{ "b" :1,  "a":[1.0 , 1e2], "b": 2, "z\u00e9": "é" }"#;
    for server in shared_postgres().await {
        for (kind, value, expected) in [
            ("json", json, json.as_bytes().to_vec()),
            ("text", "no JSON: 'ż' \\x41 \"", "no JSON: 'ż' \\x41 \"".as_bytes().to_vec()),
            ("bytea", "\\x00ff0d0a5c780041", vec![0x00, 0xFF, 0x0D, 0x0A, 0x5C, 0x78, 0x00, 0x41]),
            ("jsonb", r#"{"b":1,"a":"é"}"#, r#"{"a": "é", "b": 1}"#.as_bytes().to_vec()),
            ("varchar", "", Vec::new()),
        ] {
            let table = format!(
                "CREATE TABLE outbox (id text PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text,
                                      payload {kind})"
            );
            let world = World::begin(server, &format!("tables_{kind}"), &table, &[]).await;
            let insert = "INSERT INTO outbox VALUES ($1, 'order', '1', 'placed', $2::text::".to_owned() + kind + ")";
            world.client.execute(&insert, &[&"one", &value]).await.unwrap();
            world.client.execute(&insert, &[&"two", &None::<&str>]).await.unwrap();
            let stored = world.delivered().await;
            let bodies: Vec<&[u8]> = stored.iter().map(|stored| stored.body.as_slice()).collect();
            assert_eq!(bodies, [&expected[..], b""], "{kind}");
            world.end().await;
        }
    }
}

#[tokio::test]
async fn the_debezium_layout_is_read_by_its_preset() {
    for server in shared_postgres().await {
        let table = "CREATE TABLE outboxevent (id uuid PRIMARY KEY, aggregatetype varchar(255) NOT NULL,
                         aggregateid varchar(255) NOT NULL, type varchar(255) NOT NULL, payload jsonb);
                     CREATE PUBLICATION walpost FOR TABLE outboxevent";
        let variables = [("OUTBOX_PRESET", "debezium"), ("OUTBOX_TABLE", "outboxevent")];
        let world = World::begin(server, "tables_debezium", table, &variables).await;
        // Written and removed in one transaction, as that layout's users do.
        world
            .execute(
                "BEGIN; INSERT INTO outboxevent VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'Order', '17',
                 'OrderCreated', '{\"id\": 1}'); DELETE FROM outboxevent; COMMIT",
            )
            .await;
        let stored = world.delivered().await;
        assert_eq!(bodies(&stored), [("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{\"id\": 1}")]);
        assert_eq!(stored[0].subject, "outbox.Order.OrderCreated");
        assert_eq!(stored[0].header("Walpost-Aggregate-Id"), "17");
        assert!(!stored[0].headers.contains_key("Walpost-Created-At"));
        world.end().await;
    }
}

#[tokio::test]
async fn columns_of_any_name_order_and_type_are_mapped() {
    let table = r#"
        CREATE SCHEMA "Shop";
        CREATE TYPE kind AS ENUM ('placed', 'shipped out');
        CREATE DOMAIN document AS jsonb CHECK (VALUE IS NOT NULL);
        CREATE DOMAIN body AS document;
        CREATE TABLE "Shop"."Event Log" (
            number bigint PRIMARY KEY, extra int[] DEFAULT '{1, 2}', "the Body" body, gone text, what kind, at timestamp,
            "order" uuid, meta text, table_name char(10), computed bigint GENERATED ALWAYS AS (number * 2) STORED);
        ALTER TABLE "Shop"."Event Log" DROP gone;
        CREATE PUBLICATION walpost FOR TABLE "Shop"."Event Log" WITH (publish = 'insert')"#;
    let variables = [
        ("OUTBOX_TABLE", "\"Shop\".\"Event Log\""),
        ("OUTBOX_COLUMNS_ID", "number"),
        ("OUTBOX_COLUMNS_AGGREGATE_TYPE", "table_name"),
        ("OUTBOX_COLUMNS_AGGREGATE_ID", "order"),
        ("OUTBOX_COLUMNS_EVENT_TYPE", "what"),
        ("OUTBOX_COLUMNS_PAYLOAD", "the Body"),
        ("OUTBOX_COLUMNS_HEADERS", "meta"),
        ("OUTBOX_COLUMNS_CREATED_AT", "at"),
        ("NATS_SUBJECT", "outbox.v1.{event_type}.{aggregate_id}"),
    ];
    for server in shared_postgres().await {
        let world = World::begin(server, "tables_mapped", table, &variables).await;
        world
            .execute(
                r#"INSERT INTO "Shop"."Event Log" (number, "the Body", what, at, "order", meta, table_name) VALUES
                   (-9000000000, '{"a":1}', 'shipped out', '2026-01-31 12:34:56.5', 'A0EEBC999C0B4EF8BB6D6BB9BD380A11',
                    '{"x": "y"}', 'orders'), (7, '[]', 'placed', 'infinity', gen_random_uuid(), NULL, 'orders')"#,
            )
            .await;
        let stored = world.delivered().await;
        assert_eq!(bodies(&stored), [("-9000000000", "{\"a\": 1}"), ("7", "[]")]);
        assert_eq!(stored[0].subject, "outbox.v1.shipped%20out.a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        for (name, value) in [
            ("Walpost-Aggregate-Type", "orders"),
            ("Walpost-Aggregate-Id", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ("Walpost-Event-Type", "shipped out"),
            ("Walpost-Created-At", "2026-01-31T12:34:56.500000Z"),
            ("x", "y"),
        ] {
            assert_eq!(stored[0].header(name), value);
        }
        // A moment that no calendar has, and no headers.
        assert_eq!(stored[1].headers.len(), 7, "{:?}", stored[1].headers);
        assert!(!stored[1].headers.contains_key("Walpost-Created-At"));
        world.end().await;
    }
}

#[tokio::test]
async fn a_table_may_change_while_events_flow() {
    let table = "CREATE TABLE outbox (id text PRIMARY KEY, note text, aggregate_type text, aggregate_id text,
                     event_type text, payload jsonb, headers jsonb)";
    let changes = [
        "ALTER TABLE outbox ADD COLUMN later int NOT NULL DEFAULT 5",
        "ALTER TABLE outbox RENAME COLUMN note TO remark",
        "ALTER TABLE outbox DROP COLUMN remark",
        "ALTER TABLE outbox ALTER COLUMN later TYPE text",
        "ALTER TABLE outbox ALTER COLUMN payload TYPE json USING payload::json",
        "ALTER TABLE outbox ALTER COLUMN aggregate_id TYPE bigint USING aggregate_id::bigint",
        "ALTER TABLE outbox ADD COLUMN created_at timestamptz DEFAULT '2026-01-31 12:34:56.5+00'",
        "ALTER TABLE outbox DROP COLUMN headers",
        "VACUUM FULL outbox",
        "TRUNCATE outbox",
    ];
    for server in shared_postgres().await {
        let world = World::begin(server, "tables_altered", table, &[]).await;
        let (mut expected, mut columns) = (0, "headers, event_type");
        let mut event = |columns: &str| {
            expected += 1;
            let headers = if columns.starts_with("headers") { "'{\"x\": 1}', " } else { "" };
            let n = expected;
            format!(
                "INSERT INTO outbox (id, aggregate_type, aggregate_id, payload, {columns})
                 VALUES ('event {n}', 'order', '{n}', '{{\"n\": {n}}}', {headers}'placed');"
            )
        };
        for change in changes {
            world.execute(&event(columns)).await;
            if change.starts_with("VACUUM") {
                world.execute(change).await;
                continue;
            }
            // In a transaction with events on both sides, and then another that never happened.
            let before = event(columns);
            columns = if change.contains("headers") { "event_type" } else { columns };
            world.execute(&format!("BEGIN; {before} {change}; {} COMMIT", event(columns))).await;
            world.execute("BEGIN; ALTER TABLE outbox ADD COLUMN never int; ROLLBACK").await;
        }
        world.execute(&event(columns)).await;
        let stored = world.delivered().await;
        let numbers: Vec<String> = (1..=expected).map(|n| format!("event {n}")).collect();
        assert_eq!(stored.iter().map(|stored| stored.header("Nats-Msg-Id")).collect::<Vec<_>>(), numbers);
        for (stored, n) in stored.iter().zip(1..) {
            assert_eq!(str::from_utf8(&stored.body).unwrap(), format!("{{\"n\": {n}}}"));
            assert_eq!(stored.header("Walpost-Aggregate-Id"), n.to_string());
        }
        assert_eq!(stored.last().unwrap().header("Walpost-Created-At"), "2026-01-31T12:34:56.500000Z");
        world.end().await;
    }
}

#[tokio::test]
async fn only_rows_of_the_table_of_that_name_are_events() {
    let table = "CREATE TABLE outbox (id text PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text,
                                      payload jsonb)";
    let event = |table: &str, id: &str| format!("INSERT INTO {table} VALUES ('{id}', 'order', '1', 'placed', '{{}}');");
    for server in shared_postgres().await {
        let world = World::begin(server, "tables_swapped", table, &[]).await;
        for sql in [
            event("outbox", "a"),
            // The old table is put away, and for a moment there is no table of that name.
            "ALTER TABLE outbox RENAME TO outbox_old".to_owned(),
            event("outbox_old", "put away"),
            "CREATE TABLE outbox (LIKE outbox_old); ALTER PUBLICATION walpost ADD TABLE outbox".to_owned(),
            format!("BEGIN; {} {} COMMIT", event("outbox_old", "late"), event("outbox", "b")),
            // And comes back.
            "BEGIN; ALTER TABLE outbox RENAME TO outbox_new; ALTER TABLE outbox_old RENAME TO outbox; COMMIT"
                .to_owned(),
            format!("BEGIN; {} {} COMMIT", event("outbox", "c"), event("outbox_new", "forgotten")),
            // Made from scratch, in one transaction with an event on either side.
            format!(
                "BEGIN; {} DROP TABLE outbox CASCADE; CREATE TABLE outbox (payload json, event_type text, aggregate_id text,
                 aggregate_type text, id text); ALTER PUBLICATION walpost ADD TABLE outbox;
                 INSERT INTO outbox VALUES ('{{}}', 'placed', '1', 'order', 'e'); COMMIT",
                event("outbox", "d")
            ),
        ] {
            world.execute(&sql).await;
        }
        wait::until("five events are stored", async || world.reader.last_sequence().await >= 5).await;
        let stored = world.reader.all().await;
        let ids: Vec<&str> = stored.iter().map(|stored| stored.header("Nats-Msg-Id")).collect();
        assert_eq!(ids, ["a", "b", "c", "d", "e"]);
        assert_eq!(world.daemon.status().await.unwrap()["rows"]["ignored"], 3);
        world.end().await;
    }
}

#[tokio::test]
async fn a_type_that_is_made_while_events_flow_is_looked_up() {
    let table = "CREATE TABLE outbox (id text PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text,
                                      payload jsonb)";
    let event = |id: &str| format!("INSERT INTO outbox VALUES ('{id}', 'order', '1', 'placed', '{{}}')");
    for server in shared_postgres().await {
        let world = World::begin(server, "tables_new_type", table, &[]).await;
        world.execute(&event("a")).await;
        world.delivered().await;
        world.execute("CREATE TYPE kind AS ENUM ('placed')").await;
        world.execute("ALTER TABLE outbox ALTER COLUMN event_type TYPE kind USING event_type::kind").await;
        world.execute(&event("b")).await;
        assert_eq!(bodies(&world.delivered().await), [("a", "{}"), ("b", "{}")]);
        world.end().await;
    }
}

#[tokio::test]
async fn text_of_a_latin1_database_arrives_as_utf_8() {
    let name = "tables_latin1";
    for server in shared_postgres().await {
        let create = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        server.execute_sql(&create).await.unwrap();
        for (kind, value, expected) in
            [("jsonb", r#"{"é": "ß"}"#, r#"{"é": "ß"}"#.as_bytes()), ("text", "© ÿ", "© ÿ".as_bytes())]
        {
            let table = format!(
                "CREATE TABLE outbox (id text PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text,
                                      payload {kind}, headers jsonb)"
            );
            let world = World::within(server, (name, &format!("{name}_{kind}")), &table, &[]).await;
            let insert =
                format!("INSERT INTO outbox VALUES ('1', 'café', 'crème', 'payé', '{value}', '{{\"h\": \"à\"}}')");
            world.execute(&insert).await;
            let kept = "SELECT get_byte(convert_to(aggregate_id, 'LATIN1'), 2) = 232 AND length(event_type::bytea) = 4 FROM outbox";
            assert!(world.client.query_one(kept, &[]).await.unwrap().get::<_, bool>(0), "the server keeps other bytes");
            let stored = world.delivered().await.pop().unwrap();
            assert_eq!((stored.subject.as_str(), &stored.body[..]), ("outbox.caf%C3%A9.pay%C3%A9", expected));
            assert_eq!((stored.header("Walpost-Aggregate-Id"), stored.header("h")), ("crème", "à"));
            world.execute("DROP TABLE outbox, walpost_watermark CASCADE; DROP PUBLICATION walpost").await;
            world.end().await;
        }
    }
}

#[tokio::test]
async fn a_partitioned_table_goes_by_its_own_name() {
    let table = "
        CREATE TABLE outbox (id uuid, aggregate_type text, aggregate_id text, event_type text, payload jsonb)
            PARTITION BY LIST (aggregate_type);
        CREATE TABLE outbox_orders PARTITION OF outbox FOR VALUES IN ('order');
        -- Of another order than its parent.
        CREATE TABLE outbox_rest (payload jsonb, id uuid, extra text, event_type text, aggregate_id text, aggregate_type text);
        ALTER TABLE outbox_rest DROP COLUMN extra;
        ALTER TABLE outbox ATTACH PARTITION outbox_rest DEFAULT";
    for server in shared_postgres().await {
        let world = World::begin(server, "tables_partitioned", table, &[]).await;
        world
            .execute(
                "INSERT INTO outbox SELECT gen_random_uuid(), CASE n % 3 WHEN 0 THEN 'order' ELSE 'else' END, n::text,
                 'placed', to_jsonb(n) FROM generate_series(0, 29) n;
                 CREATE TABLE outbox_new PARTITION OF outbox FOR VALUES IN ('new');
                 INSERT INTO outbox VALUES (gen_random_uuid(), 'new', '30', 'placed', '30');
                 ALTER TABLE outbox DETACH PARTITION outbox_orders;
                 DROP TABLE outbox_orders;
                 INSERT INTO outbox_rest VALUES ('31', gen_random_uuid(), 'placed', '31', 'direct')",
            )
            .await;
        let stored = world.delivered().await;
        let bodies: Vec<&str> = stored.iter().map(|stored| str::from_utf8(&stored.body).unwrap()).collect();
        assert_eq!(bodies, (0..=31).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(stored[3].subject, "outbox.order.placed");
        assert_eq!(stored[31].subject, "outbox.direct.placed");
        world.end().await;
    }
}
