//! Faults of the stream.

use walpost::doctor::Verdict::{Critical, Warning};

use super::{
    database::healthy_servers,
    patient::{Fault, Patient},
};
use crate::world::nats;

/// The stream as `walpost setup` makes it, by the subjects and with one thing more.
macro_rules! stream {
    ($more:literal) => {
        concat!(
            "nats stream add {stream} {\"name\":\"\",\"subjects\":[\"{stream}.>\",\"{stream}_dlq.>\"],\"discard\":\"new\",",
            "\"storage\":\"file\",\"retention\":\"limits\",\"num_replicas\":1,\"max_bytes\":-1,\"max_msgs\":-1,",
            "\"max_msgs_per_subject\":-1,\"max_consumers\":-1,\"max_age\":0,\"duplicate_window\":120000000000,",
            $more,
            "}"
        )
    };
}

const REMOVE: &str = "nats stream rm {stream} --force";

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    Fault { plant: &[REMOVE], check: "stream", verdict: Critical, found: "stream \"{stream}\" does not exist",
            remedy: "run `walpost setup`", mend: &[] },
    Fault { plant: &["nats stream edit {stream} --subjects={stream}.> --force"], check: "stream.subjects", verdict: Critical,
            found: "does not take subject \"{stream}_dlq.>\"",
            remedy: "run `nats stream edit {stream} --subjects={stream}.>,{stream}_dlq.> --force`", mend: &[] },
    Fault { plant: &[REMOVE, stream!("\"sealed\":false,\"no_ack\":true")], check: "stream", verdict: Critical,
            found: "does not acknowledge what it stores (no_ack)", remedy: "a stream of its own", mend: &[REMOVE] },
    Fault { plant: &[REMOVE, stream!("\"sources\":[{\"name\":\"elsewhere\"}]")], check: "stream.alone", verdict: Warning,
            found: "it also takes messages from other streams", remedy: "a stream of its own", mend: &[REMOVE] },
    Fault { plant: &["nats stream edit {stream} --subjects={stream}.>,{stream}_dlq.>,other_{stream}.> --force"],
            check: "stream.alone", verdict: Warning, found: "it also takes subject \"other_{stream}.>\"",
            remedy: "a stream of its own", mend: &["nats stream edit {stream} --subjects={stream}.>,{stream}_dlq.> --force"] },
    Fault { plant: &["nats stream edit {stream} --subjects={stream}.>,{stream}_dlq.>,other_{stream}.> --dupe-window=30s --force"],
            check: "stream.window", verdict: Warning, found: "30 s only", remedy: "--dupe-window=2m",
            mend: &["nats stream edit {stream} --subjects={stream}.>,{stream}_dlq.> --force"] },
    Fault { plant: &["nats stream edit {stream} --dupe-window=2m --force", "nats stream edit {stream} --discard=old --force",
                     "nats stream edit {stream} --max-bytes=1000000 --force"],
            check: "stream.discard", verdict: Warning, found: "removes its oldest messages", remedy: "--discard=new", mend: &[] },
    Fault { plant: &["nats stream edit {stream} --max-bytes=-1 --max-msgs=5 --force", "publish {stream}.a.b", "publish {stream}.a.b",
                     "publish {stream}.a.b", "publish {stream}.a.b"],
            check: "stream.room", verdict: Warning, found: "4 of 5 messages",
            remedy: "run `nats stream edit {stream} --max-msgs=10 --force`",
            mend: &[REMOVE] },
    Fault { plant: &["nats stream edit {stream} --max-msgs=2 --force", "publish {stream}.a.b", "publish {stream}.a.b"],
            check: "stream.room", verdict: Critical, found: "2 of 2 messages",
            remedy: "run `nats stream edit {stream} --max-msgs=4 --force`", mend: &[REMOVE] },
    Fault { plant: &["nats stream edit {stream} --max-age=1h --force"], check: "stream.age", verdict: Warning,
            found: "after 1 h 0 min", remedy: "--max-age=30d", mend: &[] },
    Fault { plant: &["nats stream edit {stream} --max-msgs-per-subject=1 --force"], check: "stream.per_subject", verdict: Warning,
            found: "it keeps only 1 of each subject", remedy: "--max-msgs-per-subject=-1", mend: &[] },
    Fault { plant: &["nats stream edit {stream} --max-msg-size=1000 --force"], check: "stream.message_size", verdict: Warning,
            found: "it takes messages of 1000 B at most", remedy: "--max-msg-size=-1", mend: &[] },
    Fault { plant: &["publish {stream}.a.b"], check: "stream.end", verdict: Warning, found: "the last 1 messages are not walpost's",
            remedy: "find out who publishes", mend: &["nats stream purge {stream} --subject={stream}.> --force"] },
    Fault { plant: &["publish {stream}_dlq.order"], check: "stream.dead_letters", verdict: Warning, found: "1 dead letter",
            remedy: "`nats stream view {stream} --subject={stream}_dlq.>`",
            mend: &["nats stream purge {stream} --subject={stream}_dlq.> --force"] },
    Fault { plant: &[REMOVE, stream!("\"storage\":\"memory\"")], check: "stream.storage", verdict: Warning,
            found: "the stream is kept in memory", remedy: "run `nats stream rm {stream} --force`, then `walpost setup`", mend: &[] },
    Fault { plant: &[REMOVE, stream!("\"persist_mode\":\"async\"")], check: "stream.writes", verdict: Critical,
            found: "acknowledged before they are written", remedy: "then `walpost setup`", mend: &[] },
    Fault { plant: &[REMOVE, stream!("\"retention\":\"workqueue\"")], check: "stream.alone", verdict: Warning,
            found: "it removes messages once they are consumed", remedy: "a stream of its own", mend: &[REMOVE] },
    Fault { plant: &[REMOVE, "nats stream add {stream} {\"name\":\"\",\"mirror\":{\"name\":\"elsewhere\"},\"max_bytes\":-1,\"max_msgs\":-1,\"max_msgs_per_subject\":-1,\"max_consumers\":-1,\"max_age\":0,\"duplicate_window\":0,\"num_replicas\":1,\"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"new\"}"],
            check: "stream", verdict: Critical, found: "it mirrors another stream", remedy: "a stream of its own", mend: &[REMOVE] },
    Fault { plant: &["set NATS_STREAM=other_{stream}", "set NATS_SUBJECT={stream}.{aggregate_type}"], check: "stream", verdict: Critical,
            found: "stream \"other_{stream}\" does not exist", remedy: "run `walpost setup`",
            mend: &["unset NATS_STREAM", "unset NATS_SUBJECT"] },
];

#[tokio::test]
async fn whatever_is_wrong_with_the_stream_is_named_and_mended() {
    let server = healthy_servers().await.first().unwrap();
    let mut patient = Patient::new(server, &nats().await.url(), "stream").await;
    assert_eq!(patient.complaints().await, Vec::<String>::new());
    patient.suffers_all(FAULTS).await;
}

#[tokio::test]
async fn a_stream_of_another_cluster_is_told() {
    let server = healthy_servers().await.first().unwrap();
    let mut patient = Patient::new(server, &nats().await.url(), "other_cluster").await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Walpost-Position", "1:7:1:other_cluster:0/10:0");
    let subject = format!("{}.a.b", patient.stream);
    patient.jetstream.publish_with_headers(subject, headers, "".into()).await.unwrap().await.unwrap();
    let fault = Fault {
        plant: &[],
        check: "walpost.place",
        verdict: Critical,
        found: "written from another database cluster",
        remedy: "point [postgres] url at the cluster that fed the stream",
        mend: &["set NATS_STREAM={stream}_new", "set NATS_SUBJECT={stream}_new.{aggregate_type}"],
    };
    patient.suffers(&fault).await;
}
