//! The command itself: what it prints, how it ends, and that it changes nothing.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::{database::healthy_servers, patient::Patient};
use crate::world::nats;

/// What a run of the program came to: the exit code, standard output, standard error.
async fn doctor(patient: &Patient, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_walpost"));
    command.arg("doctor").args(arguments).current_dir(folder.path()).env_clear().stdin(Stdio::null());
    for (name, value) in &patient.settings {
        command.env(format!("WALPOST_{name}"), value);
    }
    let output = command.env("WALPOST_ADMIN_LISTEN", "127.0.0.1:1").output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_report_is_for_people_and_for_programs() {
    let server = healthy_servers().await.first().unwrap();
    let mut patient = Patient::new(server, &nats().await.url(), "command").await;
    let (code, text, error) = doctor(&patient, &[]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
    assert!(text.starts_with("Postgres\n  ok        postgres "), "{text}");
    assert!(text.contains("\nNATS\n  ok        nats "), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.ends_with(" ok") && !last.contains("critical"), "{text}");

    patient.act("sql ALTER PUBLICATION walpost SET (publish = 'update')").await;
    patient.act("nats stream edit {stream} --max-age=1h --force").await;
    let (code, text, error) = doctor(&patient, &[]).await;
    assert_eq!((code, error.as_str()), (Some(1), ""), "{text}");
    // The worst comes last, with its remedy in full.
    let (warning, critical) =
        (text.find("warning: stream.age: after 1 h 0 min\n"), text.find("critical: WP0202 publication.inserts: "));
    assert!(warning.is_some() && warning < critical, "{text}");
    let end = "  remedy: run `ALTER PUBLICATION \"walpost\" SET (publish = 'insert');`\n  see: docs/reference/errors/WP0202.md\n\n1 critical, 1 warning, ";
    assert!(text.contains(end), "{text}");

    let (code, text, error) = doctor(&patient, &["--format", "json"]).await;
    assert_eq!((code, error.as_str()), (Some(1), ""));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&report["verdict"], &report["counts"]["critical"], &report["counts"]["warning"]),
        (&"critical".into(), &1.into(), &1.into())
    );
    let finding = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["check"] == "publication.inserts")
        .unwrap();
    assert_eq!(finding["side"], "postgres");
    assert_eq!(finding["verdict"], "critical");
    assert_eq!(finding["run"][0], "ALTER PUBLICATION \"walpost\" SET (publish = 'insert');");
    assert_eq!(finding["see"], "docs/reference/errors/WP0202.md");

    // Neither run has mended or made anything.
    let (again, _, _) = doctor(&patient, &[]).await;
    assert_eq!(again, Some(1));
    patient.is_cured().await;
}

#[tokio::test]
async fn servers_that_are_away_are_told_with_everything_that_could_not_be_checked() {
    let server = healthy_servers().await.first().unwrap();
    let mut patient = Patient::new(server, &nats().await.url(), "away").await;
    patient.act("set POSTGRES_URL=postgres://a:canary@127.0.0.1:1/a").await;
    patient.act("set NATS_URL=nats://a:canary@127.0.0.1:1").await;
    let (code, text, error) = doctor(&patient, &[]).await;
    assert_eq!((code, error.as_str()), (Some(1), ""));
    for part in [
        "critical: WP0101 postgres: ",
        "critical: WP0401 nats: ",
        " checks             it depends on something",
        "\n2 critical, ",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("canary"), "{text}");
}
