//! From an `INSERT` to a receiver.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, Place, endpoint},
    support::chance::Chance,
    wait,
};

#[tokio::test]
async fn an_insert_arrives_once_signed_and_is_found_in_the_log() {
    let hooks = Hooks::start(204, AT_ONCE).await;
    let more = "subjects = [\"outbox.order.>\"]\nheaders = { Authorization = \"Bearer canary\" }";
    let place = Place::set(&endpoint("shop", &hooks.url(), more)).await;
    let worker = place.worker();
    place.until_begun(1).await;
    place.record(30, 4).await;
    let foreign = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                   VALUES (gen_random_uuid(), 'invoice', '1', 'sent', '{}')";
    place.stage.commit(foreign).await;
    let odd = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
               VALUES (gen_random_uuid(), 'order', 'Größe 7 %', 'Bestellt ✓', '{\"n\": 0}')";
    place.stage.commit(odd).await;
    place.record(2, 4).await;
    let orders = "SELECT id::text FROM outbox WHERE aggregate_type = 'order'";
    let rows = place.stage.client.query(orders, &[]).await.unwrap();
    let expected: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    wait::until("all orders are taken", async || hooks.taken() == expected).await;
    let all = hooks.all();
    assert_eq!(all.len(), expected.len(), "nothing failed, so nothing comes twice");
    let odd = all.iter().find(|hook| hook.body["type"] == "Bestellt ✓").unwrap();
    assert_eq!(
        (odd.body["aggregate_id"].as_str(), odd.aggregate.as_str()),
        (Some("Größe 7 %"), "Gr%C3%B6%C3%9Fe 7 %25")
    );
    let first = &all[0];
    assert_eq!(first.headers["authorization"], "Bearer canary");
    assert_eq!(
        (first.headers["walpost-event-type"].as_bytes(), first.headers["walpost-attempt"].as_bytes()),
        (&b"OrderPlaced"[..], &b"1"[..])
    );
    assert_eq!((&first.body["id"], &first.body["type"]), (&first.id.as_str().into(), &"OrderPlaced".into()));
    assert!(first.body["data"]["n"].is_number(), "{}", first.body);

    wait::until("the attempt is in the log", async || {
        let answer = place.settings().run(&["webhooks", "attempts", &first.id, "--format", "json"]).await;
        let found: Value = serde_json::from_str(&answer.stdout).unwrap();
        found[0]["status"] == 204 && found[0]["endpoint"] == "shop" && found.as_array().unwrap().len() == 1
    })
    .await;
    wait::until("nothing is open", async || {
        let listed: Value = serde_json::from_str(&place.run(&["webhooks", "list", "--format", "json"]).await).unwrap();
        listed[0]["open"] == 0
    })
    .await;
    let metrics = worker.get("/metrics").await.unwrap().body;
    assert!(
        metrics.contains("walpost_webhooks_attempts_total{endpoint=\"shop\",outcome=\"delivered\"} 33"),
        "{metrics}"
    );
    assert_eq!(worker.get("/ready").await.unwrap().body, "delivering to 1 of 1\n");
    let log = worker.log();
    assert!(!log.contains("canary") && !log.contains("MfKQ9r8") && !log.contains("\"n\""), "{log}");
    assert_eq!(worker.terminate().await, 0);
    let listed = place.run(&["webhooks", "list"]).await;
    assert!(listed.contains("nobody delivers"), "{listed}");
    assert!(place.run(&["webhooks", "test", "shop"]).await.starts_with("delivered  status 204"));
    assert_eq!(hooks.all().last().unwrap().body["type"], "walpost.webhook.test");
}

/// What a run with kills comes to, for a healthy endpoint without order, a flapping one in order, and a slow one in order.
#[tokio::test]
async fn kills_of_the_worker_and_of_the_broker_lose_nothing_and_turn_no_aggregate_around() {
    let mut chance = Chance::new(Chance::seed("webhook kills"));
    let (plain, flapping) = (Hooks::start(200, AT_ONCE).await, Hooks::start(0, AT_ONCE).await);
    let slow = Hooks::start(200, Duration::from_millis(5)).await;
    // So many that no event uses them up by chance.
    let ordered = format!("ordering = \"aggregate\"\nretries = [{}]", ["\"20ms\""; 30].join(", "));
    let endpoints = [
        endpoint("plain", &plain.url(), "start = \"all\""),
        endpoint("flapping", &flapping.url(), &format!("start = \"all\"\n{ordered}")),
        endpoint("slow", &slow.url(), &format!("start = \"all\"\n{ordered}\nconcurrency = 8")),
    ];
    let mut place = Place::set(&endpoints.concat()).await;
    let mut worker = place.worker();
    let all = [&plain, &flapping, &slow];
    for turn in 0..8 {
        place.record(60, 7).await;
        let before = slow.all().len();
        wait::until("something is sent", async || slow.all().len() > before + 5).await;
        tokio::time::sleep(Duration::from_millis(chance.below(150))).await;
        if turn % 3 == 2 {
            place.stage.broker.kill().await.unwrap();
            place.stage.broker.restart().await.unwrap();
        } else {
            worker.kill().await;
            worker = place.worker();
        }
    }
    let expected = place.committed().await;
    place.stage.until_stored(expected.len() as u64).await;
    for hooks in all {
        wait::until("everything is taken", async || hooks.taken() == expected).await;
    }
    let sequences = place.sequences().await;
    flapping.assert_order(&sequences);
    slow.assert_order(&sequences);
    for (name, hooks) in [("plain", &plain), ("flapping", &flapping), ("slow", &slow)] {
        let (taken, sent) = (hooks.taken().len(), hooks.all().iter().filter(|hook| hook.status < 300).count());
        println!("{name}: {taken} events, {} of them came again", sent - taken);
    }
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn another_instance_goes_on_when_one_is_killed_and_at_once_when_it_stops() {
    let hooks = Hooks::start(200, AT_ONCE).await;
    let place = Place::set(&endpoint("a", &hooks.url(), "ordering = \"aggregate\"")).await;
    let mut first = place.worker();
    place.until_begun(1).await;
    let second = place.worker();
    let third = place.worker();
    place.record(20, 3).await;
    wait::until("the first delivers", async || hooks.taken().len() == 20).await;
    assert_eq!(first.get("/ready").await.unwrap().body, "delivering to 1 of 1\n");
    assert_eq!(second.get("/ready").await.unwrap().body, "delivering to 0 of 1\n");
    first.kill().await;
    place.record(20, 3).await;
    wait::until("another one delivers", async || hooks.taken().len() == 40).await;
    let (mut holders, mut stopped) = (0, Vec::new());
    for worker in [second, third] {
        let is_holder = worker.get("/ready").await.unwrap().body == "delivering to 1 of 1\n";
        holders += usize::from(is_holder);
        if is_holder {
            assert_eq!(worker.terminate().await, 0);
        } else {
            stopped.push(worker);
        }
    }
    assert_eq!(holders, 1);
    place.record(20, 3).await;
    wait::until("the last one delivers", async || hooks.taken() == place.committed().await).await;
    hooks.assert_order(&place.sequences().await);
}

#[tokio::test]
async fn an_owner_that_stood_still_for_longer_than_its_lease_lets_go_when_it_wakes() {
    let hooks = Hooks::start(200, Duration::from_millis(2)).await;
    let place = Place::set(&endpoint("a", &hooks.url(), "ordering = \"aggregate\"")).await;
    let first = place.worker();
    place.until_begun(1).await;
    let second = place.worker();
    place.record(100, 5).await;
    wait::until("the first delivers", async || hooks.taken().len() > 10).await;
    first.freeze();
    place.record(100, 5).await;
    wait::until("the second delivers", async || hooks.taken().len() == 200).await;
    first.wake();
    wait::until("the first has let go", async || {
        first.get("/ready").await.is_some_and(|page| page.body == "delivering to 0 of 1\n")
    })
    .await;
    place.record(100, 5).await;
    wait::until("everything is taken", async || hooks.taken() == place.committed().await).await;
    assert_eq!(second.get("/ready").await.unwrap().body, "delivering to 1 of 1\n");
    // What it had on its way when it stopped may come late; what is new comes in order.
    hooks.assert_first_arrivals_in_order();
    let log = first.log();
    assert!(log.contains("took no news of it in time") || log.contains("another instance delivers"), "{log}");
}
