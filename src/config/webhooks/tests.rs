//! Endpoints as they are configured: everything that is wrong at once, and no secret in any of it.

use std::{fs, path::Path, time::Duration};

use crate::{
    config::{Config, Loaded, LoadedWorker, Problems, Sources},
    webhooks::{BodyFormat, Ordering, Start},
};

/// A day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A good secret.
const SECRET: &str = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ";

/// The configuration in this text, which stands in a file of this folder.
fn load_in(folder: &Path, text: &str) -> Result<Loaded, Problems> {
    let file = folder.join("walpost.toml");
    fs::write(&file, format!("[postgres]\nurl = \"postgres://a@b\"\n{text}")).unwrap();
    let environment = vec![("HOOK_SECRET".into(), SECRET.into()), ("EMPTY".into(), "".into())];
    Config::load(&Sources { file: Some(file), environment, overrides: Vec::new() })
}

fn load(text: &str) -> Result<Loaded, Problems> {
    load_in(tempfile::tempdir().unwrap().path(), text)
}

fn endpoint(fields: &str) -> String {
    format!(
        "[[webhooks.endpoint]]\nname = \"a\"\nurl = \"https://example.com/hook\"\nsecrets = [\"{SECRET}\"]\n{fields}\n"
    )
}

/// What is wrong, without the name of the file.
fn problems(text: &str) -> Vec<String> {
    let problems = load(text).err().map(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>());
    let after_file = |line: &String| line.split_once("walpost.toml:").map_or(line.clone(), |(_, rest)| rest.to_owned());
    problems.unwrap_or_default().iter().map(after_file).collect()
}

#[test]
fn name_url_and_secret_are_all_it_takes() {
    let Loaded { config, .. } = load(&endpoint("")).unwrap();
    let [endpoint] = &config.webhooks.endpoints[..] else { panic!("{:?}", config.webhooks.endpoints) };
    assert_eq!((endpoint.name.as_str(), endpoint.target.to_string().as_str()), ("a", "https://example.com"));
    assert_eq!((endpoint.subjects.as_slice(), endpoint.secrets.len()), (&["outbox.>".to_owned()][..], 1));
    assert_eq!((endpoint.format, endpoint.ordering, endpoint.start), Default::default());
    assert_eq!((endpoint.concurrency, endpoint.max_waiting, endpoint.is_enabled), (16, 1000, true));
    assert_eq!((endpoint.timeout.as_secs(), endpoint.disable_after, endpoint.schedule.attempts()), (15, 5 * DAY, 8));
    assert_eq!(config.webhooks.lease.as_secs(), 10);
}

#[test]
fn every_field_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("next"), format!("{SECRET}\n")).unwrap();
    let text = format!(
        r#"[webhooks]
        lease = "3s"
        allow_addresses = "127.0.0.0/8, fd00::/8"
        [[webhooks.endpoint]]
        name = "b-2"
        url = "http://127.1:8080/x"
        plain_http = true
        secrets = ["{SECRET}"]
        secret_files = ["next"]
        secret_variables = ["HOOK_SECRET"]
        subjects = ["outbox.order.>", "outbox.*.paid"]
        format = "cloudevents"
        ordering = "aggregate"
        headers = {{ Authorization = "Bearer canary" }}
        concurrency = 4
        timeout = "3s"
        retries = ["100ms", "1h"]
        max_waiting = 50
        disable_after = "2d"
        start = "all"
        enabled = false
        [[webhooks.endpoint]]
        name = "c"
        url = "https://example.com"
        secret_variables = ["HOOK_SECRET"]
        retries = []
        "#
    );
    let Loaded { config, .. } = load_in(folder.path(), &text).unwrap();
    let [b, c] = &config.webhooks.endpoints[..] else { panic!("{:?}", config.webhooks.endpoints) };
    assert_eq!((b.target.to_string().as_str(), b.secrets.len(), b.subjects.len()), ("http://127.0.0.1:8080", 3, 2));
    assert_eq!((b.format, b.ordering, b.start), (BodyFormat::CloudEvents, Ordering::Aggregate, Start::All));
    assert_eq!((b.concurrency, b.max_waiting, b.is_enabled, b.headers.len()), (4, 50, false, 1));
    assert_eq!((b.timeout.as_secs(), b.disable_after, b.schedule.attempts()), (3, 2 * DAY, 3));
    assert_eq!((c.schedule.attempts(), config.webhooks.lease.as_secs()), (1, 3));
    let shown = format!("{config:?}");
    assert!(!shown.contains("canary") && !shown.contains("CANARY") && !shown.contains("Q0FOQVJZ"), "{shown}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = r#"[webhooks]
lease = "0s"
allow_addresses = "10.0.0.1/8"
[[webhooks.endpoint]]
nam = "x"
url = "http://example.com/token-canary"
secrets = ["canary"]
secret_files = ["nowhere"]
secret_variables = ["EMPTY", "UNSET"]
subjects = ["a..b"]
format = "xml"
ordering = true
headers = { Host = "canary" }
concurrency = 0
timeout = 15
retries = ["soon"]
[[webhooks.endpoint]]
name = "b"
url = "https://2130706433/"
"#;
    let lines = problems(text);
    let expected = [
        "4: must be at least 1s",
        "5: webhooks.allow_addresses: `10.0.0.1/8`: there are bits behind the prefix of the network",
        "6: webhooks.endpoint.name: required, but not given",
        "7: unknown field `nam` of an endpoint",
        "8: webhooks.endpoint.url: http is not encrypted",
        "9: webhooks.endpoint.secrets: a signing secret begins with whsec_, or with whsk_ if it is an Ed25519 key",
        "10: webhooks.endpoint.secret_files: the file cannot be read: no such file",
        "11: webhooks.endpoint.secret_variables: a signing secret begins with whsec_, or with whsk_ if it is an Ed25519 key",
        "11: webhooks.endpoint.secret_variables: the variable is not set, or is not text",
        "12: webhooks.endpoint.subjects: `a..b` is not a filter of subjects",
        "13: webhooks.endpoint.format: `xml` is not one of raw, envelope, cloudevents",
        "14: webhooks.endpoint.ordering: expected text",
        "15: webhooks.endpoint.headers: `Host`: walpost sets this header itself",
        "16: webhooks.endpoint.concurrency: expected a whole number from 1 to 256",
        "17: webhooks.endpoint.timeout: expected text",
        "18: webhooks.endpoint.retries: `soon` is not a duration",
        "19: webhooks.endpoint: no secret to sign with",
        "21: webhooks.endpoint.url: 127.0.0.1 is no address of the public internet",
    ];
    for line in expected {
        let is_told = |told: &String| told == line || told.replace(": webhooks.lease", "") == line;
        assert!(lines.iter().any(is_told), "{line}\nis missing in\n{}", lines.join("\n"));
    }
    assert_eq!(lines.len(), expected.len(), "{}", lines.join("\n"));
    assert!(!lines.concat().contains("canary"), "{lines:?}");
}

#[test]
fn ports_are_those_that_are_allowed_where_a_table_may_be_anybody_s_only_the_usual_ones() {
    let at = |port: u16, more: &str| {
        let webhooks = format!("[webhooks]\n{more}\n");
        webhooks + &endpoint("").replace("example.com", &format!("example.com:{port}"))
    };
    // The file is written by whoever runs this: any port, unless that is narrowed.
    for (port, more) in [(6379, ""), (6379, "allow_ports = \"6379\""), (9001, "allow_ports = \"443, 9000-9999\"")] {
        assert!(load(&at(port, more)).is_ok(), "{port} {more}");
    }
    let refused = load(&at(6379, "allow_ports = \"443, 9000-9999\"")).unwrap_err();
    let [problem] = &refused.iter().collect::<Vec<_>>()[..] else { panic!("{refused:?}") };
    assert!(problem.to_string().ends_with(":7: webhooks.endpoint.url: port 6379 is not one that endpoints may have"));
    assert_eq!(problem.hint(), Some("webhooks.allow_ports says which they may have; now 443, 9000-9999"));
    assert_eq!(
        problems(&at(443, "allow_ports = \"443, 0\"")),
        ["4: webhooks.allow_ports: `443, 0`: not ports from 1 to 65535, or ranges of them, with commas between them"]
    );

    let row = |port: u16| format!(r#"{{"name": "a", "url": "https://example.com:{port}/x", "secrets": ["{SECRET}"]}}"#);
    let table = |more: &str| {
        let loaded = load(&format!("[webhooks]\nsource = \"table\"\n{more}\n")).unwrap();
        loaded.config.webhooks.table.unwrap()
    };
    for port in [80, 443, 8443] {
        assert!(table("").endpoint(&row(port)).is_ok(), "{port}");
    }
    let refused = table("").endpoint(&row(6379)).unwrap_err();
    assert_eq!(refused.to_string(), "url: port 6379 is not one that endpoints may have");
    assert_eq!(refused.problems[0].hint(), Some("webhooks.allow_ports says which they may have; now 80, 443, 8443"));
    let others = table("allow_ports = \"6379\"");
    assert!(others.endpoint(&row(6379)).is_ok() && others.endpoint(&row(443)).is_err());
    assert!(table("allow_ports = \"1-65535\"").endpoint(&row(6379)).is_ok());
}

#[test]
fn two_endpoints_have_two_names_and_tables_are_written_as_such() {
    let two = endpoint("") + &endpoint("");
    assert_eq!(problems(&two), ["8: webhooks.endpoint.name: `a` is the name of another endpoint"]);
    for text in ["[webhooks]\nendpoint = 1\n", "[webhooks.endpoint]\nname = \"a\"\n", "[webhooks]\nendpoint = [1]\n"] {
        let lines = problems(text);
        assert!(matches!(&lines[..], [line] if line.ends_with("webhooks.endpoint: expected tables")), "{lines:?}");
    }
}

#[test]
fn the_role_of_webhooks_needs_no_login_to_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("walpost.toml");
    fs::write(&file, endpoint("")).unwrap();
    let sources = Sources { file: Some(file), ..Sources::default() };
    assert!(Config::load(&sources).is_err());
    let LoadedWorker { config, rows } = Config::load_worker(&sources).unwrap();
    assert!(rows.iter().all(|row| !row.key.name().starts_with("postgres.") && !row.key.name().starts_with("outbox.")));
    assert_eq!((config.webhooks.endpoints.len(), config.nats.stream.as_str()), (1, "OUTBOX"));
}

#[test]
fn endpoints_are_in_the_file_or_in_a_table_and_only_a_table_needs_a_login_to_postgres() {
    let both = format!("[webhooks]\nsource = \"table\"\n{}", endpoint(""));
    assert_eq!(problems(&both), ["5: webhooks.endpoint: cannot go together with webhooks.source = \"table\""]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("walpost.toml");
    let load = |text: &str| {
        fs::write(&file, text).unwrap();
        let loaded = Config::load_worker(&Sources { file: Some(file.clone()), ..Sources::default() });
        loaded.map(|loaded| loaded.config)
    };
    let lines = |text: &str| {
        let problems = load(text).unwrap_err();
        problems.iter().map(|problem| problem.to_string().replace(&file.display().to_string(), "f")).collect::<Vec<_>>()
    };
    // A secret that the role has no use for stays closed.
    let postgres = "[postgres]\nurl_file = \"nowhere\"\n";
    assert!(load(&format!("{postgres}{}", endpoint(""))).unwrap().postgres.is_none());
    let in_table = "[webhooks]\nsource = \"table\"\n";
    assert_eq!(
        lines(&format!("{postgres}{in_table}")),
        ["f:2: postgres.url_file: the file cannot be read: no such file"]
    );
    assert_eq!(lines(in_table), ["postgres.url: required, but not given"]);

    let text = format!("[postgres]\nurl = \"postgres://a@b\"\n{in_table}table = \"app.hooks\"\nrefresh = \"5s\"\n");
    let config = load(&text).unwrap();
    let table = config.webhooks.table.unwrap();
    assert_eq!((table.name.to_string().as_str(), table.refresh.as_secs()), ("app.hooks", 5));
    assert_eq!(config.postgres.unwrap().endpoint.to_string(), "a@b:5432/a");
}
