//! What breaks the chain of messages from outside: somebody else's messages, and a broker that forgets.

use std::path::Path;

use async_nats::{HeaderMap, jetstream};
use tokio::process::Command;

use crate::{
    daemon::{Daemon, Settings},
    stage::Stage,
    wait,
    world::own_postgres,
};

/// This many events in one transaction.
const EVENTS: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                      SELECT gen_random_uuid(), 'order', n::text, 'placed', '{}' FROM generate_series(1, $1::int) n";
const HOLD_BACK: &str = "3s";
const HOLD_BACK_SECONDS: f64 = 3.0;

async fn begin(change: impl FnOnce(Settings) -> Settings) -> (Stage, Daemon) {
    let stage = Stage::set(own_postgres(&[]).await, change).await;
    let daemon = stage.settings.lead().await;
    (stage, daemon)
}

async fn commit(stage: &Stage, events: i32) {
    stage.client.execute(EVENTS, &[&events]).await.unwrap();
}

/// Whether the slot is past everything that was committed.
async fn is_confirmed(stage: &Stage) -> bool {
    let last = stage.committed().await.last().unwrap().end_lsn.to_string();
    stage.is_confirmed(&last).await
}

/// Waits until walpost has stored so many messages, and holds them against the witness. Those of others do not count.
async fn assert_delivered(stage: &Stage, daemon: &Daemon) {
    let committed: Vec<String> = stage.committed().await.into_iter().map(|seen| seen.id).collect();
    let delivered = async || {
        let stored = stage.reader.all().await.into_iter().filter(|m| m.headers.contains_key("Walpost-Position"));
        stored.map(|message| message.header("Nats-Msg-Id").to_owned()).collect::<Vec<String>>()
    };
    wait::until("as many are stored", async || delivered().await.len() >= committed.len()).await;
    assert_eq!(delivered().await, committed, "{}", daemon.log());
}

#[tokio::test]
async fn messages_of_somebody_else_cost_no_event_and_no_order() {
    let (stage, daemon) = begin(|settings| settings).await;
    let intruder = jetstream::new(async_nats::connect(stage.broker.url()).await.unwrap());
    commit(&stage, 1).await;
    wait::until("the first event is stored", async || stage.reader.last_sequence().await == 1).await;
    for _ in 0..10 {
        // The next burst does not know of it: its first message is refused, and those behind it must be too.
        Box::pin(intruder.publish("outbox.order.intruder", "".into())).await.unwrap().await.unwrap();
        commit(&stage, 40).await;
        assert_delivered(&stage, &daemon).await;
    }
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn what_a_broker_forgot_is_sent_again_although_it_was_away_for_longer_than_the_hold_back() {
    let (mut stage, daemon) = begin(|settings| settings.with("DELIVERY_HOLD_BACK", HOLD_BACK)).await;
    commit(&stage, 3).await;
    assert_delivered(&stage, &daemon).await;
    // What is on the broker's disk when it loses power.
    stage.broker.stop().await.unwrap();
    let (store, saved) = (stage.broker.store_dir(), stage.broker.folder().join("saved"));
    copy(&store, &saved).await;
    stage.broker.restart().await.unwrap();
    daemon.until_phase("leading").await;
    commit(&stage, 5).await;
    assert_delivered(&stage, &daemon).await;
    stage.broker.kill().await.unwrap();
    assert!(!is_confirmed(&stage).await, "the machine is too slow for this hold-back");
    wait::until("it is away for longer than the hold-back", async || {
        let status = daemon.status().await;
        status.is_some_and(|status| status["trouble"]["seconds"].as_f64().unwrap_or(0.0) > HOLD_BACK_SECONDS + 1.0)
    })
    .await;
    assert!(!is_confirmed(&stage).await, "nobody knows whether the broker still has it");
    tokio::fs::remove_dir_all(&store).await.unwrap();
    copy(&saved, &store).await;
    stage.broker.restart().await.unwrap();
    assert_delivered(&stage, &daemon).await;
    wait::until("an idle outbox is confirmed after all", async || is_confirmed(&stage).await).await;
    assert_eq!(daemon.terminate().await, 0);
}

/// So does the new leader of a replicated stream that has not caught up with its own log yet.
#[tokio::test]
async fn a_broker_that_tells_an_old_end_for_a_while_is_waited_for() {
    let (mut stage, daemon) = begin(|settings| settings).await;
    commit(&stage, 3).await;
    assert_delivered(&stage, &daemon).await;
    stage.broker.stop().await.unwrap();
    let store = stage.broker.store_dir();
    let [old, new] = ["old", "new"].map(|name| stage.broker.folder().join(name));
    copy(&store, &old).await;
    stage.broker.restart().await.unwrap();
    daemon.until_phase("leading").await;
    commit(&stage, 5).await;
    assert_delivered(&stage, &daemon).await;
    wait::until("all is confirmed", async || is_confirmed(&stage).await).await;
    stage.broker.stop().await.unwrap();
    tokio::fs::rename(&store, &new).await.unwrap();
    copy(&old, &store).await;
    stage.broker.restart().await.unwrap();
    // Told by the end that it remembers, and again by what is written down.
    wait::until("it has looked more than once", async || {
        let trouble = daemon.status().await.map(|status| status["trouble"].clone());
        trouble.is_some_and(|trouble| trouble["code"] == "WP0506" && trouble["attempts"].as_u64() > Some(2))
    })
    .await;
    stage.broker.stop().await.unwrap();
    tokio::fs::remove_dir_all(&store).await.unwrap();
    tokio::fs::rename(&new, &store).await.unwrap();
    stage.broker.restart().await.unwrap();
    daemon.until_phase("leading").await;
    commit(&stage, 2).await;
    assert_delivered(&stage, &daemon).await;
    assert_eq!(daemon.terminate().await, 0);
}

/// What somebody else's message does between two of ours that are under way, where messages do not name the one before
/// (several replicas): the first is refused, and the second takes its place.
#[tokio::test]
async fn an_event_that_somebody_elses_message_displaced_goes_to_the_end_and_the_stream_stays_a_checkpoint() {
    // Nothing is confirmed, so the log has everything.
    let (stage, daemon) = begin(|settings| settings.with("DELIVERY_HOLD_BACK", "10m")).await;
    commit(&stage, 4).await;
    assert_delivered(&stage, &daemon).await;
    let Stage { postgres: _postgres, mut broker, client, witness, reader, settings } = stage;
    let sent = reader.all().await;
    assert_eq!(daemon.terminate().await, 0);
    let committed: Vec<String> = witness.all(&client).await.into_iter().map(|seen| seen.id).collect();

    let intruder = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
    Box::pin(intruder.get_stream("OUTBOX")).await.unwrap().purge().await.unwrap();
    // After a restart the broker remembers ids of what it holds, as it never heard of those that it refused.
    broker.stop().await.unwrap();
    broker.restart().await.unwrap();
    let position = |index: usize| sent[index].header("Walpost-Position");
    for ours in [Some((0, None)), None, None, Some((3, Some(2)))] {
        let mut headers = HeaderMap::new();
        if let Some((own, previous)) = ours {
            headers.insert("Walpost-Position", position(own));
            previous.into_iter().for_each(|previous| headers.insert("Walpost-Previous", position(previous)));
        }
        Box::pin(intruder.publish_with_headers("outbox.order.any", headers, "".into())).await.unwrap().await.unwrap();
    }
    // The first message of the stream now has the sequence 5.
    let daemon = settings.lead().await;
    wait::until("those that are missing are stored", async || reader.last_sequence().await >= 10).await;
    let late = reader.some(9..=10).await;
    for (message, (id, first)) in late.iter().zip([1, 2].map(|index| (&committed[index], &sent[index]))) {
        assert_eq!(message.header("Nats-Msg-Id"), id, "{}", daemon.log());
        assert_eq!(message.header("Walpost-Position"), sent[3].header("Walpost-Position"));
        assert_eq!(message.header("Walpost-Displaced"), first.header("Walpost-Position"));
    }
    assert_eq!(daemon.status().await.unwrap()["displaced_events"], 2);
    // Killed before anything of it is confirmed: the next one finds them at the end.
    drop(daemon);
    let daemon = settings.lead().await;
    client.execute(EVENTS, &[&1]).await.unwrap();
    wait::until("the next one is stored", async || reader.last_sequence().await >= 11).await;
    assert_eq!(daemon.terminate().await, 0);
    let last = reader.some([11]).await;
    assert!(!last[0].headers.contains_key("Walpost-Displaced"));
    assert_eq!(reader.last_sequence().await, 11, "nothing is there twice");
}

/// Copies a folder.
pub(crate) async fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().await.unwrap();
    assert!(status.success());
}
