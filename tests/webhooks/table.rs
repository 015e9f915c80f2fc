//! Endpoints that are rows of a table: they come, change and go while events flow.

use std::collections::BTreeSet;

use crate::{
    hooks::{Hook, Hooks, SECRET},
    place::{AT_ONCE, Place},
    support::{
        daemon::Daemon,
        world::{connect, try_connect},
    },
    wait,
};

/// What is shipped.
const ROLES: &str = include_str!("../../sql/roles.sql");
/// Another secret than that of the receivers.
const OTHER: &str = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ";
/// Retries that come at once, for as long as any test takes.
const OFTEN: (&str, &str) = ("retries", "array_fill('200ms'::text, ARRAY[100])");

/// Whether a worker knows an endpoint.
async fn knows(worker: &Daemon, endpoint: &str) -> bool {
    let metrics = worker.get("/metrics").await.unwrap().body;
    metrics.contains(&format!("walpost_webhooks_held{{endpoint=\"{endpoint}\"}}"))
}

/// Waits until both workers know an endpoint, or until none does.
async fn until_known(workers: &[Daemon; 2], endpoint: &str, known: bool) {
    wait::until(&format!("{endpoint} is known: {known}"), async || {
        knows(&workers[0], endpoint).await == known && knows(&workers[1], endpoint).await == known
    })
    .await;
}

/// Two workers that have read the table.
async fn two_workers(place: &Place) -> [Daemon; 2] {
    let workers = [place.worker(), place.worker()];
    for worker in &workers {
        wait::until("the table is read", async || {
            worker.get("/ready").await.is_some_and(|page| page.code == 200 && page.body == "delivering to 0 of 0\n")
        })
        .await;
    }
    workers
}

#[tokio::test]
async fn endpoints_come_change_are_disabled_and_go_while_events_flow_and_two_workers_agree() {
    let place = Place::set_with_table().await;
    let workers = two_workers(&place).await;
    let (first, second, moved) =
        (Hooks::start(200, AT_ONCE).await, Hooks::start(200, AT_ONCE).await, Hooks::start(200, AT_ONCE).await);
    place.insert("a", &first.url(), &[("ordering", "'aggregate'")]).await;
    place.insert("b", &second.url(), &[("subjects", "'{outbox.order.*}'")]).await;
    place.until_begun(2).await;
    place.record(40, 3).await;
    let all = async || place.committed().await;
    wait::until("both have everything", async || {
        let all = all().await;
        first.taken() == all && second.taken() == all
    })
    .await;

    // Another receiver, while events flow: each is at one of the two.
    place.update("a", &format!("url = '{}'", moved.url())).await;
    wait::until("the other receiver gets events", async || {
        place.record(5, 3).await;
        !moved.taken().is_empty()
    })
    .await;
    place.record(20, 3).await;
    wait::until("each event is somewhere", async || {
        first.taken().union(&moved.taken()).cloned().collect::<BTreeSet<_>>() == all().await
    })
    .await;
    for before in first.all() {
        let is_behind = |hook: &Hook| hook.aggregate != before.aggregate || hook.sequence >= before.sequence;
        assert!(moved.all().iter().all(is_behind), "the order of {} is kept", before.aggregate);
    }

    // Not enabled: nothing comes, and everything comes afterwards.
    wait::until("b has everything", async || second.taken() == all().await).await;
    place.update("b", "enabled = false").await;
    until_known(&workers, "b", false).await;
    let before = second.all().len();
    place.record(10, 3).await;
    wait::until("a has them", async || {
        first.taken().union(&moved.taken()).cloned().collect::<BTreeSet<_>>() == all().await
    })
    .await;
    assert_eq!(second.all().len(), before);
    place.update("b", "enabled = true").await;
    wait::until("b has everything again", async || second.taken() == all().await).await;

    // Gone, and back: its state was left in peace.
    place.stage.commit("DELETE FROM walpost_webhook_endpoint WHERE name = 'b'").await;
    until_known(&workers, "b", false).await;
    let listed = place.run(&["webhooks", "list"]).await;
    assert!(listed.contains("\na ") && !listed.contains("\nb "), "{listed}");
    place.record(10, 3).await;
    place.insert("b", &second.url(), &[]).await;
    wait::until("b has what came meanwhile", async || second.taken() == all().await).await;

    let logs = workers.each_ref().map(Daemon::log);
    for log in &logs {
        assert!(
            log.contains("an endpoint is in the table") && log.contains("the endpoint changed in the table"),
            "{log}"
        );
        assert!(log.contains("the endpoint is in the table no more"), "{log}");
    }
    for worker in workers {
        assert_eq!(worker.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_row_that_is_wrong_is_told_with_all_that_is_and_stops_nobody_else() {
    let place = Place::set_with_table().await;
    let (good, broken) = (Hooks::start(200, AT_ONCE).await, Hooks::start(200, AT_ONCE).await);
    place.insert("good", &good.url(), &[]).await;
    place
        .insert(
            "broken",
            &broken.url(),
            &[("format", "'xml'"), ("timeout", "'soon'"), ("headers", "'{\"Host\": \"canary\"}'")],
        )
        .await;
    place.update("broken", "secrets = '{canary}'").await;
    let worker = place.worker();
    place.until_begun(1).await;
    place.record(10, 2).await;
    wait::until("the good one has everything", async || good.taken() == place.committed().await).await;

    let wrong = "secrets: a signing secret begins with whsec_, or with whsk_ if it is an Ed25519 key; headers: `Host`: walpost sets \
                 this header itself; format: `xml` is not one of raw, envelope, cloudevents; timeout: `soon` is not a duration";
    let log = worker.log();
    let lines: Vec<_> =
        log.lines().filter(|line| line.contains("a row of the table is no endpoint, and not served")).collect();
    assert!(matches!(&lines[..], [line] if line.contains("\"endpoint\":\"broken\"") && line.contains(wrong)), "{log}");
    let metrics = worker.get("/metrics").await.unwrap().body;
    assert!(metrics.contains("\nwalpost_webhooks_refused_endpoints 1\n"), "{metrics}");
    assert!(metrics.contains("\nwalpost_webhooks_table_read_timestamp_seconds 1"), "{metrics}");
    let listed = place.run(&["webhooks", "list"]).await;
    for part in
        ["broken    -", "wrong, not served", "The row broken of the table is no endpoint:\n  secrets: a signing secret"]
    {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let listed = place.run(&["webhooks", "list", "--format", "json"]).await;
    let rows: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(rows[1]["problems"].as_array().unwrap().len(), 4, "{listed}");
    let status = place.status().await;
    assert_eq!(status["webhooks"]["endpoints"].as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(status["webhooks"]["refused"][0]["problems"], rows[1]["problems"], "{status:#}");
    assert!(place.status_text().await.contains("\nwebhooks    broken: wrong, not served, secrets: a signing secret"));
    let refused = place.settings().run(&["webhooks", "test", "broken"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("the row of that name is no endpoint: secrets: "), "{}", refused.stderr);
    assert!(![&log, &metrics, &listed, &refused.stderr].iter().any(|text| text.contains("canary")));

    // Mended, it is served; broken again, its events wait.
    let mended = format!("secrets = '{{{SECRET}}}', format = NULL, timeout = NULL, headers = NULL");
    place.update("broken", &mended).await;
    place.until_begun(2).await;
    place.record(5, 2).await;
    wait::until("it gets events", async || broken.taken().len() == 5).await;
    place.update("broken", "url = 'http://10.0.0.1/'").await;
    wait::until("it is served no more", async || !knows(&worker, "broken").await).await;
    place.record(5, 2).await;
    wait::until("the good one has everything", async || good.taken() == place.committed().await).await;
    assert_eq!(broken.all().len(), 5);
    place.update("broken", &format!("url = '{}'", broken.url())).await;
    wait::until("it gets what waited", async || broken.taken().len() == 10).await;
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn a_port_that_endpoints_may_not_have_is_told_wherever_one_looks_and_nothing_is_sent_there() {
    let place = Place::set_with_table().await;
    let hooks = Hooks::start(200, AT_ONCE).await;
    place.insert("a", &hooks.url(), &[]).await;
    let narrow = place.settings().with("WEBHOOKS_ALLOW_PORTS", "443, 8443");
    let worker = narrow.start_with(&["webhooks", "run"]);
    let problem = format!("url: port {} is not one that endpoints may have", hooks.port());
    wait::until("it is told", async || worker.log().contains(&problem)).await;
    let hint = "webhooks.allow_ports says which they may have; now 443, 8443";
    let listed = narrow.run(&["webhooks", "list"]).await.stdout;
    assert!(listed.contains(&format!("{problem} ({hint})")), "{listed}");
    let refused = narrow.run(&["webhooks", "test", "a"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains(&problem), "{}", refused.stderr);
    assert!(refused.stderr.contains(hint) && hooks.all().is_empty(), "{}", refused.stderr);
    assert_eq!(worker.terminate().await, 0);
    assert!(place.run(&["webhooks", "test", "a"]).await.starts_with("delivered"));
}

#[tokio::test]
async fn secrets_are_exchanged_without_a_restart_and_are_nowhere_to_be_read() {
    let place = Place::set_with_table().await;
    let hooks = Hooks::start(200, AT_ONCE).await;
    place.insert("a", &hooks.url(), &[OFTEN]).await;
    let worker = place.worker();
    place.until_begun(1).await;
    let signatures =
        || hooks.all().last().map_or(0, |hook| hook.headers["webhook-signature"].to_str().unwrap().split(' ').count());
    let record_until = async |what: &str, holds: &dyn Fn() -> bool| {
        wait::until(what, async || {
            place.record(1, 1).await;
            holds()
        })
        .await;
    };
    record_until("signed with one", &|| signatures() == 1).await;
    place.update("a", &format!("secrets = secrets || '{OTHER}'::text")).await;
    record_until("signed with both", &|| signatures() == 2).await;
    assert!(hooks.all().iter().all(|hook| hook.status == 200), "either is accepted");
    // The receiver here knows the first one only: that it refuses shows that the first one is gone.
    place.update("a", "secrets = secrets[2:]").await;
    record_until("signed with the other", &|| signatures() == 1 && hooks.all().last().unwrap().status == 401).await;
    place.update("a", &format!("secrets = '{{{SECRET}}}'")).await;
    wait::until("everything arrives", async || hooks.taken() == place.committed().await).await;
    let told = [worker.log(), place.run(&["webhooks", "list"]).await, place.run(&["webhooks", "show", "a"]).await];
    for text in told {
        for secret in [SECRET, OTHER] {
            assert!(!text.contains(secret.trim_start_matches("whsec_")), "{text}");
        }
    }
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn while_postgres_is_away_whoever_was_known_is_served() {
    let mut place = Place::set_with_table().await;
    let (hooks, late) = (Hooks::start(500, AT_ONCE).await, Hooks::start(200, AT_ONCE).await);
    place.insert("a", &hooks.url(), &[OFTEN]).await;
    let worker = place.worker();
    place.until_begun(1).await;
    place.record(10, 2).await;
    let all = place.committed().await;
    place.stage.until_stored(10).await;
    wait::until("an attempt fails", async || !hooks.all().is_empty()).await;
    place.stage.postgres.kill().await.unwrap();
    wait::until("it is told", async || worker.log().contains("endpoints stay as they were known last")).await;
    hooks.answer(200);
    wait::until("everything arrives without Postgres", async || hooks.taken() == all).await;
    assert_eq!(worker.get("/ready").await.unwrap().code, 200);

    // One that begins now knows nobody, says so, and goes on when the table can be read.
    let novice = place.worker();
    wait::until("the novice waits", async || {
        novice.get("/ready").await.is_some_and(|page| page.code == 503 && page.body == "waiting for the endpoints\n")
    })
    .await;
    place.stage.postgres.restart().await.unwrap();
    let url = place.stage.postgres.url();
    wait::until("Postgres lets us in", async || try_connect(&url).await.is_ok()).await;
    place.stage.client = connect(&url).await;
    place.insert("late", &late.url(), &[("start", "'all'")]).await;
    wait::until("both know the new one", async || knows(&worker, "late").await && knows(&novice, "late").await).await;
    wait::until("the new one has everything", async || late.taken() == all).await;
    assert!(worker.log().contains("the table of endpoints is read again"), "{}", worker.log());
    for worker in [worker, novice] {
        assert_eq!(worker.terminate().await, 0);
    }
}

#[tokio::test]
async fn the_right_to_read_that_one_table_is_all_that_a_worker_needs() {
    let place = Place::set_with_table().await;
    place.stage.commit(ROLES).await;
    let hooks = Hooks::start(200, AT_ONCE).await;
    place.insert("a", &hooks.url(), &[]).await;
    let url = place.stage.postgres.url_for("walpost_webhooks", "postgres");
    let worker = place.settings().with("POSTGRES_URL", &url).start_with(&["webhooks", "run", "--setup"]);
    place.until_begun(1).await;
    place.record(5, 2).await;
    wait::until("everything arrives", async || hooks.taken() == place.committed().await).await;
    let role = connect(&url).await;
    for sql in [
        "UPDATE walpost_webhook_endpoint SET enabled = false",
        "DELETE FROM walpost_webhook_endpoint",
        "SELECT FROM outbox",
        "SELECT FROM walpost_watermark",
        "CREATE TABLE mine ()",
    ] {
        let refused = role.batch_execute(sql).await.unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("42501"), "{sql}");
    }
    // Without it, the log says what to grant.
    place.stage.commit("REVOKE SELECT ON walpost_webhook_endpoint FROM walpost_webhooks").await;
    wait::until("it is told", async || worker.log().contains("grant this role SELECT on the table")).await;
    place.record(5, 2).await;
    wait::until("everything arrives all the same", async || hooks.taken() == place.committed().await).await;
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn a_view_over_tables_of_the_application_does_too_and_other_columns_are_its_own() {
    let place = Place::set_with_table().await;
    let hooks = Hooks::start(200, AT_ONCE).await;
    let sql = format!(
        "CREATE TABLE customer (id int, hook text, note text);
         INSERT INTO customer VALUES (7, '{}', 'first'), (8, 'https://example.com', NULL), (8, 'https://example.com', NULL);
         CREATE VIEW hooks AS SELECT 'customer-' || id AS name, hook AS url, true AS plain_http, ARRAY['{SECRET}'] AS secrets,
                                     note, 'nowhere' AS secret_files FROM customer",
        hooks.url()
    );
    place.stage.commit(&sql).await;
    let worker = place.settings().with("WEBHOOKS_TABLE", "hooks").start_with(&["webhooks", "run"]);
    wait::until("both are known", async || {
        worker.get("/ready").await.is_some_and(|page| page.body.ends_with("of 2\n"))
    })
    .await;
    wait::until("the first is held", async || {
        worker.get("/metrics").await.unwrap().body.contains("walpost_webhooks_held{endpoint=\"customer-7\"} 1")
    })
    .await;
    place.record(5, 2).await;
    wait::until("everything arrives", async || hooks.taken() == place.committed().await).await;
    assert!(worker.log().contains("name: `customer-8` is the name of another endpoint"), "{}", worker.log());
    // What is not an endpoint's interrupts nobody: the worker that delivers is still the one that began.
    place
        .stage
        .commit("UPDATE customer SET note = 'second'; UPDATE customer SET hook = hook || '/x' WHERE id = 8")
        .await;
    wait::until("the change of the other is seen", async || worker.log().contains("the endpoint changed in the table"))
        .await;
    let changed = "\"endpoint\":\"customer-7\",\"level\":\"INFO\",\"message\":\"the endpoint changed in the table\"";
    assert!(!worker.log().contains(changed), "{}", worker.log());
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn a_table_that_somebody_locks_leaves_no_sessions_behind_and_concerns_nobody_who_is_known() {
    let place = Place::set_with_table().await;
    let hooks = Hooks::start(200, AT_ONCE).await;
    place.insert("a", &hooks.url(), &[]).await;
    let worker = place.worker();
    place.until_begun(1).await;
    let locker = connect(&place.stage.postgres.url()).await;
    locker.batch_execute("BEGIN; LOCK walpost_webhook_endpoint").await.unwrap();
    wait::until("it is told", async || worker.log().contains("canceling statement due to statement timeout")).await;
    let waiting = "SELECT count(*) FROM pg_locks
                   WHERE relation = 'walpost_webhook_endpoint'::regclass AND NOT granted";
    let waiting = async || place.stage.client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0);
    wait::until("it looks again", async || waiting().await > 0).await;
    place.record(5, 2).await;
    wait::until("everything arrives", async || hooks.taken() == place.committed().await).await;
    assert_eq!(waiting().await, 1);
    locker.batch_execute("COMMIT").await.unwrap();
    place.update("a", "ordering = 'aggregate'").await;
    wait::until("the change is seen", async || worker.log().contains("the endpoint changed in the table")).await;
    assert_eq!(worker.terminate().await, 0);
}
