//! Faults of the NATS server: login, rights, sizes, replicas.

use serde_json::json;
use walpost::{
    doctor::Verdict::{Critical, Warning},
    sandbox::servers::{NatsCluster, NatsOptions, PrivateNats},
};

use super::{
    database::healthy_servers,
    patient::{Patient, line, wrong},
};

/// What is wrong with a server that is like this, after the stream was set up on it by a user who may do everything.
async fn told(name: &str, options: NatsOptions, user: Option<(&str, &str)>) -> Vec<String> {
    let postgres = healthy_servers().await.first().unwrap();
    let broker = PrivateNats::start(options.clone()).await.unwrap();
    // Whoever sets up is let in by the address; who is examined by the settings.
    let mut patient = Patient::new(postgres, &broker.url().replace("nats://", "nats://root:root@"), name).await;
    assert_eq!(patient.complaints().await, Vec::<String>::new(), "with every right");
    if let Some((user, password)) = user {
        patient
            .act(&format!("set NATS_URL={}", broker.url().replace("nats://", &format!("nats://{user}:{password}@"))))
            .await;
    }
    patient.complaints().await
}

/// Users beside the one who may do everything.
fn users(others: &serde_json::Value) -> NatsOptions {
    let mut users = vec![json!({ "user": "root", "password": "root" })];
    users.extend(others.as_array().unwrap().iter().cloned());
    NatsOptions::default().extra("authorization", json!({ "users": users }))
}

#[tokio::test]
async fn a_login_that_is_refused_is_told() {
    let told = told("nats_login", users(&json!([])), Some(("root", "wrong"))).await;
    assert!(told[0].starts_with("Critical nats: cannot connect to NATS"), "{told:?}");
    assert!(told[0].contains("NATS refuses the login"), "{told:?}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_told_with_the_line_that_gives_it() {
    let may = |publish: &[&str]| json!([{ "user": "relay", "password": "p", "permissions": { "publish": publish } }]);
    let all = ["*.>", "$JS.API.>"];
    assert_eq!(told("rights_all", users(&may(&all)), Some(("relay", "p"))).await, Vec::<String>::new());

    let none = told("rights_none", users(&may(&["nothing"])), Some(("relay", "p"))).await;
    let line =
        none.iter().find(|line| line.starts_with("Critical nats.rights: ")).unwrap_or_else(|| panic!("{none:?}"));
    for part in [
        "may not publish to \"rights_none_",
        "$JS.API.STREAM.INFO.rights_none_",
        "allow it `publish: [",
        "`permissions`",
    ] {
        assert!(line.contains(part), "{line}");
    }
    // What cannot be asked is said, and not waited for.
    assert!(none.iter().any(|line| line.starts_with("Unknown stream: the NATS user may not ask")), "{none:?}");

    let deaf = json!([{ "user": "deaf", "password": "p", "permissions": { "subscribe": "nothing" } }]);
    let deaf = told("rights_deaf", users(&deaf), Some(("deaf", "p"))).await;
    assert!(deaf[0].contains("may not subscribe to \"_INBOX.>\""), "{deaf:?}");
    assert!(deaf[0].contains("allow it `subscribe: [\"_INBOX.>\"]`"), "{deaf:?}");
}

#[tokio::test]
async fn asking_for_rights_reaches_nobody() {
    let postgres = healthy_servers().await.first().unwrap();
    for binary in
        walpost::sandbox::servers::NatsBinary::all_installed(&walpost::sandbox::servers::Places::from_environment())
    {
        let broker = PrivateNats::start(NatsOptions::default().binary(binary)).await.unwrap();
        let name = format!("quiet_{}", broker.version().replace('.', "_"));
        let patient = Patient::new(postgres, &broker.url(), &name).await;
        let client = async_nats::connect(broker.url()).await.unwrap();
        let mut everything = client.subscribe(format!("{}.>", patient.stream)).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(patient.complaints().await, Vec::<String>::new());
        // Behind whatever doctor may have sent.
        client.publish(format!("{}.end", patient.stream), "".into()).await.unwrap();
        let first = futures_util::StreamExt::next(&mut everything).await.unwrap();
        assert_eq!(first.subject.as_str(), format!("{}.end", patient.stream));
    }
}

#[tokio::test]
async fn a_server_without_jetstream_or_room_is_told() {
    let postgres = healthy_servers().await.first().unwrap();
    let bare = PrivateNats::start(NatsOptions::default().extra("jetstream", json!(false))).await.unwrap();
    let name = "bare";
    postgres.execute_sql("CREATE DATABASE bare").await.unwrap();
    postgres.execute_sql("CREATE ROLE bare LOGIN REPLICATION").await.unwrap();
    let patient = Patient::of(postgres, &bare.url(), name).await;
    let told_bare = patient.complaints().await;
    let stream =
        told_bare.iter().find(|line| line.starts_with("Critical stream: ")).unwrap_or_else(|| panic!("{told_bare:?}"));
    assert!(stream.contains("offers no JetStream to this account") && stream.contains("nats-server -js"), "{stream}");

    let small = PrivateNats::start(NatsOptions::default().max_payload(2048)).await.unwrap();
    let small = Patient::new(postgres, &small.url(), "small").await.complaints().await;
    let expected = "Warning nats.max_payload: the server takes messages of 2.0 KiB at most | raise `max_payload = 1MB` in the \
                    configuration of the NATS server, and reload it";
    assert_eq!(small, [expected]);
}

#[tokio::test]
async fn an_account_that_is_nearly_full_is_told() {
    let postgres = healthy_servers().await.first().unwrap();
    let limits = json!({ "max_file": 10_000 });
    let options = NatsOptions::default()
        .extra("accounts", json!({ "A": { "jetstream": limits, "users": [{ "user": "root", "password": "root" }] } }));
    let broker = PrivateNats::start(options).await.unwrap();
    let patient = Patient::new(postgres, &broker.url().replace("nats://", "nats://root:root@"), "account").await;
    assert_eq!(patient.complaints().await, Vec::<String>::new());
    let subject = format!("{}.a.b", patient.stream);
    patient.jetstream.publish(subject, vec![b'x'; 9_600].into()).await.unwrap().await.unwrap();
    let told = patient.complaints().await;
    let account =
        told.iter().find(|line| line.starts_with("Critical nats.account: ")).unwrap_or_else(|| panic!("{told:?}"));
    assert!(account.contains("of 9.8 KiB on disk in use") && account.contains("max_file"), "{account}");
}

#[tokio::test]
async fn replicas_that_are_missing_are_told() {
    let postgres = healthy_servers().await.first().unwrap();
    let mut cluster = NatsCluster::start(NatsOptions::default()).await.unwrap();
    let mut patient = Patient::new(postgres, &cluster.url(), "replicas").await;
    let report = patient.examine().await;
    let one: Vec<_> = wrong(&report).iter().map(|finding| line(finding)).collect();
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(one[0].starts_with("Warning stream.replicas: one replica, although the servers form cluster "), "{one:?}");
    assert!(one[0].contains("--replicas=3 --force`"), "{one:?}");
    patient.is_cured().await;

    cluster.until_whole(&patient.stream).await.unwrap();
    let leader = cluster.leader_of(&patient.stream).await.unwrap();
    let follower = cluster.servers_mut().iter_mut().enumerate().find(|(index, _)| *index != leader).unwrap().1;
    follower.kill().await.unwrap();
    crate::wait::until("the replica is missed", async || {
        let report = patient.examine().await;
        wrong(&report).iter().any(|finding| {
            finding.verdict == Warning
                && finding.found.starts_with("1 of 3 replicas are not up to date")
                && finding.remedy.as_deref().is_some_and(|remedy| remedy.contains("start the servers that are away"))
        })
    })
    .await;
    assert!(!wrong(&patient.examine().await).iter().any(|finding| finding.verdict == Critical));
    let away = cluster.servers_mut().iter_mut().find(|server| !server.is_running()).unwrap();
    away.restart().await.unwrap();
    crate::wait::until("all replicas are there again", async || patient.complaints().await.is_empty()).await;
}
