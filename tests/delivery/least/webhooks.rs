//! Webhooks, as the NATS user that is shipped for them: an event becomes a dead letter, is sent again, and is delivered.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::{Router, http::StatusCode, routing::post};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::Place;
use crate::{daemon::Settings, wait};

/// Who delivers.
const USER: &str = "walpost_webhooks";

/// Everything that the role does, and that whoever looks is told of it.
pub(super) async fn work(place: &Place) {
    let is_well = Arc::new(AtomicBool::default());
    let (url, receiver) = receiver(Arc::clone(&is_well)).await;
    let folder = configuration(&url);
    let file = folder.path().join("walpost.toml");
    let with_file = |role: &str| place.settings(role).with("CONFIG", file.to_str().unwrap());
    let settings = with_file(USER).without("POSTGRES_URL");
    run(&with_file("walpost_setup"), &["webhooks", "setup"]).await;
    let worker = settings.start_with(&["webhooks", "run"]);
    wait::until("an event is dead", async || one(&settings).await["dead_letters"].as_u64() > Some(0)).await;

    let dead: Value =
        serde_json::from_str(&run(&settings, &["webhooks", "dead", "a", "--format", "json"]).await).unwrap();
    let event = dead[0]["event"].as_str().unwrap();
    assert!(run(&settings, &["webhooks", "attempts", event]).await.contains("server_error"));
    is_well.store(true, Relaxed);
    run(&settings, &["webhooks", "test", "a"]).await;
    wait::until("everything is delivered after all", async || {
        run(&settings, &["webhooks", "replay", "a", "--all"]).await;
        one(&settings).await["dead_letters"] == 0
    })
    .await;
    for wish in ["disable", "enable"] {
        run(&settings, &["webhooks", wish, "a"]).await;
    }

    let looker = with_file("walpost");
    assert!(run(&looker, &["status"]).await.contains("webhooks    a: "));
    let doctor = run(&looker, &["doctor"]).await;
    assert!(doctor.contains("not all that run needs, but whoever delivers has it"), "{doctor}");
    let doctor = looker.with("NATS_USER", USER).with("NATS_PASSWORD", &super::password(USER));
    let doctor = doctor.with("NATS_INBOX_PREFIX", &format!("_INBOX_{USER}")).run(&["doctor"]).await.stdout;
    assert!(doctor.contains("webhooks.rights        all that run needs, not what setup needs"), "{doctor}");
    assert_eq!(worker.terminate().await, 0);
    receiver.abort();
}

/// Runs a command that must do it.
async fn run(settings: &Settings, arguments: &[&str]) -> String {
    let answer = settings.run(arguments).await;
    assert_eq!(answer.code, Some(0), "{arguments:?}: {} {}", answer.stdout, answer.stderr);
    answer.stdout
}

/// How the endpoint stands.
async fn one(settings: &Settings) -> Value {
    serde_json::from_str(&run(settings, &["webhooks", "show", "a", "--format", "json"]).await).unwrap()
}

/// The configuration with one endpoint, to which each event is sent once.
fn configuration(url: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = format!(
        "[webhooks]\nallow_addresses = \"127.0.0.1\"\n[[webhooks.endpoint]]\nname = \"a\"\nurl = \"{url}\"\nplain_http = true\n\
         retries = []\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n"
    );
    fs::write(folder.path().join("walpost.toml"), file).unwrap();
    folder
}

/// Somebody who takes nothing until he is well.
async fn receiver(is_well: Arc<AtomicBool>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = async move || if is_well.load(Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let router = Router::new().route("/", post(answer));
    (url, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}
