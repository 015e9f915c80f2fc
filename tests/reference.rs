//! The pages under `docs/reference/`, rendered from the program and held against the committed files.
//!
//! After a wanted change, refresh them with `REFRESH_SNAPSHOTS=1 cargo test --test reference`, and read the difference.
#![cfg(test)]

#[path = "reference/deploy.rs"]
mod deploy;
#[path = "reference/errors.rs"]
mod errors;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use walpost::{
    config::{Config, ENDPOINT_FIELDS, EndpointField, KEYS, Key, KeyPreset, Kind, Sources},
    doctor::{Check, Side},
    plan::Plan,
    supervisor::Supervisor,
    telemetry::metrics::Metrics,
    webhooks::{Board, EndpointName, WebhookMetrics},
};

/// What every page says about itself.
const NOTICE: &str = "<!-- Rendered by tests/reference.rs. Change the program, not this page. -->\n";

/// The commands in the order of the page, each with the file in `tests/cli/help/` that holds its help.
const COMMANDS: [(&str, &str); 28] = [
    ("walpost", "walpost"),
    ("walpost run", "run"),
    ("walpost setup", "setup"),
    ("walpost dlq", "dlq"),
    ("walpost dlq list", "dlq-list"),
    ("walpost dlq show", "dlq-show"),
    ("walpost dlq retry", "dlq-retry"),
    ("walpost dlq discard", "dlq-discard"),
    ("walpost doctor", "doctor"),
    ("walpost status", "status"),
    ("walpost webhooks", "webhooks"),
    ("walpost webhooks run", "webhooks-run"),
    ("walpost webhooks setup", "webhooks-setup"),
    ("walpost webhooks list", "webhooks-list"),
    ("walpost webhooks show", "webhooks-show"),
    ("walpost webhooks test", "webhooks-test"),
    ("walpost webhooks enable", "webhooks-enable"),
    ("walpost webhooks disable", "webhooks-disable"),
    ("walpost webhooks dead", "webhooks-dead"),
    ("walpost webhooks replay", "webhooks-replay"),
    ("walpost webhooks discard", "webhooks-discard"),
    ("walpost webhooks attempts", "webhooks-attempts"),
    ("walpost sandbox", "sandbox"),
    ("walpost config", "config"),
    ("walpost config show", "config-show"),
    ("walpost config check", "config-check"),
    ("walpost completions", "completions"),
    ("walpost man", "man"),
];

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Holds a rendered page against the committed one, or replaces that.
fn compare(page: &str, rendered: &str) {
    let path = in_repository("docs/reference").join(page);
    if env::var_os("REFRESH_SNAPSHOTS").is_some() {
        fs::write(&path, rendered).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == rendered, "{} is stale: see the head of tests/reference.rs", path.display());
}

#[test]
fn the_page_of_the_configuration_is_that_of_the_program() {
    let mut page = format!("# Configuration\n\n{NOTICE}\n{CONFIG_INTRODUCTION}");
    let mut section = "";
    for key in KEYS {
        let (of_key, _) = key.name().split_once('.').unwrap();
        if of_key != section {
            section = of_key;
            write!(page, "\n## [{section}]\n\n| key | what it is | values | default |\n|---|---|---|---|\n").unwrap();
        }
        writeln!(page, "{}", row(key)).unwrap();
    }
    write!(page, "\n## [[webhooks.endpoint]]\n\n{ENDPOINT_INTRODUCTION}").unwrap();
    for EndpointField { name, doc, values, preset } in ENDPOINT_FIELDS {
        writeln!(page, "| `{name}` | {doc} | {values} | {preset} |").unwrap();
    }
    compare("config.md", &page);
}

/// The line of a table for one key.
fn row(key: &Key) -> String {
    let default = match key.preset() {
        KeyPreset::Required => "**required**".to_owned(),
        KeyPreset::Value(value) => format!("`{value}`"),
        KeyPreset::Unset(meaning) => meaning.to_owned(),
    };
    let values = match key.kind() {
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        kind => kind.describe(),
    };
    format!("| `{}`<br>`{}` | {} | {values} | {default} |", key.name(), key.environment_name(), key.doc())
}

/// What `/metrics` says of a process that has not begun.
fn metrics_text() -> String {
    let environment = vec![("WALPOST_POSTGRES_URL".into(), "postgres://app@db/app".into())];
    let loaded = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
    let supervisor = Supervisor::new(Plan::new(&loaded.config));
    Metrics::new(supervisor.progress(), supervisor.health()).render().unwrap()
}

/// What `/metrics` says of a process of webhooks that serves one endpoint.
fn webhook_metrics_text() -> String {
    let board = Arc::new(Board::default());
    board.of(&EndpointName::parse("endpoint").unwrap());
    WebhookMetrics::new(board).render().unwrap()
}

#[test]
fn the_page_of_the_metrics_is_that_of_the_program() {
    let text = metrics_text();

    let mut page = format!("# Metrics\n\n{NOTICE}\n{METRICS_INTRODUCTION}");
    for Family { name, help, unit, kind, labels } in families(&text) {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let labels: Vec<String> =
            labels.into_iter().map(|(label, values)| format!("`{label}`: {}", values.join(", "))).collect();
        writeln!(page, "| `{name}{suffix}` | {kind} | {unit} | {} | {help} |", labels.join("; ")).unwrap();
    }
    write!(page, "\n## walpost webhooks run\n\n{WEBHOOKS_INTRODUCTION}").unwrap();
    for Family { name, help, unit, kind, labels } in families(&webhook_metrics_text()) {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let is_of_all = name.contains("_refused_") || name.contains("_table_");
        let endpoint = if is_of_all { "" } else { "`endpoint`" };
        let outcomes = labels.get("outcome").map(|all| format!("; `outcome`: {}", all.join(", "))).unwrap_or_default();
        writeln!(page, "| `{name}{suffix}` | {kind} | {unit} | {endpoint}{outcomes} | {help} |").unwrap();
    }
    compare("metrics.md", &page);
}

/// One metric as the text format describes it.
#[derive(Clone, Default)]
struct Family {
    name: String,
    help: String,
    unit: String,
    kind: String,
    /// The values of each label, in the order of the text.
    labels: BTreeMap<String, Vec<String>>,
}

/// The metrics in an OpenMetrics text.
fn families(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                families.push(Family { name: name.to_owned(), help: help.to_owned(), ..Family::default() });
            }
            (Some("#"), Some("TYPE"), _, Some(kind)) => families.last_mut().unwrap().kind = kind.to_owned(),
            (Some("#"), Some("UNIT"), _, Some(unit)) => families.last_mut().unwrap().unit = unit.to_owned(),
            (Some("#"), ..) => {}
            _ => learn_labels(line, families.last_mut().unwrap()),
        }
    }
    families
}

/// Notes the labels of a sample. The bounds of a histogram are none that a reader would choose by, and the version is
/// another with every release.
fn learn_labels(sample: &str, family: &mut Family) {
    let Some((_, rest)) = sample.split_once('{') else { return };
    let (labels, _) = rest.split_once('}').unwrap();
    for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
        let value = match label {
            "le" => continue,
            "version" => "that of the program".to_owned(),
            _ => format!("`{}`", value.trim_matches('"')),
        };
        family.labels.entry(label.to_owned()).or_default().push(value);
    }
}

#[test]
fn the_page_of_the_command_line_is_that_of_the_help() {
    let mut page = format!("# Command line\n\n{NOTICE}\n{CLI_INTRODUCTION}");
    for (command, file) in COMMANDS {
        let help = fs::read_to_string(in_repository("tests/cli/help").join(format!("{file}.txt"))).unwrap();
        write!(page, "\n## {command}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    }
    compare("cli.md", &page);
}

#[test]
fn the_page_of_the_checks_is_that_of_doctor() {
    let mut page = format!("# Checks of walpost doctor\n\n{NOTICE}\n{CHECKS_INTRODUCTION}");
    let sides =
        [(Side::Postgres, "Postgres"), (Side::Nats, "NATS"), (Side::Walpost, "walpost"), (Side::Webhooks, "Webhooks")];
    for (side, title) in sides {
        write!(page, "\n## {title}\n\n| check | what is looked at | why |\n|---|---|---|\n").unwrap();
        for check in Check::ALL.iter().filter(|check| check.side() == side) {
            writeln!(page, "| `{}` | {} | {} |", check.id(), check.looks_at(), check.why()).unwrap();
        }
    }
    compare("checks.md", &page);
}

#[test]
fn no_command_is_left_out_of_the_page() {
    let mut files: Vec<_> = fs::read_dir(in_repository("tests/cli/help"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut listed: Vec<_> = COMMANDS.map(|(_, file)| format!("{file}.txt")).into();
    files.sort();
    listed.sort();
    assert_eq!(files, listed);
}

const CONFIG_INTRODUCTION: &str = "\
Each setting has one name. `nats.stream` is written as `stream` under `[nats]` in the file, as `WALPOST_NATS_STREAM` in
the environment, and as `--set nats.stream=...` on the command line. A flag wins over the environment, the environment
over the file, the file over the default. An empty variable counts as not set.

The file is `walpost.toml` in the working directory, or what `--config` or `WALPOST_CONFIG` names. Paths in it are taken
from the file's own folder. Unknown keys are errors, and all problems are reported at once, with exit code 2, before
anything is opened. `walpost config show` prints every setting and where it comes from; `walpost config check` only looks.

A secret can stand in a file of its own: `password_file` instead of `password`. One line end at the end of it is ignored.
";

const METRICS_INTRODUCTION: &str = "\
`GET /metrics` on the admin port (`admin.listen`, default `127.0.0.1:9464`), in the OpenMetrics text format. Counters begin
at 0 with each process. Labels come from closed sets: no subject, key or id ever becomes one. What is not known (yet) has
no sample. Alerts and a dashboard are in [`deploy/`](../../deploy/README.md).

| metric | type | unit | labels | what it is |
|---|---|---|---|---|
";

const ENDPOINT_INTRODUCTION: &str = "\
One table for each endpoint that events are [sent to over HTTP](../guides/webhooks.md). They stand in the file only. Paths are taken
from the file's own folder. With `webhooks.source = \"table\"` there are none: each endpoint is a row, whose columns are these fields but for
`secret_files` and `secret_variables`; lists are arrays of text, `headers` is a jsonb object, and null stands for the default.

| field | what it is | values | default |
|---|---|---|---|
";

const WEBHOOKS_INTRODUCTION: &str = "\
On the admin port of the role of webhooks. `endpoint` is the name of an endpoint that is served.

| metric | type | unit | labels | what it is |
|---|---|---|---|---|
";

const CHECKS_INTRODUCTION: &str = "\
What `walpost doctor` looks at. A name is for ever: with `--format json` a program can rely on it. How to read the report is in
[the guide](../guides/doctor.md).
";

const CLI_INTRODUCTION: &str = "\
Data goes to standard output, everything else to standard error.

| exit code | meaning |
|---|---|
| 0 | done; for `run`: stopped by a signal |
| 1 | failed; for `doctor`: something is critical; for `status`: nothing is delivered |
| 2 | wrong usage or configuration; nothing was touched |

SIGTERM and SIGINT end `run` in good order: it stops reading, waits up to `delivery.drain_timeout` for the broker's answers,
confirms them to Postgres and releases the slot. A failure is told last on standard error, with a code to [look up](errors/README.md).
";
