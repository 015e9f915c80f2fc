//! Endpoints that fail: dead letters, disabling, and nobody else who notices.

use async_nats::jetstream::stream::RetentionPolicy;
use serde_json::Value;

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, Place, endpoint},
    wait,
};

#[tokio::test]
async fn what_an_endpoint_never_takes_becomes_a_dead_letter_and_others_do_not_notice() {
    let (good, bad) = (Hooks::start(200, AT_ONCE).await, Hooks::start(500, AT_ONCE).await);
    let endpoints = [
        endpoint("good", &good.url(), "start = \"all\""),
        endpoint("bad", &bad.url(), "start = \"all\"\nretries = [\"10ms\", \"20ms\"]\nmax_waiting = 5"),
        endpoint("ordered", &bad.url(), "start = \"all\"\nretries = [\"10ms\"]\nordering = \"aggregate\""),
        endpoint("nowhere", "http://127.0.0.1:1/", "start = \"all\"\nretries = []"),
    ];
    let place = Place::set(&endpoints.concat()).await;
    let worker = place.worker();
    place.record(40, 3).await;
    let expected = place.committed().await;
    wait::until("the good one has everything", async || good.taken() == expected).await;
    for (name, attempts, reason) in
        [("bad", "3", "server_error"), ("ordered", "2", "server_error"), ("nowhere", "1", "unreachable")]
    {
        wait::until("everything is a dead letter", async || place.dead(name).await.len() == 40).await;
        for letter in place.dead(name).await {
            assert!(expected.contains(letter.header("Walpost-Event-Id")));
            assert_eq!((letter.header("Walpost-Attempts"), letter.header("Walpost-Reason")), (attempts, reason));
            assert!(serde_json::from_slice::<Value>(&letter.body).unwrap()["n"].is_number());
        }
        wait::until("nothing is open", async || place.state(name).await["open"] == 0).await;
    }
    assert_eq!(bad.all().len(), 40 * 5);
    let id = bad.all()[0].id.clone();
    let table = place.run(&["webhooks", "attempts", &id]).await;
    assert!(table.contains("dead letter") && table.contains("server_error"), "{table}");
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_keeps_its_events_and_goes_on_when_it_is_enabled() {
    let hooks = Hooks::start(200, AT_ONCE).await;
    let more = "start = \"all\"\nordering = \"aggregate\"\nretries = [\"1h\"]\nconcurrency = 1";
    let place = Place::set(&endpoint("a", &hooks.url(), more)).await;
    let mut worker = place.worker();
    place.record(10, 1).await;
    wait::until("ten are taken", async || hooks.taken().len() == 10).await;
    hooks.answer(410);
    place.record(10, 1).await;
    wait::until("it is disabled", async || place.state("a").await["disabled"]["by"] == "gone").await;
    wait::until("the log tells of it", async || place.state("a").await["disabled"]["is_told"] == true).await;
    let asked = hooks.all().len();
    assert_eq!(asked, 11);
    wait::until("the metrics tell of what waits", async || {
        let metrics = worker.get("/metrics").await.unwrap().body;
        let disabled = metrics.contains("walpost_webhooks_disabled{endpoint=\"a\"} 1\n");
        disabled && metrics.contains("walpost_webhooks_oldest_open_timestamp_seconds{endpoint=\"a\"} 1")
    })
    .await;
    // More than anybody keeps at hand, while nothing is read.
    place.record(100, 1).await;
    wait::until("the metrics tell of what is not read", async || {
        let metrics = worker.get("/metrics").await.unwrap().body;
        let unread =
            metrics.lines().find_map(|line| line.strip_prefix("walpost_webhooks_unread_events{endpoint=\"a\"} "));
        unread.unwrap().parse::<u64>().unwrap() > 50
    })
    .await;
    // Not even by somebody who comes anew.
    worker.kill().await;
    let worker = place.worker();
    wait::until("the new one holds it", async || {
        worker.get("/ready").await.is_some_and(|page| page.body == "delivering to 1 of 1\n")
    })
    .await;
    assert_eq!((place.state("a").await["disabled"]["by"].as_str(), hooks.all().len()), (Some("gone"), asked));
    hooks.answer(200);
    assert!(place.run(&["webhooks", "enable", "a"]).await.starts_with("enabled  a"));
    wait::until("everything is taken", async || hooks.taken() == place.committed().await).await;
    hooks.assert_order(&place.sequences().await);

    assert!(place.run(&["webhooks", "disable", "a"]).await.starts_with("disabled  a"));
    wait::until("it is disabled", async || place.state("a").await["disabled"]["by"] == "wish").await;
    let before = hooks.all().len();
    place.record(5, 1).await;
    place.run(&["webhooks", "enable", "a"]).await;
    wait::until("everything is taken", async || hooks.taken() == place.committed().await).await;
    assert_eq!(hooks.all().len(), before + 5);
}

#[tokio::test]
async fn an_endpoint_that_fails_for_too_long_is_disabled_and_events_that_the_stream_lost_become_dead_letters() {
    let hooks = Hooks::start(500, AT_ONCE).await;
    let more = "start = \"all\"\nretries = [\"300ms\", \"1h\"]\ndisable_after = \"200ms\"";
    let place = Place::set(&endpoint("a", &hooks.url(), more)).await;
    let worker = place.worker();
    place.record(3, 1).await;
    wait::until("it is disabled", async || place.state("a").await["disabled"]["by"] == "failing").await;
    place.stage.reader.purge().await;
    hooks.answer(200);
    place.run(&["webhooks", "enable", "a"]).await;
    wait::until("what is gone is told", async || place.dead("a").await.len() == 3).await;
    assert!(place.dead("a").await.iter().all(|letter| letter.header("Walpost-Reason") == "not_in_stream"));
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn dead_letters_are_sent_again_even_if_the_stream_has_lost_their_events() {
    let hooks = Hooks::start(500, AT_ONCE).await;
    let more = "start = \"all\"\nretries = []\nordering = \"aggregate\"";
    let place = Place::set(&endpoint("a", &hooks.url(), more)).await;
    let mut worker = place.worker();
    place.record(12, 2).await;
    wait::until("all are dead", async || place.dead("a").await.len() == 12).await;
    wait::until("nothing is open", async || place.state("a").await["open"] == 0).await;
    place.stage.reader.purge().await;
    let table = place.run(&["webhooks", "dead", "a"]).await;
    assert_eq!(table.matches("server_error").count(), 12, "{table}");

    // Once more in vain: the letters stay, with their payloads.
    assert!(place.run(&["webhooks", "replay", "a", "--all"]).await.starts_with("sent again  12 events to a"));
    wait::until("all were sent again", async || hooks.all().len() == 24).await;
    wait::until("nothing is open", async || place.state("a").await["open"] == 0).await;
    assert_eq!(place.dead("a").await.len(), 12);

    // Nobody is there when it is wished; two wishes are both granted.
    worker.kill().await;
    hooks.answer(200);
    let some: Vec<String> = place.committed().await.into_iter().take(2).collect();
    place.run(&["webhooks", "replay", "a", &some[0]]).await;
    place.run(&["webhooks", "replay", "a", &some[1]]).await;
    let answer = place.settings().run(&["webhooks", "replay", "a", "nobody"]).await;
    assert_eq!((answer.code, answer.stderr.contains("no dead letter of event nobody")), (Some(1), true));
    worker = place.worker();
    wait::until("both are taken", async || hooks.taken() == some.iter().cloned().collect()).await;
    wait::until("their letters are gone", async || place.dead("a").await.len() == 10).await;
    place.run(&["webhooks", "replay", "a", "--all"]).await;
    wait::until("all are taken", async || hooks.taken() == place.committed().await).await;
    wait::until("no letter is left", async || place.dead("a").await.is_empty()).await;
    let last = hooks.all().pop().unwrap();
    assert!(last.body["data"]["n"].is_number() && last.body["type"] == "OrderPlaced", "{}", last.body);
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_refused_and_one_that_forgets_what_is_read_too() {
    let hooks = Hooks::start(200, AT_ONCE).await;
    let place = Place::set(&endpoint("a", &hooks.url(), "start = \"all\"")).await;
    let worker = place.worker();
    place.record(3, 1).await;
    wait::until("three are taken", async || hooks.taken().len() == 3).await;
    assert_eq!(worker.terminate().await, 0);
    place.stage.reader.remake(RetentionPolicy::Limits).await;
    let worker = place.worker();
    wait::until("it says what is wrong", async || worker.log().contains("was made anew")).await;
    wait::until("it is not ready", async || worker.get("/ready").await.is_some_and(|page| page.code == 503)).await;
    assert_eq!(hooks.all().len(), 3);
    assert_eq!(worker.terminate().await, 0);
    place.stage.reader.remake(RetentionPolicy::Interest).await;
    let answer = place.settings().run(&["webhooks", "run"]).await;
    assert!(answer.stderr.contains("webhooks need Limits retention"), "{}", answer.stderr);
    assert_eq!(answer.code, Some(1));
}
