//! `walpost status` beside a walpost that delivers, one that cannot, and none.

use std::{net::TcpListener, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use walpost::sandbox::servers::{NatsOptions, PrivateNats};

use super::{database::healthy_servers, patient::Patient};
use crate::wait;

/// The program with the patient's settings.
fn walpost(patient: &Patient, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walpost"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.current_dir(std::env::temp_dir());
    for (name, value) in &patient.settings {
        command.env(format!("WALPOST_{name}"), value);
    }
    command
}

/// The exit code and what it prints.
async fn status(patient: &Patient, arguments: &[&str]) -> (Option<i32>, String) {
    let output = walpost(patient, &[&["status"], arguments].concat()).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

async fn json(patient: &Patient) -> (Option<i32>, Value) {
    let (code, text) = status(patient, &["--format", "json"]).await;
    (code, serde_json::from_str(&text).unwrap())
}

fn run(patient: &Patient) -> Child {
    walpost(patient, &["run"]).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn status_tells_who_leads_how_far_it_is_and_what_it_waits_for() {
    let postgres = healthy_servers().await.first().unwrap();
    let mut broker = PrivateNats::start(NatsOptions::default()).await.unwrap();
    let mut patient = Patient::new(postgres, &broker.url(), "looked_at").await;
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    patient.act(&format!("set ADMIN_LISTEN={admin}")).await;

    let (code, before) = json(&patient).await;
    assert_eq!((code, &before["delivering"], &before["leader"]), (Some(1), &false.into(), &Value::Null));
    assert_eq!(before["slot"]["name"], "looked_at");
    let (code, text) = status(&patient, &[]).await;
    assert!(code == Some(1) && text.starts_with("state       not delivering: nobody reads from the slot\n"), "{text}");

    let mut leader = run(&patient);
    let insert = "sql INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                  SELECT gen_random_uuid(), 'order', n::text, 'placed', '{}' FROM generate_series(1, 100) n";
    patient.act(insert).await;
    wait::until("all is delivered and known", async || {
        let (_, now) = json(&patient).await;
        now["delivering"] == true && now["stream"]["messages"] == 100 && now["outbox"]["pending"] == 0
    })
    .await;
    told_while_it_delivers(&patient).await;
    watching(&patient).await;

    broker.kill().await.unwrap();
    patient.act(insert).await;
    wait::until("the leader is in trouble", async || {
        let (code, now) = json(&patient).await;
        code == Some(1) && now["service"]["trouble"]["code"] == "WP0401" && now["delivering"] == false
    })
    .await;
    let (code, text) = status(&patient, &[]).await;
    assert_eq!(code, Some(1));
    for part in [
        "state       not delivering\n",
        "error       WP0401 ",
        "error       nats: WP0401 cannot connect",
        "remedy      check that nats.url",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    leader.kill().await.unwrap();
}

async fn told_while_it_delivers(patient: &Patient) {
    let (code, now) = json(patient).await;
    assert_eq!(code, Some(0), "{now:#}");
    assert_eq!(now["leader"]["application_name"], "walpost");
    assert_eq!((&now["mode"], &now["service"]["phase"]), (&"chain".into(), &"leading".into()));
    for position in ["server", "received", "published", "confirmed"] {
        let lsn: walpost::lsn::Lsn =
            now["lsn"][position].as_str().unwrap_or_else(|| panic!("{now:#}")).parse().unwrap();
        assert!(lsn.is_valid(), "{position}");
    }
    assert!(now["lag"]["confirmed_bytes"].is_u64() && now["rate"]["events_per_second"].is_f64(), "{now:#}");
    assert_eq!((&now["outbox"]["dead"], &now["errors"]), (&0.into(), &Value::Array(Vec::new())));
    let (code, text) = status(patient, &[]).await;
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "state       delivering, chain mode\n",
        "leader      walpost from 127.0.0.1, pid ",
        "; the walpost on this host: leading\n",
        "slot        looked_at, reserved, ",
        ", 100 messages, ",
        "outbox      0 pending, 0 dead and undecided\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// Each look is a line, and an interrupt ends it as well as it stands.
async fn watching(patient: &Patient) {
    let mut watch =
        walpost(patient, &["status", "--watch", "--format", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for look in 0..2 {
        let line = lines.next_line().await.unwrap().unwrap();
        let now: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(now["delivering"], true, "{line}");
        assert_eq!(now["rate"]["events_per_second"].is_f64(), look > 0, "{line}");
    }
    let pid = nix::unistd::Pid::from_raw(watch.id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(watch.wait().await.unwrap().code(), Some(0));
}
