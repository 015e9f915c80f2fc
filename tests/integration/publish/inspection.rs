//! Looking at the stream: whether it is fit to be the checkpoint, and where it ends.

use async_nats::jetstream::stream::{Config, Source};
use serde_json::json;
use walpost::{
    position::{Position, PositionError},
    publish::{StreamEnd, StreamError, StreamPlan, StreamProblem},
    sandbox::servers::NatsOptions,
};

use super::event::{Publisher, Row, config, place, source};
use crate::harness::{broker, on_every_fresh_nats, on_every_nats};

fn plan(stream: &str) -> StreamPlan {
    let subjects = vec![format!("{stream}.>"), format!("{stream}_dlq.>")];
    StreamPlan { name: stream.to_owned(), subjects }
}

#[tokio::test]
async fn a_stream_is_created_once_and_is_fit() {
    on_every_nats(async |server| {
        let publisher = Publisher::without_stream(server, "CREATED").await;
        let inspector = publisher.broker.inspector();
        let plan = plan("CREATED");
        assert_eq!(inspector.problems(&plan).await.unwrap(), [StreamProblem::Missing("CREATED".to_owned())]);
        assert!(inspector.create(&plan).await.unwrap());
        assert!(!inspector.create(&plan).await.unwrap());
        assert_eq!(inspector.problems(&plan).await.unwrap(), []);
        assert_eq!(inspector.end().await.unwrap(), StreamEnd::Empty);
    })
    .await;
}

#[tokio::test]
async fn a_stream_whose_subjects_belong_to_another_cannot_be_created_and_the_reason_is_the_brokers() {
    on_every_nats(async |server| {
        let publisher = Publisher::new(server, "OVERLAPPING").await;
        let mut plan = plan("OVERLAPPING");
        plan.name = "LATECOMER".to_owned();
        let inspector = Box::pin(broker(server, "LATECOMER")).await.inspector();
        let refused = inspector.create(&plan).await.unwrap_err();
        assert!(matches!(refused, StreamError::Create(_)), "{refused:?}");
        assert!(refused.to_string().contains("overlap"), "{refused}");
        drop(publisher);
    })
    .await;
}

#[tokio::test]
async fn every_unfit_stream_is_told_by_its_fault() {
    let name = |suffix: &str| format!("UNFIT_{suffix}");
    let fit = |suffix: &str| {
        let plan = plan(&name(suffix));
        Config { subjects: plan.subjects, ..config(&name(suffix)) }
    };
    let unwritable = |suffix: &str, why| StreamProblem::NotWritable { stream: name(suffix), why };
    let subject =
        |suffix: &str| StreamProblem::Subject { stream: name(suffix), subject: format!("{}_dlq.>", name(suffix)) };
    let origin = Source { name: name("SUBJECT"), ..Source::default() };
    let mirror = Config { subjects: vec![], mirror: Some(origin), ..fit("MIRROR") };
    let cases = [
        (config(&name("SUBJECT")), vec![subject("SUBJECT")]),
        (
            Config { no_ack: true, ..fit("NO_ACK") },
            vec![unwritable("NO_ACK", "does not acknowledge what it stores (no_ack)")],
        ),
        (mirror, vec![unwritable("MIRROR", "mirrors another stream")]),
        (fit("SEALED"), vec![unwritable("SEALED", "is sealed")]),
    ];
    on_every_nats(async |server| {
        for (config, problems) in &cases {
            let publisher = Publisher::without_stream(server, &config.name).await;
            Box::pin(publisher.context.create_stream(config.clone())).await.unwrap();
            if config.name == name("SEALED") {
                // A stream cannot be born sealed.
                Box::pin(publisher.context.update_stream(Config { sealed: true, ..config.clone() })).await.unwrap();
            }
            let found = publisher.broker.inspector().problems(&plan(&config.name)).await.unwrap();
            assert_eq!(&found, problems);
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_stream_is_its_last_message_even_if_that_was_removed() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "END").await;
        let inspector = publisher.broker.inspector();
        for sequence in 1..=3 {
            let id = sequence.to_string();
            publisher.publish(Row { id: &id, ..Row::default() }, sequence).await;
            let position = Position { source: source(), place: place(sequence) };
            assert_eq!(inspector.end().await.unwrap(), StreamEnd::At { sequence, position });
        }
        let stream = publisher.context.get_stream("END").await.unwrap();
        stream.delete_message(3).await.unwrap();
        assert_eq!(inspector.end().await.unwrap(), StreamEnd::Removed { sequence: 3 });
        stream.purge().await.unwrap();
        assert_eq!(inspector.end().await.unwrap(), StreamEnd::Removed { sequence: 3 });
        // The chain goes on behind what was removed.
        publisher.publish(Row { id: "4", ..Row::default() }, 4).await;
        assert!(matches!(inspector.end().await.unwrap(), StreamEnd::At { sequence: 4, .. }));
    })
    .await;
}

#[tokio::test]
async fn messages_of_others_are_passed_over_and_counted() {
    on_every_nats(async |server| {
        let mut publisher = Publisher::new(server, "FOREIGN").await;
        let inspector = publisher.broker.inspector();
        publisher.publish(Row::default(), 1).await;
        publisher.context.publish("FOREIGN.x", "from elsewhere".into()).await.unwrap().await.unwrap();
        let position = Position { source: source(), place: place(1) };
        let tail = inspector.tail().await.unwrap();
        assert_eq!((tail.end, tail.foreign), (StreamEnd::At { sequence: 2, position }, 1));
        for (position, expected) in [("nonsense", PositionError::Version), ("1:2:3", PositionError::Form)] {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Walpost-Position", position);
            let sent = publisher.context.publish_with_headers("FOREIGN.x", headers, "".into()).await.unwrap();
            sent.await.unwrap();
            let error = inspector.end().await.unwrap_err();
            assert!(matches!(error, StreamError::Position { source, .. } if source == expected), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_stream_has_no_end() {
    on_every_nats(async |server| {
        let publisher = Publisher::without_stream(server, "NO_END").await;
        let error = publisher.broker.inspector().end().await.unwrap_err();
        assert!(matches!(error, StreamError::Problem(StreamProblem::Missing(_))), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_from_one_that_does_not_answer() {
    let options = NatsOptions::default().extra("jetstream", json!(false));
    on_every_fresh_nats(&options, async |server| {
        let inspector = Box::pin(broker(&server, "ANY")).await.inspector();
        let error = inspector.end().await.unwrap_err();
        assert!(matches!(error, StreamError::NoJetStream), "{error:?}");
        let error = inspector.problems(&plan("ANY")).await.unwrap_err();
        assert!(matches!(error, StreamError::NoJetStream), "{error:?}");
    })
    .await;
}
