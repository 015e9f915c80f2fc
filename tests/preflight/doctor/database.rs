//! Faults in a database, on every installed version.

use tokio::sync::OnceCell;
use walpost::{
    doctor::Verdict::{Critical, Unknown, Warning},
    postgres::Endpoint,
    replication::{Connection, StartOptions},
    sandbox::servers::PrivatePostgres,
    survey::Survey,
};

use super::patient::{Fault, Patient};
use crate::{
    wait,
    world::{nats, servers_with},
};

/// Servers on which doctor finds nothing.
static SERVERS: OnceCell<Vec<PrivatePostgres>> = OnceCell::const_new();

/// One of each version.
pub(super) async fn healthy_servers() -> &'static [PrivatePostgres] {
    let settings = [("max_slot_wal_keep_size", "4GB"), ("max_replication_slots", "100"), ("max_wal_senders", "50")];
    SERVERS.get_or_init(async || servers_with(&settings).await).await
}

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    // The role.
    Fault { plant: &["sql ALTER ROLE {name} NOREPLICATION"], check: "postgres.role", verdict: Critical,
            found: "role \"{name}\" may not use replication", remedy: "run `ALTER ROLE \"{name}\" REPLICATION;`", mend: &[] },
    Fault { plant: &["sql ALTER ROLE {name} VALID UNTIL '2020-01-01'"], check: "postgres.password", verdict: Critical,
            found: "the password of role {name} has expired", remedy: "`ALTER ROLE \"{name}\" VALID UNTIL 'infinity';`", mend: &[] },
    Fault { plant: &["sql DO $$ BEGIN EXECUTE format('ALTER ROLE {name} VALID UNTIL %L', now() + interval '3 days'); END $$"],
            check: "postgres.password", verdict: Warning, found: "expires in 2 d 23 h", remedy: "VALID UNTIL", mend: &[] },
    Fault { plant: &["sql ALTER ROLE {name} SET wal_sender_timeout = 0"], check: "slot.sender_timeout", verdict: Warning,
            found: "never (wal_sender_timeout = 0)", remedy: "`ALTER ROLE \"{name}\" SET wal_sender_timeout = '60s';`", mend: &[] },
    // The table.
    Fault { plant: &["sql DROP TABLE outbox CASCADE"], check: "table", verdict: Critical,
            found: "table public.outbox does not exist", remedy: "run `walpost setup`", mend: &[] },
    Fault { plant: &["sql DROP TABLE outbox CASCADE; CREATE VIEW outbox AS SELECT 1 AS id"], check: "table", verdict: Critical,
            found: "public.outbox is a view", remedy: "name an ordinary or partitioned table", mend: &["sql DROP VIEW outbox"] },
    Fault { plant: &["sql ALTER PUBLICATION walpost DROP TABLE outbox; ALTER TABLE outbox SET UNLOGGED"], check: "table",
            verdict: Critical, found: "is unlogged", remedy: "run `ALTER TABLE public.outbox SET LOGGED;`", mend: &[] },
    Fault { plant: &["sql ALTER TABLE outbox RENAME event_type TO kind"], check: "table", verdict: Critical,
            found: "column \"event_type\" (event_type) is missing", remedy: "[outbox.columns]",
            mend: &["sql ALTER TABLE outbox RENAME kind TO event_type"] },
    Fault { plant: &["sql ALTER TABLE outbox ALTER payload TYPE int USING 1"], check: "table", verdict: Critical,
            found: "column \"payload\" (payload) is integer", remedy: "[outbox.columns]",
            mend: &["sql ALTER TABLE outbox ALTER payload TYPE jsonb USING '{}'"] },
    Fault { plant: &["sql ALTER TABLE outbox DROP payload; ALTER TABLE outbox ADD payload text GENERATED ALWAYS AS (event_type) STORED",
                     // From version 18 on a publication may send it.
                     "sql ALTER PUBLICATION walpost SET (publish = 'insert')"],
            check: "table", verdict: Critical, found: "column \"payload\" of table public.outbox is generated",
            remedy: "map an ordinary column",
            mend: &["sql ALTER TABLE outbox DROP payload; ALTER TABLE outbox ADD payload jsonb"] },
    Fault { plant: &["set OUTBOX_TABLE=nowhere.outbox"], check: "table", verdict: Critical,
            found: "the schema of table nowhere.outbox does not exist", remedy: "run `CREATE SCHEMA \"nowhere\";`",
            mend: &["unset OUTBOX_TABLE"] },
    // The watermark.
    Fault { plant: &["sql DROP TABLE walpost_watermark CASCADE"], check: "watermark", verdict: Critical,
            found: "table public.walpost_watermark does not exist", remedy: "run `walpost setup`", mend: &[] },
    Fault { plant: &["sql REVOKE UPDATE ON walpost_watermark FROM {name}"], check: "watermark", verdict: Critical,
            found: "role \"{name}\" may not read and write", remedy: "GRANT SELECT, INSERT, UPDATE ON", mend: &[] },
    Fault { plant: &["sql REVOKE USAGE ON SCHEMA public FROM public, {name}"], check: "watermark", verdict: Critical,
            found: "role \"{name}\" may not read and write", remedy: "run `GRANT USAGE ON SCHEMA", mend: &[] },
    Fault { plant: &["set RETENTION_DELETE_AFTER=7d", "sql DROP INDEX outbox_xid_idx"], check: "retention", verdict: Critical,
            found: "table public.outbox has no index on xid", remedy: "run `CREATE INDEX CONCURRENTLY ON public.outbox (xid);`", mend: &[] },
    // The delivery status.
    Fault { plant: &["sql DROP VIEW walpost_lag, walpost_event_status"], check: "status", verdict: Warning,
            found: "the delivery status is not kept", remedy: "run `walpost setup`", mend: &[] },
    Fault { plant: &["sql REVOKE INSERT ON walpost_dead_letter FROM {name}"], check: "status", verdict: Warning,
            found: "role {name} may not keep dead letters",
            remedy: "run `GRANT SELECT, INSERT, DELETE ON public.walpost_dead_letter TO \"{name}\";`", mend: &[] },
    Fault { plant: &["sql REVOKE SELECT ON walpost_lag FROM {name}"], check: "outbox.pending", verdict: Unknown,
            found: "permission denied", remedy: "run `GRANT SELECT ON public.walpost_lag TO \"{name}\";`", mend: &[] },
    Fault { plant: &["sql INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, stream, stream_created,
                      delivered, delivered_at) SELECT '{name}', system_identifier::text, 1, '0/1', 'FFFFFFFF/0', 'S', 1,
                      pg_current_snapshot(), now() FROM pg_control_system()",
                     "sql INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, created_at)
                      VALUES (gen_random_uuid(), 'a', 'a', 'a', now() - interval '1 hour')"],
            check: "outbox.pending", verdict: Critical, found: "1 pending, the oldest for 1 h 0 min", remedy: "catching up",
            mend: &["sql DELETE FROM outbox; DELETE FROM walpost_watermark"] },
    Fault { plant: &["sql INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, stream, stream_created)
                      SELECT '{name}', system_identifier::text, 1, '0/1', 'FFFFFFFF/0', 'S', 1 FROM pg_control_system()",
                     "sql INSERT INTO walpost_dead_letter (slot, position, reason, detail) VALUES ('{name}', 'p', 'r', 'd')"],
            check: "stream.dead_letters", verdict: Warning, found: "1 dead letter that nobody has decided about",
            remedy: "`walpost dlq retry <event id>` or `walpost dlq discard <event id>`",
            mend: &["sql SELECT walpost_discard('p')", "sql DELETE FROM walpost_watermark"] },
    // The publication.
    Fault { plant: &["sql DROP PUBLICATION walpost"], check: "publication", verdict: Critical,
            found: "publication \"walpost\" does not exist", remedy: "run `walpost setup`", mend: &[] },
    Fault { plant: &["sql ALTER PUBLICATION walpost SET (publish = 'update')"], check: "publication.inserts", verdict: Critical,
            found: "does not publish inserts", remedy: "SET (publish = 'insert');`", mend: &[] },
    Fault { plant: &["sql ALTER PUBLICATION walpost DROP TABLE outbox"], check: "publication.table", verdict: Critical,
            found: "does not contain table public.outbox", remedy: "ADD TABLE public.outbox;`", mend: &[] },
    Fault { plant: &["sql CREATE TABLE parted (LIKE outbox INCLUDING DEFAULTS) PARTITION BY LIST (event_type)",
                     "sql ALTER PUBLICATION walpost ADD TABLE parted",
                     "sql ALTER PUBLICATION walpost SET (publish_via_partition_root = false)", "set OUTBOX_TABLE=public.parted"],
            check: "publication.table", verdict: Critical, found: "under the names of its partitions",
            remedy: "SET (publish_via_partition_root = true);`", mend: &[] },
    // Back to the ordinary table: nothing is wrong there any more.
    Fault { plant: &["unset OUTBOX_TABLE", "sql ALTER ROLE {name} SET wal_sender_timeout = '10min'"], check: "slot.sender_timeout",
            verdict: Warning, found: "only after 10 min", remedy: "SET wal_sender_timeout = '60s';`", mend: &[] },
    // The slot.
    Fault { plant: &["sql SELECT pg_drop_replication_slot('{name}')"], check: "slot", verdict: Critical,
            found: "replication slot \"{name}\" does not exist", remedy: "run `walpost setup`", mend: &[] },
    Fault { plant: &["sql SELECT pg_drop_replication_slot('{name}')",
                     "sql SELECT pg_create_logical_replication_slot('{name}', 'test_decoding')"],
            check: "slot", verdict: Critical, found: "uses plugin test_decoding", remedy: "a slot of its own",
            mend: &["sql SELECT pg_drop_replication_slot('{name}')"] },
    Fault { plant: &["sql SELECT pg_drop_replication_slot('{name}')", "sql SELECT pg_create_physical_replication_slot('{name}')"],
            check: "slot", verdict: Critical, found: "is physical", remedy: "choose another name as postgres.slot",
            mend: &["sql SELECT pg_drop_replication_slot('{name}')"] },
    Fault { plant: &["sql SELECT pg_drop_replication_slot('{name}')",
                     "sql SELECT pg_create_logical_replication_slot('{name}', 'pgoutput', true)"],
            check: "slot", verdict: Critical, found: "is temporary", remedy: "a slot of its own",
            mend: &["sql SELECT pg_drop_replication_slot('{name}')"] },
    Fault { plant: &["sql SELECT pg_drop_replication_slot('{name}')",
                     "sql SELECT pg_create_logical_replication_slot('{name}', 'pgoutput', false, true)"],
            check: "slot", verdict: Critical, found: "was created with two_phase",
            remedy: "run `SELECT pg_drop_replication_slot('{name}');`, then `walpost setup --existing-rows missing`", mend: &[] },
    Fault { plant: &["sql INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, event_lsn, event_index, event_sequence, stream, stream_created) VALUES ('{name}', '7', 1, '0/1', '0/1', NULL, NULL, NULL, 'S', 1)",
                     "sql SELECT pg_drop_replication_slot('{name}')"],
            check: "slot", verdict: Critical, found: "is gone: walpost had confirmed up to 0/1",
            remedy: "run `walpost setup --existing-rows missing`", mend: &[] },
    Fault { plant: &["sql INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, event_lsn, event_index, event_sequence, stream, stream_created) VALUES ('{name}', '7', 1, '0/1', '0/1', NULL, NULL, NULL, 'S', 1)"],
            check: "slot.reader", verdict: Warning, found: "nobody reads from the slot", remedy: "start walpost",
            mend: &["sql DELETE FROM walpost_watermark"] },
    // Slot, watermark and stream together.
    Fault { plant: &["sql INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, event_lsn, event_index, event_sequence, stream, stream_created) SELECT '{name}', system_identifier::text, 1, '0/1', '0/1', NULL, NULL, NULL,
                      'S', 1 FROM pg_control_system()"],
            check: "walpost.place", verdict: Critical, found: "walpost never confirmed more than 0/1", remedy: "DELETE FROM",
            mend: &["sql DELETE FROM walpost_watermark"] },
    Fault { plant: &["sql INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, event_lsn, event_index, event_sequence, stream, stream_created) SELECT '{name}', system_identifier::text, 1, '0/1', 'FFFFFFFF/0', NULL, NULL,
                      NULL, '{stream}', 1 FROM pg_control_system()"],
            check: "walpost.place", verdict: Critical, found: "it was deleted and made anew", remedy: "DELETE FROM",
            mend: &["sql DELETE FROM walpost_watermark"] },
    Fault { plant: &["sql INSERT INTO walpost_watermark (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, event_lsn, event_index, event_sequence, stream, stream_created) SELECT '{name}', system_identifier::text, 1, '0/1', 'FFFFFFFF/0', '0/1', 0,
                      7, '{stream}', {created} FROM pg_control_system()"],
            check: "walpost.place", verdict: Critical, found: "message 7", remedy: "",
            mend: &["sql DELETE FROM walpost_watermark"] },
];

/// From version 15 on a publication can leave columns and rows out.
#[rustfmt::skip]
const FILTERS: &[Fault] = &[
    Fault { plant: &["sql ALTER PUBLICATION walpost SET TABLE outbox (id, aggregate_type, aggregate_id, event_type, payload)"],
            check: "publication.columns", verdict: Critical, found: "leaves out columns \"headers\", \"created_at\"",
            remedy: "run `BEGIN; ALTER PUBLICATION", mend: &[] },
    Fault { plant: &["sql ALTER PUBLICATION walpost SET TABLE outbox WHERE (event_type <> 'secret')"],
            check: "publication.rows", verdict: Critical, found: "sends only rows of table public.outbox where",
            remedy: "run `BEGIN; ALTER PUBLICATION", mend: &[] },
];

/// Transactions that hold the log back, made to look older than a test can wait for.
#[rustfmt::skip]
const OLD_TRANSACTIONS: &[Fault] = &[
    Fault { plant: &["sql BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'it''s {name}'"], check: "transactions",
            verdict: Warning, found: "was prepared 1 h 0 min ago", remedy: "run `ROLLBACK PREPARED 'it''s {name}';`", mend: &[] },
];

#[tokio::test]
async fn whatever_is_wrong_in_a_database_is_named_and_mended() {
    for server in healthy_servers().await {
        let mut patient = Patient::new(server, &nats().await.url(), "shop").await;
        assert_eq!(patient.complaints().await, Vec::<String>::new());
        patient.suffers_all(FAULTS).await;
        if server.major() >= 15 {
            patient.suffers_all(FILTERS).await;
        }
    }
}

/// What is prepared, or open, was so an hour ago.
fn aged(survey: &mut Survey) {
    let answers = survey.postgres.answers.as_mut().unwrap();
    for transaction in answers.transactions.as_mut().unwrap() {
        transaction.age = transaction.age.map(|_| std::time::Duration::from_secs(3600));
    }
}

/// On servers of their own: the remedy ends the sessions of others.
#[tokio::test]
async fn transactions_that_stay_open_are_told_and_ended() {
    for server in servers_with(&[("max_slot_wal_keep_size", "4GB"), ("max_prepared_transactions", "2")]).await {
        let mut patient = Patient::new(&server, &nats().await.url(), "open_ended").await;
        patient.act("sql GRANT pg_read_all_stats TO {name}").await;
        patient.ages = aged;
        patient.suffers_all(OLD_TRANSACTIONS).await;
        let open = server.connect().await.unwrap();
        open.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
        let told = Fault {
            plant: &[],
            check: "transactions",
            verdict: Warning,
            found: "has been open for 1 h 0 min",
            remedy: "`SELECT pg_terminate_backend(",
            mend: &[],
        };
        patient.suffers(&told).await;
        assert!(open.batch_execute("SELECT 1").await.is_err(), "the remedy ended it");
    }
}

#[tokio::test]
async fn somebody_else_who_reads_from_the_slot_is_told() {
    for server in healthy_servers().await {
        let mut patient = Patient::new(server, &nats().await.url(), "intruder").await;
        let url = format!("{}?application_name=copycat", server.url_for("postgres", "intruder"));
        let connection = Connection::open(&Endpoint::parse(&url).unwrap()).await.unwrap();
        let start = walpost::lsn::Lsn::ZERO;
        let options = StartOptions { slot: "intruder".into(), publication: "walpost".into(), start };
        let reading = connection.start(&options).await.unwrap();
        let report = patient.complaints().await;
        assert_eq!(report.len(), 1, "{report:?}");
        assert!(report[0].starts_with("Warning slot.reader: copycat, pid "), "{report:?}");
        assert!(report[0].contains("give walpost a slot of its own"), "{report:?}");
        drop(reading);
        patient
            .act("sql SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{name}'")
            .await;
        wait::until("the slot is free", async || patient.complaints().await.is_empty()).await;
    }
}

#[tokio::test]
async fn a_database_without_an_encoding_is_told() {
    for server in healthy_servers().await {
        let create = "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
        server.execute_sql(create).await.unwrap();
        server.execute_sql("CREATE ROLE ascii LOGIN REPLICATION").await.unwrap();
        let mut patient = Patient::of(server, &nats().await.url(), "ascii").await;
        patient.set_up().await;
        patient.act(&format!("sql {}", patient.grant())).await;
        let told = patient.complaints().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("Warning postgres.encoding: the database has no encoding (SQL_ASCII)"), "{told:?}");
        assert!(told[0].contains("payload as bytea"), "{told:?}");
    }
}
