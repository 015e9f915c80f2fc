//! Servers that take connections and then do nothing: doctor says so, and does not wait for long.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use walpost::{
    doctor::{Report, Verdict},
    survey::Patience,
};

use super::patient::Patient;
use crate::world::{nats, servers};

/// Each question alone might take for ever.
fn patience(whole: Duration) -> Patience {
    let hours = Duration::from_secs(100 * 3600);
    Patience { connection: hours, answer: hours, sample: Duration::from_millis(1), whole }
}

/// What a check says.
fn found<'a>(report: &'a Report, check: &str) -> (Verdict, &'a str) {
    let finding = report.findings().iter().find(|finding| finding.check.id() == check).unwrap();
    (finding.verdict, &finding.found)
}

/// A port that takes connections, hands on what a server says until it is ready for the first question, and nothing more. Without
/// a server it says nothing at all.
async fn stuck_port(server: Option<u16>) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut held = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            held.spawn(hold(client, server));
        }
    });
    (port, tasks)
}

async fn hold(mut client: TcpStream, server: Option<u16>) {
    if let Some(server) = server {
        let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        let (mut of_client, mut of_server) = (vec![0; 4096], vec![0; 4096]);
        loop {
            tokio::select! {
                count = client.read(&mut of_client) => {
                    let Ok(count @ 1..) = count else { return };
                    server.write_all(&of_client[..count]).await.unwrap();
                }
                count = server.read(&mut of_server) => {
                    let Ok(count @ 1..) = count else { return };
                    client.write_all(&of_server[..count]).await.unwrap();
                    // `ReadyForQuery`, outside of a transaction.
                    if of_server[..count].ends_with(b"Z\0\0\0\x05I") {
                        break;
                    }
                }
            }
        }
    }
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn servers_that_say_nothing_are_told_and_not_waited_for() {
    let server = &servers().await[0];
    let mut patient = Patient::new(server, &nats().await.url(), "stuck_silent").await;
    let (port, _held) = stuck_port(None).await;
    patient.act(&format!("set POSTGRES_URL=postgres://a@127.0.0.1:{port}/a?connect_timeout=3600")).await;
    patient.act(&format!("set NATS_URL=nats://127.0.0.1:{port}")).await;
    patient.act("set WEBHOOKS_SOURCE=table").await;
    let report = patient.examine_with(patience(Duration::from_secs(1))).await;
    for check in ["postgres", "nats"] {
        let (verdict, told) = found(&report, check);
        assert!(verdict == Verdict::Critical && told.starts_with("no answer within"), "{check}: {told}");
    }
    let well = report.findings().iter().filter(|finding| finding.verdict == Verdict::Ok);
    let well: Vec<_> = well.map(|finding| finding.check.id()).collect();
    assert_eq!(well, ["walpost.running"], "that there is none on this host needs no server");
}

#[tokio::test]
async fn of_a_server_that_is_stuck_after_the_login_what_was_not_asked_is_told() {
    let server = &servers().await[0];
    let mut patient = Patient::new(server, &nats().await.url(), "stuck_later").await;
    let (port, _held) = stuck_port(Some(server.port())).await;
    patient.act(&format!("set POSTGRES_URL=postgres://stuck_later@127.0.0.1:{port}/stuck_later")).await;
    let patience = Patience { answer: Duration::from_secs(2), ..patience(Duration::from_secs(5)) };
    let report = patient.examine_with(patience).await;
    let (verdict, told) = found(&report, "postgres");
    let words = "lets us in, and then says nothing: no answer within 2.0 s";
    assert!(verdict == Verdict::Critical && told.ends_with(words), "{verdict:?} {told}");
    assert_eq!(found(&report, "stream").0, Verdict::Ok, "the other side is looked at all the same");
    let others = report.findings().iter().filter(|finding| finding.check.id() != "postgres");
    let bad = others.into_iter().find(|finding| finding.verdict > Verdict::Unknown);
    assert!(bad.is_none(), "nobody knows that it is so: {bad:?}");
    let all: Vec<&str> = report.findings().iter().map(|finding| finding.found.as_str()).collect();
    for told in ["no answer within", "not asked: other answers took all the time"] {
        assert!(all.iter().any(|found| found.starts_with(told)), "{told}: {all:#?}");
    }
}
