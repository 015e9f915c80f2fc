//! The login at NATS is renewed while webhooks are served.

use std::fs;

use async_nats::{ConnectOptions, HeaderMap, HeaderName, HeaderValue, jetstream, jetstream::stream::Config};
use serde_json::json;
use walpost::sandbox::servers::{NatsOptions, PrivateNats};

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, endpoint},
    support::{daemon::Settings, stream::Reader},
    wait,
};

/// What says whose event it is.
fn aggregate() -> Option<(HeaderName, HeaderValue)> {
    Some(("Walpost-Aggregate-Id".parse().ok()?, "1".parse().ok()?))
}

#[tokio::test]
async fn a_password_in_a_file_that_is_replaced_is_used_without_a_restart() {
    let password = |settings: Settings, file: &str| settings.with("NATS_USER", "app").with("NATS_PASSWORD_FILE", file);
    is_used_without_a_restart(password, |password, _| format!("{password}\n")).await;
}

#[tokio::test]
async fn a_password_inside_a_url_in_a_file_that_is_replaced_is_used_without_a_restart() {
    let url = |settings: Settings, file: &str| settings.without("NATS_URL").with("NATS_URL_FILE", file);
    let written = |password: &str, url: &str| url.replace("nats://", &format!("nats://app:{password}@"));
    is_used_without_a_restart(url, written).await;
}

/// `named` tells walpost of a file, and `written` what it holds for a password and the address of a server.
async fn is_used_without_a_restart(named: impl Fn(Settings, &str) -> Settings, written: impl Fn(&str, &str) -> String) {
    let users = |password: &str| {
        let users = [("all", "p"), ("app", password)];
        json!({ "users": users.map(|(user, password)| json!({ "user": user, "password": password })) })
    };
    let mut broker = PrivateNats::start(NatsOptions::default().extra("authorization", users("old"))).await.unwrap();
    let enter = || ConnectOptions::with_user_and_password("all".into(), "p".into());
    let reader = Reader::enter(enter(), &broker.url(), "OUTBOX").await;
    reader.create(Config { subjects: vec!["outbox.>".to_owned()], ..Config::default() }).await;
    // A server that was reloaded may cut off whoever has just come in.
    let publish = async |url: String, id: &str| {
        wait::some("an event is stored", async || {
            let context = jetstream::new(Box::pin(enter().connect(url.as_str())).await.ok()?);
            let headers = HeaderMap::from_iter([("Nats-Msg-Id".parse().ok()?, id.parse().ok()?), aggregate()?]);
            let sent = context.publish_with_headers("outbox.order.placed", headers, "{}".into()).await;
            sent.ok()?.await.ok()
        })
        .await;
    };
    let hooks = Hooks::start(200, AT_ONCE).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, secret) = (folder.path().join("walpost.toml"), folder.path().join("secret"));
    fs::write(&file, endpoint("a", &hooks.url(), "start = \"all\"")).unwrap();
    fs::write(&secret, written("old", &broker.url())).unwrap();
    let settings = Settings::new("", &broker.url())
        .without("POSTGRES_URL")
        .with("CONFIG", file.to_str().unwrap())
        .with("WEBHOOKS_LEASE", "1s")
        .with("WEBHOOKS_ALLOW_ADDRESSES", "127.0.0.1");
    let worker = named(settings, secret.to_str().unwrap()).start_with(&["webhooks", "run", "--setup"]);
    publish(broker.url(), "e1").await;
    wait::until("one is taken", async || hooks.taken().len() == 1).await;

    fs::write(&secret, written("new", &broker.url())).unwrap();
    broker.reload(|options| options.extra("authorization", users("new"))).await.unwrap();
    publish(broker.url(), "e2").await;
    wait::until("the other is taken too", async || hooks.taken().len() == 2).await;
    assert!(worker.log().contains("another one is made"), "{}", worker.log());
    assert_eq!(worker.terminate().await, 0);
}
