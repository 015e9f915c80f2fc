//! What is said of messages that the stream holds no more.

use std::time::Duration;

use walpost::webhooks::{EndpointName, Store};

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, Place, endpoint},
    support::daemon::Daemon,
    wait,
};

/// What says so.
const LOST: &str = "the stream lost messages before anybody looked whether they were for this endpoint";

/// Records events that the endpoint does not want, and waits until all are stored.
async fn record_others(place: &Place, count: usize) {
    let sql = format!(
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
         SELECT gen_random_uuid(), 'invoice', '1', 'sent', '{{}}' FROM generate_series(1, {count})"
    );
    let stored = place.stage.reader.last_sequence().await;
    place.stage.commit(&sql).await;
    place.stage.until_stored(stored + count as u64).await;
}

/// Waits until the record says that nothing stood unread up to the end of the stream.
async fn until_clear(place: &Place) {
    let client = async_nats::connect(place.stage.broker.url()).await.unwrap();
    let (store, name) = (Store::new(client, "OUTBOX"), EndpointName::parse("a").unwrap());
    let end = place.stage.reader.last_sequence().await;
    wait::until("it is noted that nothing is unread", async || {
        store.record(&name).await.unwrap().is_some_and(|record| record.value.clear == end)
    })
    .await;
}

/// One more order, which says that whatever stood before it was looked at.
async fn order_arrives(place: &Place, hooks: &Hooks) {
    let before = hooks.taken().len();
    place.record(1, 1).await;
    wait::until("an order is taken", async || hooks.taken().len() == before + 1).await;
}

async fn restarted(worker: Daemon, place: &Place, meanwhile: impl AsyncFnOnce()) -> Daemon {
    assert_eq!(worker.terminate().await, 0);
    meanwhile().await;
    place.worker()
}

#[tokio::test]
async fn messages_that_go_are_told_of_unless_none_of_them_was_for_the_endpoint() {
    let hooks = Hooks::start(200, AT_ONCE).await;
    let mut place = Place::set(&endpoint("a", &hooks.url(), "subjects = [\"outbox.order.>\"]\nstart = \"all\"")).await;
    let mut worker = place.worker();
    order_arrives(&place, &hooks).await;

    // Others come and go while it waits for its own, and then the connection breaks.
    record_others(&place, 5).await;
    until_clear(&place).await;
    place.stage.reader.purge().await;
    place.stage.broker.kill().await.unwrap();
    place.stage.broker.restart().await.unwrap();
    order_arrives(&place, &hooks).await;
    assert!(!worker.log().contains(LOST), "{}", worker.log());

    // They were seen by somebody before who only looked.
    worker = restarted(worker, &place, async || record_others(&place, 5).await).await;
    until_clear(&place).await;
    worker = restarted(worker, &place, async || place.stage.reader.purge().await).await;
    order_arrives(&place, &hooks).await;
    assert!(!worker.log().contains(LOST), "{}", worker.log());

    // Nobody looked: orders are among them, but that cannot be known any more.
    let read = place.stage.reader.last_sequence().await;
    let lose = async || {
        let stored = place.stage.reader.last_sequence().await;
        place.record(2, 1).await;
        place.stage.until_stored(stored + 2).await;
        record_others(&place, 2).await;
        place.stage.reader.purge().await;
    };
    worker = restarted(worker, &place, lose).await;
    order_arrives(&place, &hooks).await;
    let said = |log: &str| log.lines().filter(|line| line.contains(LOST)).map(str::to_owned).collect::<Vec<_>>();
    let lines = said(&worker.log());
    let fields = format!("\"endpoint\":\"a\",\"from\":{},\"level\":\"ERROR\"", read + 1);
    assert!(matches!(&lines[..], [line] if line.contains(&fields)), "{lines:?}");
    assert!(
        lines[0].contains(&format!("\"to\":{}}}", read + 4)) || lines[0].contains(&format!("\"to\":{},", read + 4))
    );
    assert!(lines[0].contains("find out who purged it"), "{lines:?}");

    // It is told once, and what to do about it depends on what drops messages.
    place.stage.reader.update(|config| config.max_age = Duration::from_secs(3600)).await;
    worker = restarted(worker, &place, async || {}).await;
    order_arrives(&place, &hooks).await;
    assert!(!worker.log().contains(LOST), "{}", worker.log());
    worker = restarted(worker, &place, lose).await;
    order_arrives(&place, &hooks).await;
    assert!(matches!(&said(&worker.log())[..], [line] if line.contains("let the stream keep events for longer")));
    assert_eq!(worker.terminate().await, 0);
}
