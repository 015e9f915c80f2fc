//! The admin port: what it says while events are delivered, and that delivery does not depend on it.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    daemon::{Daemon, Page, Settings, free_address},
    stage::Stage,
    stream::Reader,
    wait,
    world::{connect, database, nats, newest, own_postgres},
};

/// As many events as the tests count.
const EVENTS: u64 = 500;

/// Each event has values that would be seen if one of them became a label or was logged.
const INSERT: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT gen_random_uuid(), 'canary_type', 'canary_' || n, 'canary_event', jsonb_build_object('canary', n),
           '{\"canary\": \"canary\", \"Nats-Rollup\": \"canary\"}' FROM generate_series(1, 500) n";

/// Labels that may occur, each with a closed set of values.
const LABELS: [&str; 8] = ["code", "version", "phase", "stage", "reason", "status", "for", "le"];
/// No more samples than this, whatever happens (a closed set for each label).
const MOST_SAMPLES: usize = 200;

/// Sets everything up in a database of this name, and delivers.
async fn deliver(name: &str, settings: impl FnOnce(Settings) -> Settings) -> (Daemon, Reader) {
    let url = database(newest().await, name).await;
    let broker = Box::leak(Box::new(nats().await));
    let settings = settings(Settings::new(&url, &broker.url()).with("POSTGRES_SLOT", name));
    settings.set_up().await;
    connect(&url).await.batch_execute(INSERT).await.unwrap();
    let daemon = settings.start();
    let reader = Reader::connect(&broker.url(), "OUTBOX").await;
    wait::until("all events are stored", async || reader.last_sequence().await == EVENTS).await;
    (daemon, reader)
}

async fn page(daemon: &Daemon, path: &str) -> Page {
    daemon.get(path).await.unwrap_or_else(|| panic!("{path} does not answer: {}", daemon.log()))
}

/// Waits until the daemon has heard that everything is stored, and told Postgres.
async fn settled(daemon: &Daemon) -> Value {
    let settled = wait::some("everything is confirmed", async || {
        daemon.status().await.filter(|status| status["events"]["stored"] == EVENTS && status["lag"]["bytes"] == 0)
    });
    settled.await
}

#[tokio::test]
async fn the_admin_port_tells_how_delivery_stands() {
    let (daemon, _reader) = deliver("admin_status", |settings| settings).await;
    let live = page(&daemon, "/live").await;
    assert_eq!((live.code, live.body.as_str()), (200, "live\n"));
    let ready = page(&daemon, "/ready").await;
    assert_eq!((ready.code, ready.body.as_str()), (200, "leading\n"));
    assert_eq!(page(&daemon, "/nothing").await.code, 404);

    let status = settled(&daemon).await;
    assert_eq!((&status["phase"], &status["ready"]), (&"leading".into(), &true.into()));
    assert_eq!((&status["transactions"], &status["headers_dropped"]), (&1.into(), &EVENTS.into()));
    assert_eq!((&status["events"]["in_flight"], &status["events"]["duplicates"]), (&0.into(), &0.into()));
    assert_eq!((&status["rows"]["skipped"], &status["rows"]["ignored"]), (&0.into(), &0.into()));
    assert_eq!(status["lag"]["seconds"], 0.0);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    for stage in ["server", "received", "published", "confirmed"] {
        let lsn: walpost::lsn::Lsn = status["lsn"][stage].as_str().unwrap().parse().unwrap();
        assert!(lsn.is_valid(), "{stage} {lsn}");
    }
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn metrics_are_open_metrics_and_count_every_event_without_showing_one() {
    let (daemon, _reader) = deliver("admin_metrics", |settings| settings.with("LOG_LEVEL", "debug")).await;
    settled(&daemon).await;
    let Page { code, head, body } = page(&daemon, "/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    let samples = samples(&body);
    for (name, value) in [
        ("walpost_events_stored_total", EVENTS),
        ("walpost_headers_dropped_total", EVENTS),
        ("walpost_transactions_received_total", 1),
        ("walpost_rows_skipped_total", 0),
        ("walpost_duplicates_total", 0),
        ("walpost_in_flight_messages", 0),
        ("walpost_lag_bytes", 0),
        ("walpost_commit_to_stored_seconds_count", EVENTS),
        ("walpost_phase{phase=\"leading\"}", 1),
        ("walpost_ready", 1),
        ("walpost_terms_total", 1),
        ("walpost_messages_sent_total", EVENTS),
        ("walpost_slot_active", 1),
        ("walpost_slot_status{status=\"reserved\"}", 1),
        ("walpost_log_lines_dropped_total", 0),
    ] {
        let found = samples.iter().find(|(sample, _)| *sample == name).unwrap_or_else(|| panic!("no {name}: {body}"));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let expected = value as f64;
        assert!((found.1 - expected).abs() < f64::EPSILON, "{found:?} instead of {value}");
    }
    assert!(samples.len() < MOST_SAMPLES, "{} samples", samples.len());
    let value = |name: &str| samples.iter().find(|(sample, _)| *sample == name).map(|(_, value)| *value);
    assert!(value("walpost_slot_retained_bytes") > Some(0.0));
    assert_eq!(value("walpost_slot_safe_bytes"), None, "there is no limit");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    for moment in ["start", "confirmed", "stored", "slot_seen"] {
        let age = now - value(&format!("walpost_{moment}_timestamp_seconds")).unwrap();
        assert!((-60.0..60.0).contains(&age), "{moment} {age}");
    }
    // Nothing from the rows is shown: not as a label, not on another page, not in the log.
    let pages = [body, page(&daemon, "/status").await.body];
    assert!(!pages.concat().contains("canary"));
    let allowed = daemon.log().replace("\"slot\":\"admin_metrics\"", "");
    assert!(!allowed.contains("canary"), "{allowed}");
    assert_eq!(daemon.terminate().await, 0);
}

/// All samples of the OpenMetrics text, whose form is checked line by line
/// (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
fn samples(text: &str) -> Vec<(&str, f64)> {
    let lines = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}")).lines();
    let (mut samples, mut families, mut kinds) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, family, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
            assert!(["HELP", "TYPE", "UNIT"].contains(&word) && !rest.is_empty(), "{line}");
            assert!(kinds.insert((word, family)), "twice: {line}");
            families.insert(family);
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
        assert!(metric.starts_with("walpost_"), "{line}");
        assert!(families.iter().any(|family| metric.starts_with(family)), "no family for {line}");
        for label in labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty()) {
            let (label, quoted) = label.split_once('=').unwrap();
            assert!(LABELS.contains(&label) && quoted.starts_with('"') && quoted.ends_with('"'), "{line}");
        }
        assert!(samples.iter().all(|(other, _)| *other != name), "twice: {line}");
        samples.push((name, value));
    }
    samples
}

#[tokio::test]
async fn a_standby_says_so_is_ready_and_shows_how_much_log_the_slot_holds_back() {
    let stage = Stage::set(own_postgres(&[("max_slot_wal_keep_size", "1GB")]).await, |settings| settings).await;
    let leader = stage.settings.lead().await;
    let standby = stage.settings.clone().with("ADMIN_LISTEN", &free_address().to_string()).start();
    standby.until_phase("standby").await;
    let ready = page(&standby, "/ready").await;
    assert_eq!((ready.code, ready.body.as_str()), (200, "standby\n"));
    let has = |body: &str, line: &str| body.lines().any(|found| found == line);
    let body = page(&standby, "/metrics").await.body;
    for line in
        ["walpost_ready 1", "walpost_phase{phase=\"standby\"} 1", "walpost_slot_active 1", "walpost_terms_total 0"]
    {
        assert!(has(&body, line), "no {line}: {body}");
    }
    let value = |name| samples(&body).iter().find(|(sample, _)| *sample == name).map(|(_, value)| *value);
    let (retained, safe) = (value("walpost_slot_retained_bytes").unwrap(), value("walpost_slot_safe_bytes").unwrap());
    assert!(retained > 0.0 && safe > 1e8 && safe < 2e9, "{retained} {safe}");
    assert!(value("walpost_lag_bytes").unwrap().abs() < 1.0, "who does not lead has no lag: {body}");

    assert_eq!(leader.terminate().await, 0);
    standby.until_phase("leading").await;
    assert!(has(&page(&standby, "/metrics").await.body, "walpost_terms_total 1"));
    assert_eq!(standby.terminate().await, 0);
}

#[tokio::test]
async fn delivery_goes_on_without_the_admin_port() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (daemon, reader) = deliver("admin_taken", |settings| settings.with("ADMIN_LISTEN", &address)).await;
    let log = daemon.log();
    assert!(log.contains("the admin port cannot be opened; delivery goes on without it"), "{log}");
    assert!(log.contains(&address) && log.contains("an admin.listen of its own"), "{log}");
    assert_eq!(reader.count().await, EVENTS);
    assert_eq!(daemon.terminate().await, 0);
}
