//! `walpost config`: what is shown, where it comes from, and what never is.

use std::{fs::OpenOptions, process::Stdio};

use serde_json::Value;

use super::{WHOLE, Walpost};

/// The value and the origin that `config show` prints for `key`.
fn shown(walpost: Walpost, key: &str) -> (String, String) {
    let answer = walpost.run();
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
    let line = answer.stdout.lines().find(|line| line.split_whitespace().next() == Some(key));
    let mut cells =
        line.expect("every key is shown").split("  ").map(str::trim).filter(|cell| !cell.is_empty()).skip(1);
    let mut cell = || cells.next().expect("every line has three cells").to_owned();
    (cell(), cell())
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let show = |arguments: &[&str]| Walpost::new(&[&["config", "show"], arguments].concat());
    let with_file = |walpost: Walpost, line: &str| walpost.file("walpost.toml", &format!("{WHOLE}{line}\n"));
    let is = |walpost, value: &str, origin: &str| {
        assert_eq!(shown(walpost, "log.level"), (value.to_owned(), origin.to_owned()));
    };
    let set = ["--set", "log.level=warn"];
    is(with_file(show(&[]), ""), "info", "default");
    is(with_file(show(&[]), "[log]\nlevel = \"debug\""), "debug", "walpost.toml:4");
    let both = with_file(show(&[]), "[log]\nlevel = \"debug\"").variable("WALPOST_LOG_LEVEL", "error");
    is(both, "error", "WALPOST_LOG_LEVEL");
    let all = with_file(show(&set), "[log]\nlevel = \"debug\"").variable("WALPOST_LOG_LEVEL", "error");
    is(all, "warn", "--set log.level");
    is(with_file(show(&[&set[..], &["--log-level", "off"]].concat()), ""), "off", "--log-level");
    is(with_file(show(&[&set[..], &["--set", "log.level=trace"]].concat()), ""), "trace", "--set log.level");
}

#[test]
fn the_file_is_the_one_of_the_flag_then_of_the_environment_then_the_usual_one() {
    let stream = |name: &str| format!("{WHOLE}[nats]\nstream = \"{name}\"\n");
    let walpost = |arguments: &[&str]| {
        Walpost::new(&[&["config", "show"], arguments].concat())
            .file("walpost.toml", &stream("USUAL"))
            .file("a.toml", &stream("ENVIRONMENT"))
            .file("b.toml", &stream("FLAG"))
    };
    assert_eq!(shown(walpost(&[]), "nats.stream").0, "USUAL");
    let empty = walpost(&[]).variable("WALPOST_CONFIG", "");
    assert_eq!(shown(empty, "nats.stream").0, "USUAL");
    let named = walpost(&[]).variable("WALPOST_CONFIG", "a.toml");
    assert_eq!(shown(named, "nats.stream"), ("ENVIRONMENT".into(), "a.toml:4".into()));
    let flag = walpost(&["--config", "b.toml"]).variable("WALPOST_CONFIG", "a.toml");
    assert_eq!(shown(flag, "nats.stream"), ("FLAG".into(), "b.toml:4".into()));
}

#[test]
fn the_environment_is_enough() {
    let walpost = Walpost::new(&["config", "check"]).variable("WALPOST_POSTGRES_URL", "postgres://db/app");
    let answer = walpost.run();
    let keys = walpost::config::KEYS.len();
    assert_eq!(answer.stdout, format!("ok: the configuration is whole (1 of {keys} keys given)\n"));
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_configuration_for_webhooks_alone_is_whole_without_postgres() {
    let text = "[[webhooks.endpoint]]\nname = \"shop\"\nurl = \"https://shop.example.com\"\nsecret_files = [\"s\"]\n";
    let secret = format!("whsec_{}\n", "A".repeat(44));
    let check = |text: &str| {
        let walpost = Walpost::new(&["config", "check", "--webhooks"]);
        walpost.file("walpost.toml", text).file("s", &secret).run()
    };
    let answer = check(text);
    assert_eq!(answer.stdout, "ok: the configuration of webhooks is whole (1 endpoint)\n", "{}", answer.stderr);
    assert_eq!(answer.code, Some(0));
    let answer = check(&text.replace("https", "http"));
    assert!(answer.stderr.contains("webhooks.endpoint"), "{}", answer.stderr);
    assert_eq!(answer.code, Some(2));
    let answer = check("[webhooks]\nsource = \"table\"\n");
    assert!(answer.stderr.contains("postgres.url: required"), "{}", answer.stderr);
    assert_eq!(answer.code, Some(2));
}

#[test]
fn who_forgets_that_a_configuration_is_for_webhooks_alone_is_told_how_to_look_at_it() {
    let endpoint =
        "[[webhooks.endpoint]]\nname = \"shop\"\nurl = \"https://shop.example.com\"\nsecret_files = [\"s\"]\n";
    let secret = format!("whsec_{}\n", "A".repeat(44));
    let run = |arguments: &[&str], text: &str| {
        let walpost = Walpost::new(&[&["config"], arguments].concat());
        walpost.file("walpost.toml", text).file("s", &secret).run()
    };
    let hint =
        "`walpost webhooks` needs none: `walpost config check --webhooks` and `walpost config show --webhooks` look at";
    for text in [endpoint, "[webhooks]\nsource = \"file\"\n"] {
        for command in ["check", "show"] {
            let answer = run(&[command], text);
            let told = answer.stderr.contains("postgres.url: required, but not given") && answer.stderr.contains(hint);
            assert!(told && answer.code == Some(2), "{command} {text}: {}", answer.stderr);
        }
        assert_eq!(run(&["check", "--webhooks"], text).code, Some(0));
    }
    // Where that would be no help, nobody is sent there.
    for text in ["", "[webhooks]\nlease = \"5s\"\n", "[webhooks]\nsource = \"table\"\n"] {
        let answer = run(&["check"], text);
        assert!(answer.stderr.contains("postgres.url: required") && !answer.stderr.contains("--webhooks"), "{text}");
    }

    let answer = run(&["show", "--webhooks"], &format!("[nats]\nurl = \"nats://a:canary@b\"\n{endpoint}"));
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
    let keys: Vec<_> = answer.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(keys.contains(&"nats.url") && keys.contains(&"log.level") && keys.contains(&"webhooks.endpoint.shop"));
    assert!(!keys.iter().any(|key| key.starts_with("postgres.") || key.starts_with("outbox.")), "{keys:?}");
    assert!(answer.stdout.contains("walpost.toml:3") && !answer.stdout.contains("canary"), "{}", answer.stdout);
    let table = "[postgres]\nurl = \"postgres://a:canary@b/c\"\n[webhooks]\nsource = \"table\"\n";
    let answer = run(&["show", "--webhooks"], table);
    let is_shown =
        answer.stdout.contains("postgres.url") && answer.stdout.contains("table public.walpost_webhook_endpoint");
    assert!(is_shown && !answer.stdout.contains("canary"), "{} {}", answer.stdout, answer.stderr);
}

#[test]
fn json_has_the_same_rows() {
    let walpost = Walpost::new(&["config", "show", "--format", "json"]).file("walpost.toml", WHOLE);
    let answer = walpost.variable("WALPOST_NATS_TOKEN", "canary").run();
    let rows: Vec<Value> = serde_json::from_str(&answer.stdout).unwrap();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap();
    assert_eq!(row("postgres.url")["origin"], serde_json::json!({"kind": "file", "path": "walpost.toml", "line": 2}));
    assert_eq!(row("postgres.slot")["value"], "walpost");
    assert_eq!((&row("nats.token")["value"], &row("nats.token")["hidden"]), (&Value::Null, &Value::Bool(true)));
    assert_eq!((&row("nats.nkey")["value"], &row("nats.nkey")["hidden"]), (&Value::Null, &Value::Bool(false)));
}

#[test]
fn endpoints_are_shown_with_where_they_stand() {
    let show = || Walpost::new(&["config", "show"]);
    let endpoint = "[[webhooks.endpoint]]\nname = \"shop\"\nurl = \"https://example.com/canary\"\n\
                    secrets = [\"whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ\"]\n";
    let with_file = |text: &str| show().file("walpost.toml", &format!("{WHOLE}{text}"));
    let of_file = shown(with_file(endpoint), "webhooks.endpoint.shop");
    assert_eq!(of_file, ("https://example.com".to_owned(), "walpost.toml:3".to_owned()));
    let answer = with_file(endpoint).run().stdout;
    assert!(!answer.contains("canary") && !answer.contains("Q0FO"), "{answer}");
    let (told, origin) = shown(with_file("[webhooks]\nsource = \"table\"\n"), "webhooks.endpoint");
    assert_eq!(
        (told.as_str(), origin.as_str()),
        ("(see `walpost webhooks list`)", "table public.walpost_webhook_endpoint")
    );
}

#[test]
fn a_secret_is_in_no_output() {
    const CANARY: &str = "hunter2";
    let base = format!("{WHOLE}password = \"{CANARY}\"\n");
    let files = [
        base.clone(),
        format!("[postgres]\nurl = \"postgres://app:{CANARY}@db/app?sslmode=require\"\n"),
        format!("[postgres]\nurl = \"postgres://app@db/app?password={CANARY}\"\n"),
        format!("[postgres]\nurl = \"postgres://app:x@{CANARY}@db\"\n"),
        format!("[postgres]\nurl = \"postgres://app:x/{CANARY}@db\"\n"),
        format!("[postgres]\nurl = \"postgres://app:x?{CANARY}@db\"\n"),
        format!("[postgres]\nurl = \"postgres://app:x?{CANARY}=1\"\n"),
        format!("[postgres]\nurl = \"host=db password={CANARY}\"\n"),
        format!("[postgres]\nurl = \"postgres://app:{CANARY}%zz@db/app\"\n"),
        format!("[postgres]\nurl = \"postgres://app:{CANARY}\"x@db/app\"\n"),
        format!("[postgres]\npassword = {CANARY}\n"),
        format!("[postgres]\npassword = \"{CANARY}\n"),
        format!("{WHOLE}password = [\"{CANARY}\"]\n"),
        format!("{WHOLE}password_file = \"{CANARY}\"\n"),
        format!("{WHOLE}[nats]\nurl = \"nats://{CANARY}@nats\"\n"),
        format!("{WHOLE}[nats]\nurl = \"nats://a:{CANARY}@nats,nats://b:x@nats\"\n"),
        format!("{WHOLE}[nats]\nurl = \"http://a:{CANARY}@nats\"\n"),
        format!("{WHOLE}[nats]\nurl = \"nats://a:{CANARY}@na ts\"\n"),
        format!("{WHOLE}[nats]\nuser = \"u\"\npassword = \"{CANARY}\"\ntoken = \"{CANARY}\"\nnkey = \"{CANARY}\"\n"),
        format!("{WHOLE}[nats]\ntoken = '''{CANARY}\n"),
    ];
    let commands: [&[&str]; 5] = [
        &["config", "check"],
        &["config", "show"],
        &["config", "show", "--format", "json"],
        &["run"],
        &["setup", "--log-level", "trace"],
    ];
    for file in &files {
        for command in commands {
            let answer = Walpost::new(command).file("walpost.toml", file).run();
            assert!(
                !answer.stdout.contains(CANARY) && !answer.stderr.contains(CANARY),
                "{command:?} {file} {answer:?}"
            );
        }
    }
    let url = format!("nats.url=nats://{CANARY}@nats");
    let password = format!("postgres.password={CANARY}");
    let slip = format!("postgres://u:{CANARY}@h/db?sslmode=require");
    for set in [url.as_str(), password.as_str(), slip.as_str(), CANARY] {
        let answer = Walpost::new(&["config", "check", "--set", set]).file("walpost.toml", WHOLE).run();
        assert_eq!(answer.code, Some(2), "{set}");
        assert!(!answer.stderr.contains(CANARY), "{set} {answer:?}");
    }
    for name in ["WALPOST_POSTGRES_PASSWORD_FILE", "WALPOST_NATS_TOKN", "WALPOST_NATS_URL", "WALPOST_POSTGRES_URL"] {
        let answer = Walpost::new(&["config", "check"]).file("walpost.toml", &base).variable(name, CANARY).run();
        assert!(!answer.stderr.contains(CANARY), "{name} {answer:?}");
    }
}

#[test]
fn colours_come_only_when_they_are_welcome() {
    let check = || Walpost::new(&["config", "check"]);
    assert!(!check().run().stderr.contains('\u{1b}'));
    assert!(check().variable("CLICOLOR_FORCE", "1").run().stderr.contains("\u{1b}[31m"));
    let neither = check().variable("CLICOLOR_FORCE", "1").variable("NO_COLOR", "1").run();
    assert!(!neither.stderr.contains('\u{1b}'));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let answer = Walpost::new(&["config", "show"]).file("walpost.toml", WHOLE).stdout_to(Stdio::from(full)).run();
    assert_eq!(answer.code, Some(1));
    assert_eq!(
        answer.stderr,
        "error: the output cannot be written\ncaused by: No space left on device (os error 28)\n"
    );
}

#[test]
fn a_broken_configuration_stops_every_command_that_needs_one() {
    for command in [
        &["run"][..],
        &["run", "--setup"],
        &["setup"],
        &["setup", "--dry-run"],
        &["config", "show"],
        &["config", "check"],
    ] {
        let answer = Walpost::new(command).run();
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{command:?}");
        assert!(
            answer.stderr.starts_with("error: 1 problem in the configuration\n  postgres.url: required"),
            "{command:?}"
        );
    }
}
