//! What an operator gets wrong, each with one message that says what is wrong and what to do, and no secret in it.

use async_nats::jetstream::stream::Config;
use serde_json::{Value, json};
use walpost::sandbox::servers::{NatsOptions, PostgresOptions, PrivateNats, PrivatePostgres};

use crate::{
    daemon::{Settings, free_address},
    stream::Reader,
    wait,
    world::{connect, database, nats, newest, own_postgres},
};

/// A password that must be seen nowhere.
const CANARY: &str = "canary-hush";

/// Statements that make everything in Postgres that is needed, in the order of `walpost setup`.
const COMPLETE: &str = "
    CREATE TABLE outbox (id uuid PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text, payload jsonb);
    CREATE PUBLICATION walpost FOR TABLE outbox WITH (publish = 'insert');";

/// Runs `walpost run`, which must end by itself with this code and say exactly one thing, with these lines in it.
async fn assert_run_fails(settings: &Settings, code: i32, lines: &[&str]) {
    assert_fails(settings, &["run"], code, lines).await;
}

async fn assert_fails(settings: &Settings, arguments: &[&str], code: i32, lines: &[&str]) {
    let answer = settings.clone().with("LOG_FORMAT", "pretty").run(arguments).await;
    println!("{}", answer.stderr);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(code), ""), "{}", answer.stderr);
    let told: Vec<&str> = answer.stderr.lines().collect();
    let errors: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", answer.stderr);
    for line in lines {
        assert!(told.iter().any(|told| told.starts_with(line)), "no line {line:?}: {}", answer.stderr);
    }
    assert!(told.iter().any(|line| line.trim_start().starts_with("hint:")), "nothing to do: {}", answer.stderr);
    assert!(!answer.stderr.contains("canary"), "{}", answer.stderr);
    // Whatever is not a wrong configuration has a page.
    if code == 1 {
        let page = format!("see: docs/reference/errors/{}.md", errors[0].split(' ').next().unwrap());
        assert!(told.contains(&page.as_str()), "no {page}: {}", answer.stderr);
    }
}

/// A database with table and publication, and settings for it.
async fn complete(name: &str, broker: &PrivateNats) -> Settings {
    let url = database(newest().await, name).await;
    connect(&url).await.batch_execute(COMPLETE).await.unwrap();
    Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name)
}

#[tokio::test]
async fn a_wrong_password_is_told_without_showing_it() {
    let postgres = PrivatePostgres::start(PostgresOptions::default().scram("right")).await.unwrap();
    let url = postgres.url_with_password("postgres", CANARY, "postgres");
    let settings = Settings::new(&url, "nats://127.0.0.1:1");
    for command in ["run", "setup"] {
        let lines = [
            "error: WP0102 Postgres: password authentication failed for user \"postgres\" (SQLSTATE 28P01)",
            "hint: the password is wrong, missing or expired: check postgres.url",
        ];
        assert_fails(&settings, &[command], 1, &lines).await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_by_its_address() {
    let unknown = Settings::new(&format!("postgres://app:{CANARY}@nowhere.invalid:5433/app"), "nats://127.0.0.1:1");
    let lines = [
        "error: WP0101 cannot connect to Postgres (nowhere.invalid:5433: the host name cannot be resolved",
        "hint: the host name is unknown here: check postgres.url",
    ];
    assert_run_fails(&unknown, 1, &lines).await;

    let refused = free_address();
    let settings = Settings::new(&format!("postgres://app:{CANARY}@{refused}/app"), "nats://127.0.0.1:1");
    let lines = [
        &*format!("error: WP0101 cannot connect to Postgres ({refused}: Connection refused"),
        "hint: nothing listens there: check host and port in postgres.url",
    ];
    assert_run_fails(&settings, 1, &lines).await;
}

#[tokio::test]
async fn a_broker_that_cannot_be_used_is_told() {
    let url = database(newest().await, "errors_broker").await;
    let refused = free_address();
    let settings = Settings::new(&url, &format!("nats://app:{CANARY}@{refused}"));
    let hint = "hint: check that nats.url is right and that the server runs and can be reached from here";
    assert_run_fails(&settings, 1, &["error: WP0401 cannot connect to NATS", hint]).await;

    let broker = PrivateNats::start(NatsOptions::default().login("app", "right")).await.unwrap();
    let address = broker.url().replace("nats://", "");
    let settings = Settings::new(&url, &format!("nats://app:{CANARY}@{address}"));
    let hint = "hint: NATS refuses the login: check creds_file, nkey, user, password or token under [nats]";
    assert_run_fails(&settings, 1, &["error: WP0402 cannot connect to NATS: authorization violation", hint]).await;
}

#[tokio::test]
async fn a_server_without_logical_log_is_told_with_everything_else_that_is_missing() {
    let (postgres, broker) = (own_postgres(&[("wal_level", "replica")]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    let lines = [
        "error: WP0104 cannot deliver: 6 things are missing or do not fit",
        "  WP0104 wal_level is replica, logical decoding needs logical",
        "    hint: run `ALTER SYSTEM SET wal_level = logical;` and restart Postgres",
    ];
    assert_run_fails(&settings, 1, &lines).await;
    let lines = ["error: WP0104 setup cannot go on", "  WP0104 wal_level is replica, logical decoding needs logical"];
    assert_fails(&settings, &["setup"], 1, &lines).await;
}

#[tokio::test]
async fn on_a_fresh_database_all_that_is_missing_is_told_at_once() {
    let broker = nats().await;
    let url = database(newest().await, "errors_fresh").await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", "errors_fresh");
    let lines = [
        "error: WP0201 cannot deliver: 5 things are missing or do not fit",
        "  WP0201 table public.outbox does not exist",
        "  WP0203 table public.walpost_watermark does not exist",
        "  WP0202 publication \"walpost\" does not exist",
        "  WP0301 replication slot \"errors_fresh\" does not exist",
        "  WP0501 stream \"OUTBOX\" does not exist",
        "    hint: run `walpost setup`, which creates it",
        "see: docs/reference/errors/WP0501.md",
    ];
    assert_run_fails(&settings, 1, &lines).await;
    settings.set_up().await;
    assert_eq!(settings.lead().await.terminate().await, 0);

    // And one by one.
    let client = connect(&url).await;
    for (sql, code, told) in [
        ("DROP PUBLICATION walpost", "WP0202", "publication \"walpost\" does not exist"),
        ("DROP TABLE walpost_watermark CASCADE", "WP0203", "table public.walpost_watermark does not exist"),
        (
            "DELETE FROM walpost_watermark; SELECT pg_drop_replication_slot('errors_fresh')",
            "WP0301",
            "replication slot \"errors_fresh\" does not exist",
        ),
    ] {
        client.batch_execute(sql).await.unwrap();
        let (error, told) =
            (format!("error: {code} cannot deliver: one thing is missing or does not fit"), format!("  {code} {told}"));
        assert_run_fails(&settings, 1, &[&error, &told, "    hint: run `walpost setup`"]).await;
        settings.set_up().await;
    }
}

#[tokio::test]
async fn all_columns_that_a_table_lacks_are_told_at_once() {
    let broker = nats().await;
    let settings = complete("errors_columns", &broker).await;
    settings.set_up().await;
    let url = newest().await.url_for("postgres", "errors_columns");
    connect(&url).await.batch_execute("ALTER TABLE outbox DROP aggregate_type, DROP payload").await.unwrap();
    let lines = [
        "error: WP0201 cannot deliver: one thing is missing or does not fit",
        "  WP0201 table public.outbox cannot be read as an outbox: column \"aggregate_type\" (aggregate_type) is missing; column \
         \"payload\" (payload) is missing; the table has id, aggregate_id, event_type",
        "    hint: name the table's own columns under [outbox.columns], or change the table",
    ];
    assert_run_fails(&settings, 1, &lines).await;
}

#[tokio::test]
async fn a_stream_that_does_not_fit_is_told() {
    let broker = nats().await;
    let settings = complete("errors_stream", &broker).await;
    settings.set_up().await;
    let reader = Reader::connect(&broker.url(), "OTHER").await;
    reader.create(Config { subjects: vec!["other.>".into()], ..Config::default() }).await;
    let lines = [
        "error: WP0502 cannot deliver: 2 things are missing or do not fit",
        "  WP0502 stream \"OTHER\" does not take subject \"outbox.>\"",
        "    hint: add \"outbox.>\" to the subjects of the stream",
        "  WP0502 stream \"OTHER\" does not take subject \"outbox_dlq.>\"",
    ];
    assert_run_fails(&settings.clone().with("NATS_STREAM", "OTHER"), 1, &lines).await;
}

#[tokio::test]
async fn an_unknown_key_is_refused_before_anything_is_touched() {
    let broker = nats().await;
    let url = database(newest().await, "errors_key").await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", "errors_key").with("NATS_STREEM", "X");
    for command in [&["run"][..], &["run", "--setup"], &["setup"]] {
        let lines = [
            "error: 1 problem in the configuration",
            "  WALPOST_NATS_STREEM: unknown variable",
            "    hint: did you mean `WALPOST_NATS_STREAM`?",
        ];
        assert_fails(&settings, command, 2, &lines).await;
    }
    assert_eq!(settings.run(&["run"]).await.stderr.lines().count(), 3, "it did more than refuse");
    let found = connect(&url).await.query_one("SELECT to_regclass('outbox') IS NULL", &[]).await.unwrap();
    assert!(found.get::<_, bool>(0), "the table was made");
}

#[tokio::test]
async fn a_second_walpost_stands_by_and_takes_over_when_the_slot_is_free() {
    let broker = nats().await;
    let settings = complete("errors_busy", &broker).await;
    settings.set_up().await;
    let first = settings.lead().await;
    let second = settings.clone().with("ADMIN_LISTEN", &free_address().to_string());
    let second = second.start();
    let standing_by = "standing by: another process reads from the slot";
    wait::until(standing_by, async || second.log().contains(standing_by)).await;
    assert_eq!(first.terminate().await, 0);
    second.until_phase("leading").await;
    assert_eq!(second.terminate().await, 0);
}

#[tokio::test]
async fn another_cluster_than_the_one_that_fed_the_stream_is_refused() {
    let broker = nats().await;
    let settings = complete("errors_cluster", &broker).await.with("POSTGRES_SLOT", "walpost_of_either");
    let other = own_postgres(&[]).await;
    let elsewhere = Settings::new(&other.url(), &broker.url()).with("POSTGRES_SLOT", "walpost_of_either");
    let event = "INSERT INTO outbox VALUES (gen_random_uuid(), 'order', '1', 'placed', '{}')";
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    for (settings, url) in
        [(&settings, newest().await.url_for("postgres", "errors_cluster")), (&elsewhere, other.url())]
    {
        settings.set_up().await;
        connect(&url).await.batch_execute(event).await.unwrap();
    }
    let daemon = settings.lead().await;
    wait::until("the event is stored", async || reader.last_sequence().await == 1).await;
    assert_eq!(daemon.terminate().await, 0);
    let lines = [
        "error: WP0701 the stream was written from another database cluster (system ",
        "hint: point [postgres] url at the cluster that fed the stream, or [nats] stream at a new stream",
    ];
    assert_run_fails(&elsewhere, 1, &lines).await;
    assert_eq!(reader.last_sequence().await, 1);
}

#[tokio::test]
async fn a_fault_while_delivering_is_told_in_the_same_way() {
    let broker = nats().await;
    let settings = complete("errors_later", &broker).await;
    settings.set_up().await;
    let client = connect(&newest().await.url_for("postgres", "errors_later")).await;
    let mut daemon = settings.lead().await;
    client.batch_execute("ALTER TABLE outbox DROP payload").await.unwrap();
    let event = "INSERT INTO outbox VALUES (gen_random_uuid(), 'order', '1', 'canary')";
    client.batch_execute(event).await.unwrap();
    assert_eq!(daemon.ended().await, 1);
    let (log, told) = (daemon.log(), last_line(&daemon.log()));
    assert_eq!(told["code"], "WP0201", "{log}");
    let problem = told["problems"][0]["error"].as_str().unwrap();
    let expected = "table public.outbox cannot be read as an outbox: column \"payload\" (payload) is missing";
    assert!(problem.starts_with(expected), "{log}");
    let action = told["action"].as_str().unwrap();
    assert!(action.starts_with("name the table's own columns under [outbox.columns]"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

/// The last line of a log, which is JSON like all others.
fn last_line(log: &str) -> Value {
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {log}"))).collect();
    let last = lines.last().unwrap_or_else(|| panic!("it says nothing")).clone();
    assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"the command failed".into()), "{log}");
    last
}

#[tokio::test]
async fn beside_a_json_log_the_last_error_is_json_too() {
    let broker = nats().await;
    let url = database(newest().await, "errors_json").await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", "errors_json");
    let told = last_line(&settings.run(&["run"]).await.stderr);
    assert_eq!(told["code"], "WP0201");
    assert_eq!(told["error"], "cannot deliver: 5 things are missing or do not fit");
    let codes: Vec<&str> =
        told["problems"].as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["WP0201", "WP0203", "WP0202", "WP0301", "WP0501"]);
    let pages: Vec<String> = codes.iter().map(|code| format!("docs/reference/errors/{code}.md")).collect();
    assert_eq!(told["see"], json!(pages));
    for problem in told["problems"].as_array().unwrap() {
        assert_eq!(problem["action"], "run `walpost setup`, which creates it");
    }

    let elsewhere = settings.with("NATS_URL", &format!("nats://app:{CANARY}@{}", free_address()));
    for command in ["run", "setup"] {
        let answer = elsewhere.run(&[command]).await;
        let told = last_line(&answer.stderr);
        assert_eq!((&told["code"], &told["causes"]), (&"WP0401".into(), &json!([])));
        assert!(told["error"].as_str().unwrap().starts_with("cannot connect to NATS"), "{told}");
        assert!(told["action"].as_str().unwrap().starts_with("check that nats.url is right"), "{told}");
        assert!(!answer.stderr.contains("canary"), "{}", answer.stderr);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_that_is_away() {
    let url = format!("{}?sslmode=require", database(newest().await, "errors_tls").await);
    let settings = Settings::new(&url, "nats://127.0.0.1:1");
    let lines = [
        "error: WP0103 cannot connect to Postgres (127.0.0.1:",
        "hint: turn on ssl at the server, or, in a network that you trust, set sslmode=prefer in postgres.url (beyond",
    ];
    assert_run_fails(&settings, 1, &lines).await;
}

#[tokio::test]
async fn a_nats_user_without_rights_to_jetstream_is_told_which() {
    let users = json!({ "users": [{ "user": "app", "password": "p", "permissions": {
        "publish": ["outbox.>", "outbox_dlq.>"], "subscribe": ["_INBOX.>"] } }] });
    let broker = PrivateNats::start(NatsOptions::default().extra("authorization", users)).await.unwrap();
    let nats_url = broker.url().replace("nats://", "nats://app:p@");
    let url = database(newest().await, "errors_rights").await;
    let settings = Settings::new(&url, &nats_url).with("POSTGRES_SLOT", "errors_rights");
    let lines = [
        "error: WP0402 NATS complains: nats: Permissions Violation for Publish to \"$JS.API.STREAM.INFO.OUTBOX\"",
        "hint: give the NATS user the permission that NATS names",
    ];
    for command in ["run", "setup"] {
        assert_fails(&settings, &[command], 1, &lines).await;
    }
}
