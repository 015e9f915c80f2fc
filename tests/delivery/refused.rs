//! What keeps walpost from starting, each by its code: planted in real servers, told with its page and with what to do.

use std::{fs, os::unix::fs::PermissionsExt as _};

use async_nats::jetstream;
use serde_json::json;
use walpost::sandbox::servers::{NatsOptions, NatsTls, PrivateNats};

use crate::{
    daemon::Settings,
    stage::EVENT,
    stream::Reader,
    wait,
    world::{connect, database, nats, newest, own_postgres},
};

/// A database and a slot of this name, set up.
async fn set_up(name: &str, broker: &PrivateNats) -> (Settings, tokio_postgres::Client) {
    let url = database(newest().await, name).await;
    let settings = Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name);
    settings.set_up().await;
    (settings, connect(&url).await)
}

/// Runs a command, which must fail with this code, name its page, and say these words.
async fn assert_refused(settings: &Settings, command: &str, code: &str, words: &[&str]) {
    let answer = settings.clone().with("LOG_FORMAT", "pretty").run(&[command]).await;
    println!("{}", answer.stderr);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    for part in [&format!("error: {code} "), &format!("\nsee: docs/reference/errors/{code}.md\n"), "hint: "] {
        assert!(answer.stderr.contains(part), "no {part:?}: {}", answer.stderr);
    }
    for part in words {
        assert!(answer.stderr.contains(part), "no {part:?}: {}", answer.stderr);
    }
}

#[tokio::test]
async fn a_slot_that_is_lost_is_told_with_the_place_it_was_at() {
    let (postgres, broker) = (own_postgres(&[("max_slot_wal_keep_size", "1MB")]).await, nats().await);
    let settings = Settings::new(&postgres.url(), &broker.url());
    settings.set_up().await;
    let client = connect(&postgres.url()).await;
    for _ in 0..4 {
        client.batch_execute("SELECT pg_logical_emit_message(false, 'fill', 'x'), pg_switch_wal()").await.unwrap();
    }
    client.batch_execute("CHECKPOINT").await.unwrap();
    let words = ["slot \"walpost\" is invalidated: wal_removed", "run `walpost setup --existing-rows missing`"];
    assert_refused(&settings, "run", "WP0303", &words).await;
}

#[tokio::test]
async fn a_slot_of_another_kind_is_told() {
    let broker = nats().await;
    let (settings, client) = set_up("refused_slot", &broker).await;
    let other = "SELECT pg_create_logical_replication_slot('refused_slot_other', 'test_decoding')";
    client.batch_execute(other).await.unwrap();
    let settings = settings.with("POSTGRES_SLOT", "refused_slot_other");
    let words = ["uses plugin test_decoding, expected pgoutput", "choose another name as postgres.slot"];
    for command in ["run", "setup"] {
        assert_refused(&settings, command, "WP0302", &words).await;
    }
}

#[tokio::test]
async fn another_slot_than_the_one_that_fed_the_stream_is_told() {
    let broker = nats().await;
    let (settings, client) = set_up("refused_origin", &broker).await;
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    client.batch_execute(EVENT).await.unwrap();
    let daemon = settings.lead().await;
    wait::until("the event is stored", async || reader.last_sequence().await == 1).await;
    assert_eq!(daemon.terminate().await, 0);
    let settings = settings.with("POSTGRES_SLOT", "refused_origin_2");
    settings.set_up_again().await;
    let words =
        ["through slot \"refused_origin\", and the configured slot is \"refused_origin_2\"", "set [postgres] slot"];
    assert_refused(&settings, "run", "WP0702", &words).await;
}

#[tokio::test]
async fn a_stream_that_others_fill_is_told() {
    let broker = nats().await;
    let (settings, _client) = set_up("refused_foreign", &broker).await;
    let jetstream = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
    for _ in 0..=1000 {
        jetstream.publish("outbox.intruder", "".into()).await.unwrap().await.unwrap();
    }
    let words = ["the last 1000 messages of the stream, from 1 on, were not written by walpost", "the only writer"];
    assert_refused(&settings, "run", "WP0505", &words).await;
}

#[tokio::test]
async fn a_position_of_a_later_version_is_told() {
    let broker = nats().await;
    let (settings, _client) = set_up("refused_version", &broker).await;
    let jetstream = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Walpost-Position", "2:what is not known yet");
    jetstream.publish_with_headers("outbox.order.placed", headers, "".into()).await.unwrap().await.unwrap();
    let words =
        ["position of message 1 of the stream", "a form that this version of walpost does not know", "or a later one"];
    assert_refused(&settings, "run", "WP0903", &words).await;
}

#[tokio::test]
async fn a_role_without_the_right_to_create_is_told_what_setup_needs() {
    let broker = nats().await;
    let url = database(newest().await, "refused_rights").await;
    connect(&url).await.batch_execute("CREATE ROLE refused_rights LOGIN REPLICATION").await.unwrap();
    let settings = Settings::new(&newest().await.url_for("refused_rights", "refused_rights"), &broker.url());
    let words = ["permission denied for schema public (SQLSTATE 42501)", "CREATE on the schema"];
    assert_refused(&settings.with("POSTGRES_SLOT", "refused_rights"), "setup", "WP0106", &words).await;
}

#[tokio::test]
async fn an_account_without_jetstream_is_told() {
    let accounts = json!({ "PLAIN": { "users": [{ "user": "app", "password": "p" }] } });
    let broker = PrivateNats::start(NatsOptions::default().extra("accounts", accounts)).await.unwrap();
    let url = database(newest().await, "refused_plain").await;
    let settings = Settings::new(&url, &broker.url().replace("nats://", "nats://app:p@"));
    for command in ["run", "setup"] {
        let words = ["offers no JetStream to this account", "nats-server -js"];
        assert_refused(&settings, command, "WP0404", &words).await;
    }
}

#[tokio::test]
async fn a_certificate_of_nats_that_nobody_vouches_for_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // The server runs as somebody else.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, signed.cert.pem()).unwrap();
    fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    let tls = NatsTls { certificate, key, client_authority: None };
    let broker = PrivateNats::start(NatsOptions::default().tls(tls)).await.unwrap();
    let url = database(newest().await, "refused_certificate").await;
    let settings = Settings::new(&url, &broker.url());
    assert_refused(&settings, "run", "WP0403", &["cannot connect to NATS", "check tls_ca, tls_cert and tls_key"]).await;
}
