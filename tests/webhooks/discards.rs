//! Dead letters that somebody gives up.

use serde_json::Value;
use walpost::webhooks::{DeadLetter, EndpointName, Store};

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, Place, endpoint},
    support::daemon::Daemon,
    wait,
};

/// A place whose one endpoint has this many dead letters, and whoever delivers.
async fn with_dead_letters(hooks: &Hooks, count: usize) -> (Place, Daemon) {
    let more = "start = \"all\"\nretries = []\nordering = \"aggregate\"";
    let place = Place::set(&endpoint("a", &hooks.url(), more)).await;
    let worker = place.worker();
    place.record(count, 2).await;
    wait::until("all are dead", async || place.dead("a").await.len() == count).await;
    wait::until("nothing is open", async || place.state("a").await["open"] == 0).await;
    (place, worker)
}

/// What `discard` says in JSON.
async fn discard(place: &Place, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["webhooks", "discard", "a", "--format", "json"], arguments].concat();
    let answer = place.settings().run(&arguments).await;
    (answer.code, serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{}", answer.stderr)))
}

fn count(told: &Value, what: &str) -> usize {
    told[what].as_array().unwrap().len()
}

#[tokio::test]
async fn what_is_discarded_is_gone_for_good_and_told_whether_anybody_delivers_or_not() {
    let hooks = Hooks::start(500, AT_ONCE).await;
    let (place, mut worker) = with_dead_letters(&hooks, 6).await;
    let ids: Vec<String> = place.committed().await.into_iter().collect();
    let answer = place.settings().run(&["webhooks", "discard", "a", &ids[0], "nobody", &ids[1]]).await;
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(1), "discarded  2 dead letters of a\n"),
        "{}",
        answer.stderr
    );
    assert!(answer.stderr.contains("a has no dead letter of event nobody"), "{}", answer.stderr);
    let listed = place.run(&["webhooks", "dead", "a"]).await;
    assert!(ids[2..].iter().all(|id| listed.contains(id)) && !listed.contains(&ids[0]), "{listed}");
    wait::until("the log of attempts tells of it", async || {
        let attempts = place.run(&["webhooks", "attempts", &ids[0]]).await;
        attempts.contains("dead letter") && attempts.contains("discarded")
    })
    .await;

    // Nobody delivers; then somebody does, and the endpoint is well: nothing comes that was given up.
    worker.kill().await;
    let (code, told) = discard(&place, &[&ids[2], &ids[3]]).await;
    assert_eq!((code, count(&told, "discarded"), count(&told, "kept")), (Some(0), 2, 0), "{told}");
    assert_eq!(told["discarded"][0]["reason"], "server_error", "{told}");
    hooks.answer(200);
    worker = place.worker();
    place.run(&["webhooks", "replay", "a", "--all"]).await;
    wait::until("what is left is taken", async || place.dead("a").await.is_empty()).await;
    assert_eq!(hooks.taken(), ids[4..].iter().cloned().collect());
    assert_eq!(place.run(&["webhooks", "discard", "a", "--all"]).await, "discarded  0 dead letters of a\n");
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn what_is_on_its_way_again_keeps_its_dead_letter_until_it_is_at_rest() {
    let hooks = Hooks::start(500, AT_ONCE).await;
    let (place, mut worker) = with_dead_letters(&hooks, 4).await;
    let ids: Vec<String> = place.committed().await.into_iter().collect();
    // It is wished, and nobody has granted it.
    worker.kill().await;
    place.run(&["webhooks", "replay", "a", &ids[0]]).await;
    let (code, told) = discard(&place, &[&ids[0], &ids[1]]).await;
    assert_eq!(
        (code, &told["kept"][0]["event"], count(&told, "discarded")),
        (Some(1), &ids[0].as_str().into(), 1),
        "{told}"
    );

    // It is granted, and the endpoint is disabled: the event is open, and its letter may be all that is left of it.
    place.run(&["webhooks", "disable", "a"]).await;
    place.stage.reader.purge().await;
    worker = place.worker();
    wait::until("it is open", async || {
        let state = place.state("a").await;
        state["open"] == 1 && state["disabled"]["by"] == "wish"
    })
    .await;
    let (code, told) = discard(&place, &["--all"]).await;
    assert_eq!((code, count(&told, "kept"), count(&told, "discarded")), (Some(1), 1, 2), "{told}");
    hooks.answer(200);
    place.run(&["webhooks", "enable", "a"]).await;
    wait::until("it is taken", async || hooks.taken() == [ids[0].clone()].into()).await;
    wait::until("its letter is gone", async || place.dead("a").await.is_empty()).await;
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn a_letter_that_took_the_place_of_the_one_that_was_seen_stays_and_a_wish_for_one_that_is_gone_sends_nothing() {
    let hooks = Hooks::start(500, AT_ONCE).await;
    let (place, mut worker) = with_dead_letters(&hooks, 2).await;
    let client = async_nats::connect(place.stage.broker.url()).await.unwrap();
    let (store, name) = (Store::new(client, "OUTBOX"), EndpointName::parse("a").unwrap());
    let seen = store.letters(&name).await.unwrap();
    let again = DeadLetter { sequence: seen[0].sequence, event: None, attempts: 9, reason: "timeout", at_ms: 1 };
    store.bury(&name, &again).await.unwrap();
    let discarded = store.discard(&name, seen.clone()).await.unwrap();
    assert!(discarded.error.is_none() && discarded.kept.is_empty(), "{discarded:?}");
    assert_eq!(discarded.gone, seen[1..]);
    let left = store.letters(&name).await.unwrap();
    assert!(matches!(&left[..], [letter] if letter.attempts == 9), "{left:?}");
    // One without an id is called by its sequence.
    let sequence = seen[0].sequence.to_string();
    let listed = place.run(&["webhooks", "dead", "a"]).await;
    assert!(listed.contains(&format!("\n{sequence} ")), "{listed}");

    // It is wished to be sent again, and given up by somebody who had not seen that.
    worker.kill().await;
    place.run(&["webhooks", "replay", "a", &sequence]).await;
    store.exhume(&name, seen[0].sequence).await.unwrap();
    hooks.answer(200);
    worker = place.worker();
    place.record(1, 1).await;
    wait::until("what is new is taken", async || hooks.taken().len() == 1).await;
    wait::until("the wish is granted", async || {
        let state = store.record(&name).await.unwrap().unwrap().value;
        state.wish == store.wish(&name).await.unwrap().unwrap().revision
    })
    .await;
    wait::until("nothing is open", async || place.state("a").await["open"] == 0).await;
    assert_eq!((hooks.taken().len(), place.dead("a").await.len()), (1, 0));
    assert_eq!(worker.terminate().await, 0);
}

#[tokio::test]
async fn what_is_left_of_an_endpoint_that_is_configured_no_more_can_be_seen_and_discarded_and_not_sent_again() {
    let hooks = Hooks::start(500, AT_ONCE).await;
    let (place, worker) = with_dead_letters(&hooks, 2).await;
    assert_eq!(worker.terminate().await, 0);
    place.configure(&endpoint("b", &hooks.url(), ""));
    assert_eq!(place.run(&["webhooks", "dead", "a"]).await.lines().count(), 3);
    let answer = place.settings().run(&["webhooks", "replay", "a", "--all"]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.stdout);
    assert!(answer.stderr.contains("the endpoints are: b"), "{}", answer.stderr);
    assert_eq!(place.run(&["webhooks", "discard", "a", "--all"]).await, "discarded  2 dead letters of a\n");
    // Now nothing tells it from a name that never was.
    for command in [&["webhooks", "dead", "a"][..], &["webhooks", "discard", "a", "--all"]] {
        let answer = place.settings().run(command).await;
        assert_eq!(answer.code, Some(1), "{}", answer.stdout);
        assert!(answer.stderr.contains("there is no endpoint of that name"), "{}", answer.stderr);
    }
}
