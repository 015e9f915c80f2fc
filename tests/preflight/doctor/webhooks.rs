//! Faults of webhooks: what they are kept in, the table of endpoints, and endpoints.

use std::{process::Stdio, time::Duration};

use axum::{Router, routing::post};
use serde_json::json;
use tokio::{net::TcpListener, process::Command};
use walpost::{
    doctor::Verdict::{Critical, Warning},
    sandbox::servers::{NatsOptions, PrivateNats},
    survey::Survey,
};

use super::{
    database::healthy_servers,
    patient::{Fault, Patient},
};
use crate::{wait, world::nats};

/// The file of the configuration with one endpoint, and one thing more about it. Nothing is sent to it here.
macro_rules! shop {
    ($more:literal) => {
        concat!(
            "endpoints [webhooks]\nlease = \"1m\"\n[[webhooks.endpoint]]\nname = \"shop\"\nurl = \"https://1.1.1.1/hook\"\n",
            "secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n",
            $more
        )
    };
}

/// What is written down of it, with these fields set.
macro_rules! record {
    ($owner:literal, $read:literal, $open:literal, $more:literal) => {
        concat!(
            "publish walpost_webhooks.{stream}.state.shop {\"version\":1,\"beat\":1,\"wish\":0,\"owner\":",
            $owner,
            ",\"read\":",
            $read,
            ",\"open\":",
            $open,
            ",\"stream_created_ns\":{created},",
            $more,
            "}"
        )
    };
}

/// Somebody delivers, and nothing waits.
const WELL: &str = record!("\"a\"", "1000", "[]", "\"failing_since_ms\":null,\"disabled\":null");
const PURGE: &str = "nats stream purge {stream} --subject={stream}.> --force";
const PURGE_STATE: &str = "nats stream purge {stream}_WEBHOOKS --subject=walpost_webhooks.{stream}.> --force";

async fn patient(name: &str) -> Patient {
    let mut patient = Patient::new(healthy_servers().await.first().unwrap(), &nats().await.url(), name).await;
    patient.act(shop!("")).await;
    patient.set_up_webhooks().await;
    assert_eq!(patient.complaints().await, Vec::<String>::new(), "an endpoint that was never served is no trouble");
    patient
}

#[rustfmt::skip]
const KEPT: &[Fault] = &[
    Fault { plant: &["nats stream rm {stream}_WEBHOOKS --force"], check: "webhooks.streams", verdict: Critical,
            found: "stream \"{stream}_WEBHOOKS\" does not exist", remedy: "run `walpost webhooks setup`", mend: &[] },
    Fault { plant: &["nats stream rm {stream}_WEBHOOK_LOG --force"], check: "webhooks.streams", verdict: Critical,
            found: "stream \"{stream}_WEBHOOK_LOG\" does not exist", remedy: "run `walpost webhooks setup`", mend: &[] },
    Fault { plant: &["nats stream edit {stream}_WEBHOOKS --subjects=other_{stream}.> --force"], check: "webhooks.streams",
            verdict: Critical, found: "does not take subject \"walpost_webhooks.{stream}.>\"",
            remedy: "--subjects=other_{stream}.>,walpost_webhooks.{stream}.> --force", mend: &[] },
    Fault { plant: &["nats stream edit {stream}_WEBHOOKS --max-age=1h --force"], check: "webhooks.streams", verdict: Critical,
            found: "forgets where endpoints stand after 1 h 0 min", remedy: "--max-age=0s", mend: &[] },
    Fault { plant: &["nats stream edit {stream}_WEBHOOKS --discard=old --max-msgs=5 --force"], check: "webhooks.streams",
            verdict: Critical, found: "forgets where endpoints stand when it is full", remedy: "--discard=new", mend: &[] },
    Fault { plant: &["nats stream edit {stream}_WEBHOOKS --discard=new --max-bytes=300 --max-msgs=-1 --force",
                     "publish walpost_webhooks.{stream}.wish.nobody 01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"],
            check: "webhooks.streams", verdict: Critical, found: "is nearly full (", remedy: "--max-bytes=600", mend: &[] },
    Fault { plant: &["nats stream edit {stream}_WEBHOOKS --max-msgs-per-subject=-1 --force"], check: "webhooks.streams",
            verdict: Warning, found: "grows without end", remedy: "--max-msgs-per-subject=1", mend: &[] },
    Fault { plant: &["nats stream rm {stream}_WEBHOOKS --force",
                     "nats stream add {stream}_WEBHOOKS {\"name\":\"\",\"subjects\":[\"walpost_webhooks.{stream}.>\"],\"max_msgs_per_subject\":1,\"max_bytes\":-1,\"max_msgs\":-1,\"max_consumers\":-1,\"max_age\":0,\"duplicate_window\":0,\"num_replicas\":1,\"storage\":\"memory\",\"retention\":\"limits\",\"discard\":\"new\"}"],
            check: "webhooks.streams", verdict: Warning, found: "is kept in memory", remedy: "it cannot be changed in place",
            mend: &["nats stream rm {stream}_WEBHOOKS --force"] },
    Fault { plant: &["nats stream rm {stream} --force",
                     "nats stream add {stream} {\"name\":\"\",\"subjects\":[\"{stream}.>\",\"{stream}_dlq.>\"],\"max_msgs_per_subject\":-1,\"max_bytes\":-1,\"max_msgs\":-1,\"max_consumers\":-1,\"max_age\":0,\"duplicate_window\":120000000000,\"num_replicas\":1,\"storage\":\"file\",\"retention\":\"workqueue\",\"discard\":\"new\"}"],
            check: "webhooks.streams", verdict: Critical, found: "does not keep what is read", remedy: "Limits retention",
            mend: &["nats stream rm {stream} --force"] },
];

#[tokio::test]
async fn whatever_is_wrong_with_what_webhooks_are_kept_in_is_named_and_mended() {
    patient("hooks_kept").await.suffers_all(KEPT).await;
}

#[rustfmt::skip]
const TABLE: &[Fault] = &[
    // Once it is there, the role may not read it yet: that is told next, and mended too.
    Fault { plant: &["endpoints [webhooks]\nsource = \"table\""], check: "webhooks.table", verdict: Critical,
            found: "the table public.walpost_webhook_endpoint cannot be read: ", remedy: "run `walpost webhooks setup`", mend: &[] },
    Fault { plant: &["sql REVOKE ALL ON walpost_webhook_endpoint FROM {name}"], check: "webhooks.table", verdict: Critical,
            found: "permission denied for table walpost_webhook_endpoint",
            remedy: "GRANT SELECT ON public.walpost_webhook_endpoint TO \"{name}\";`", mend: &[] },
    Fault { plant: &["sql GRANT SELECT ON walpost_webhook_endpoint TO PUBLIC"], check: "webhooks.table", verdict: Warning,
            found: "everybody who is let into the database may read public.walpost_webhook_endpoint",
            remedy: "run `REVOKE ALL ON public.walpost_webhook_endpoint FROM PUBLIC;`", mend: &[] },
    Fault { plant: &["sql ALTER TABLE walpost_webhook_endpoint DROP COLUMN secrets"], check: "webhooks.table", verdict: Critical,
            found: "has no column secrets", remedy: "sql/webhook_endpoint.sql",
            mend: &["sql ALTER TABLE walpost_webhook_endpoint ADD COLUMN secrets text[] DEFAULT '{}'"] },
    Fault { plant: &["sql INSERT INTO walpost_webhook_endpoint (name, url, timeout) VALUES ('broken', 'https://10.0.0.1/canary', 'soon')"],
            check: "webhooks.rows", verdict: Warning, found: "the row broken is no endpoint: url: ", remedy: "mend the row",
            mend: &["sql DELETE FROM walpost_webhook_endpoint"] },
];

#[tokio::test]
async fn whatever_is_wrong_with_the_table_of_endpoints_is_named_and_mended() {
    for server in healthy_servers().await {
        let mut patient = Patient::new(server, &nats().await.url(), "hooks_table").await;
        patient.set_up_webhooks().await;
        patient.suffers_all(TABLE).await;
    }
}

#[rustfmt::skip]
const ENDPOINTS: &[Fault] = &[
    Fault { plant: &[record!("null", "1000", "[]", "\"failing_since_ms\":null,\"disabled\":null")], check: "webhooks.endpoints",
            verdict: Warning, found: "shop: nobody delivers", remedy: "start `walpost webhooks run`", mend: &[WELL] },
    Fault { plant: &[record!("\"a\"", "1000", "[]", "\"failing_since_ms\":1577836800000,\"disabled\":null")],
            check: "webhooks.endpoints", verdict: Warning, found: "shop: failing since 2020-01-01T00:00:00Z",
            remedy: "see what comes of `walpost webhooks test shop`", mend: &[WELL] },
    Fault { plant: &[WELL, "nats stream rm {stream} --force"], check: "stream", verdict: Critical, found: "does not exist",
            remedy: "run `walpost setup`", mend: &[PURGE_STATE] },
    Fault { plant: &["publish walpost_webhooks.{stream}.state.shop {\"version\":1,\"beat\":1,\"wish\":0,\"owner\":\"a\",\"read\":0,\"open\":[],\"stream_created_ns\":7,\"failing_since_ms\":null,\"disabled\":null}"],
            check: "webhooks.endpoints", verdict: Critical, found: "shop: the outbox stream was made anew",
            remedy: "run `nats stream purge {stream}_WEBHOOKS --subject=walpost_webhooks.{stream}.state.shop --force`", mend: &[] },
    Fault { plant: &["publish walpost_webhooks.{stream}.dead.shop.7"], check: "webhooks.dead_letters", verdict: Warning,
            found: "shop: 1 dead letter", remedy: "`walpost webhooks replay shop --all`", mend: &[PURGE_STATE] },
    Fault { plant: &[shop!("subjects = [\"{stream}.order.*\", \"outbax.>\"]")], check: "webhooks.subjects", verdict: Warning,
            found: "shop: the stream takes nothing that is outbax.>", remedy: "the stream takes {stream}.>", mend: &[shop!("")] },
    Fault { plant: &[shop!("subjects = [\"outbax.>\"]")], check: "webhooks.subjects", verdict: Warning,
            found: "and so nothing comes to it", remedy: "correct `subjects`", mend: &[shop!("")] },
    Fault { plant: &["endpoints [[webhooks.endpoint]]\nname = \"inner\"\nurl = \"https://localhost/canary\"\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]"],
            check: "webhooks.addresses", verdict: Warning, found: "inner: https://localhost leads to no address that may be connected to",
            remedy: "add it to `webhooks.allow_addresses`", mend: &["set WEBHOOKS_ALLOW_ADDRESSES=127.0.0.1,::1"] },
    // A name that is too long for any resolver: nobody need be asked.
    Fault { plant: &["endpoints [[webhooks.endpoint]]\nname = \"far\"\nurl = \"https://a123456789012345678901234567890123456789012345678901234567890123456789/\"\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]"],
            check: "webhooks.addresses", verdict: Warning, found: "cannot be resolved here", remedy: "correct `url`", mend: &[shop!("")] },
];

#[tokio::test]
async fn whatever_keeps_an_endpoint_from_its_events_is_named_and_mended() {
    let mut patient = patient("hooks_ends").await;
    patient.suffers_all(ENDPOINTS).await;
}

#[rustfmt::skip]
const RETENTION: &[Fault] = &[
    Fault { plant: &["nats stream edit {stream} --max-age=1h --force"], check: "webhooks.retention", verdict: Warning,
            found: "shop: its retries take 1 d 3 h, and the stream drops events after 1 h 0 min",
            remedy: "run `nats stream edit {stream} --max-age=30d --force`", mend: &[] },
    // Message 1 waits for an attempt in a hundred years.
    Fault { plant: &["publish {stream}.a.b", record!("\"a\"", "1", "[[1,1,5000000000000]]", "\"failing_since_ms\":null,\"disabled\":null")],
            check: "webhooks.retention", verdict: Critical, found: "and the stream drops it after 30 d 0 h, before it is tried again",
            remedy: "run `nats stream edit {stream} --max-age=60d --force`", mend: &[PURGE, WELL] },
    Fault { plant: &[record!("\"a\"", "1", "[[1,1,1]]", "\"failing_since_ms\":null,\"disabled\":null")], check: "webhooks.retention",
            verdict: Critical, found: "shop: one event that waits was dropped by the stream", remedy: "--max-age=60d", mend: &[WELL] },
    Fault { plant: &["nats stream edit {stream} --max-age=0s --force", record!("\"a\"", "1", "[[1,1,1]]", "\"failing_since_ms\":null,\"disabled\":null")],
            check: "webhooks.retention", verdict: Critical, found: "shop: one event that waits was dropped by the stream",
            remedy: "let nobody purge it", mend: &[WELL] },
    Fault { plant: &["nats stream edit {stream} --discard=old --max-msgs=2 --force", "publish {stream}.a.b", "publish {stream}.a.b",
                     record!("\"a\"", "1", "[]", "\"failing_since_ms\":null,\"disabled\":null")],
            check: "webhooks.retention", verdict: Critical, found: "shop: the stream is full, and drops the oldest event that waits for it after 0 others",
            remedy: "run `nats stream edit {stream} --discard=new --force`", mend: &[PURGE, WELL] },
];

#[tokio::test]
async fn events_that_the_stream_will_drop_before_they_are_delivered_are_told() {
    let mut patient = patient("hooks_lost").await;
    patient.suffers_all(RETENTION).await;

    // Half of its time has passed, then nearly all of it.
    for (ages, verdict) in [(halfway as fn(&mut Survey), Warning), (nearly, Critical)] {
        patient.act("nats stream edit {stream} --max-age=100d --force").await;
        patient.act("publish {stream}.a.b").await;
        patient.act(record!("\"a\"", "1", "[]", "\"failing_since_ms\":null,\"disabled\":null")).await;
        patient.ages = ages;
        let fault = Fault {
            plant: &[],
            check: "webhooks.retention",
            verdict,
            found: "and the stream drops it after 100 d 0 h",
            remedy: "run `nats stream edit {stream} --max-age=200d --force`",
            mend: &[PURGE, WELL],
        };
        patient.suffers(&fault).await;
    }
}

fn halfway(survey: &mut Survey) {
    later(survey, 60);
}

fn nearly(survey: &mut Survey) {
    later(survey, 95);
}

/// As if one looked so many days later, and the owner had written all the time.
fn later(survey: &mut Survey, days: u64) {
    let side = survey.webhooks.as_mut().unwrap();
    side.at += Duration::from_secs(days * 86_400);
    side.lease = Duration::from_secs(days * 86_400);
}

#[tokio::test]
async fn an_endpoint_that_is_disabled_is_told_and_the_remedy_enables_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(async || ""))).await });
    let mut patient = patient("hooks_off").await;
    let file = format!(
        "endpoints [webhooks]\nallow_addresses = \"127.0.0.1\"\n[[webhooks.endpoint]]\nname = \"shop\"\nurl = \"{url}\"\n\
         plain_http = true\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]"
    );
    patient.act(&file).await;
    let disabled = record!(
        "null",
        "0",
        "[]",
        "\"failing_since_ms\":1,\"disabled\":{\"by\":\"failing\",\"at_ms\":1577836800000,\"is_told\":true}"
    );
    patient.act(disabled).await;
    let told = patient.complaints().await;
    let expected = "Warning webhooks.endpoints: shop: disabled: nothing was delivered for too long | mend what `walpost webhooks \
                    test shop` finds, then run `walpost webhooks enable shop`";
    assert_eq!(told, [expected]);
    // Whoever delivers grants the wish.
    let mut worker = Command::new(env!("CARGO_BIN_EXE_walpost"));
    worker.args(["webhooks", "run"]).env_clear().current_dir(std::env::temp_dir()).kill_on_drop(true);
    for (name, value) in &patient.settings {
        worker.env(format!("WALPOST_{name}"), value);
    }
    let mut worker = worker.env("WALPOST_ADMIN_LISTEN", "127.0.0.1:0").stderr(Stdio::null()).spawn().unwrap();
    patient.treat().await;
    wait::until("nothing is wrong any more", async || patient.complaints().await.is_empty()).await;
    worker.kill().await.unwrap();
    server.abort();
}

#[tokio::test]
async fn rights_that_webhooks_lack_are_told_with_the_line_that_gives_them() {
    let permissions = json!({ "publish": { "allow": ["*.>", "$JS.API.>"], "deny": ["walpost_webhooks.>", "$JS.API.STREAM.PURGE.>"] } });
    let users = json!([{ "user": "root", "password": "root" }, { "user": "relay", "password": "p", "permissions": permissions }]);
    let broker =
        PrivateNats::start(NatsOptions::default().extra("authorization", json!({ "users": users }))).await.unwrap();
    let url = |login: &str| broker.url().replace("nats://", &format!("nats://{login}@"));
    let mut patient = Patient::new(healthy_servers().await.first().unwrap(), &url("root:root"), "hooks_may").await;
    patient.act(shop!("")).await;
    patient.set_up_webhooks().await;
    assert_eq!(patient.complaints().await, Vec::<String>::new());
    patient.act(&format!("set NATS_URL={}", url("relay:p"))).await;
    let report = patient.examine().await;
    let finding = report.findings().iter().find(|finding| finding.check.id() == "webhooks.rights").unwrap();
    assert_eq!(finding.verdict, Critical);
    let stream = &patient.stream;
    let lacking = format!("\"walpost_webhooks.{stream}.>\", \"$JS.API.STREAM.PURGE.{stream}_WEBHOOKS\"");
    assert_eq!(finding.found, format!("the NATS user may not publish to {lacking}"));
    assert!(finding.remedy.as_ref().unwrap().contains(&format!("allow it `publish: [{lacking}]`")), "{finding:?}");
}
