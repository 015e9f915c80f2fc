//! `walpost status`: how each endpoint stands, at a glance.

use serde_json::Value;

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, Place, endpoint},
    wait,
};

/// The endpoint of this name in what `walpost status` tells.
fn one<'a>(status: &'a Value, name: &str) -> &'a Value {
    let all = status["webhooks"]["endpoints"].as_array().unwrap_or_else(|| panic!("{status:#}"));
    all.iter().find(|one| one["endpoint"] == name).unwrap_or_else(|| panic!("no {name} in {status:#}"))
}

/// What it tells of one of its state.
fn state(status: &Value, name: &str) -> String {
    one(status, name)["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn status_tells_how_each_endpoint_stands_and_what_could_not_be_asked() {
    let (good, bad) = (Hooks::start(200, AT_ONCE).await, Hooks::start(500, AT_ONCE).await);
    let all = [
        endpoint("good", &good.url(), "ordering = \"aggregate\""),
        endpoint("patient", &bad.url(), "retries = [\"1h\"]"),
        endpoint("strict", &bad.url(), "retries = []"),
        endpoint("other", &good.url(), "subjects = [\"outbox.nothing.>\"]"),
        endpoint("off", &good.url(), "enabled = false"),
    ];
    let place = Place::set(&all.join("\n")).await;
    let before = place.status().await;
    assert_eq!(
        (state(&before, "good"), state(&before, "off")),
        ("not begun".into(), "not served (enabled = false)".into())
    );
    let mut worker = place.worker();
    place.until_begun(4).await;
    place.record(3, 1).await;
    wait::until("each has what it is to have", async || {
        let status = place.status().await;
        let (patient, strict) = (one(&status, "patient"), one(&status, "strict"));
        let is_waiting = patient["open"] == 3 && patient["next_attempt"].is_string();
        is_waiting && strict["dead_letters"] == 3 && strict["open"] == 0 && good.taken().len() == 3
    })
    .await;

    let status = place.status().await;
    assert_eq!((&status["delivering"], &status["errors"]), (&true.into(), &Value::Array(Vec::new())), "{status:#}");
    let patient = one(&status, "patient");
    assert!(
        state(&status, "patient").starts_with("failing since 2") && patient["oldest_seconds"].is_f64(),
        "{patient}"
    );
    // It is delivered to, and it does not matter that the stream has moved on without anything for it.
    for (name, ordering) in [("good", "aggregate"), ("other", "none")] {
        let one = one(&status, name);
        assert_eq!((state(&status, name).as_str(), one["ordering"].as_str()), ("delivering", Some(ordering)), "{one}");
        assert_eq!(
            (&one["open"], &one["behind"], &one["oldest_seconds"]),
            (&0.into(), &0.into(), &Value::Null),
            "{one}"
        );
    }
    told_to_people(&place.status_text().await);

    // Disabled, with something to come; then nobody is left to deliver.
    place.run(&["webhooks", "disable", "good"]).await;
    wait::until("it is disabled", async || one(&place.status().await, "good")["disabled"]["by"] == "wish").await;
    place.record(1, 1).await;
    wait::until("it is behind", async || one(&place.status().await, "good")["oldest_seconds"].is_f64()).await;
    worker.kill().await;
    wait::until("nobody delivers", async || state(&place.status().await, "patient") == "nobody delivers").await;
    assert_eq!(state(&place.status().await, "good"), "disabled: by `walpost webhooks disable`");

    place.forget_state().await;
    let status = place.status().await;
    assert_eq!(status["webhooks"]["endpoints"], Value::Array(Vec::new()), "{status:#}");
    let error = &status["errors"][0];
    assert_eq!(
        (&error["side"], &error["remedy"]),
        (&"nats".into(), &"run `walpost webhooks setup`".into()),
        "{status:#}"
    );
}

fn told_to_people(text: &str) {
    for part in [
        "\nwebhooks    patient: failing since ",
        ", 3 open, 0 behind, the oldest for ",
        ", next attempt 2",
        "\n            strict: failing since ",
        ", 0 open, 0 behind, 3 dead letters\n",
        "\n            good: delivering, ordered, 0 open, 0 behind\n",
        "\n            off: not served (enabled = false)\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}
