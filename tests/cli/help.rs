//! The help of every command, word for word.
//!
//! After a wanted change, refresh the files in `tests/cli/help/` with
//! `REFRESH_SNAPSHOTS=1 cargo test --test cli help`, and read the difference aloud.

use std::{env, fs};

use super::{Walpost, beside};

/// Each command, and the file that holds its help.
const COMMANDS: &[(&str, &[&str])] = &[
    ("walpost", &[]),
    ("run", &["run"]),
    ("setup", &["setup"]),
    ("dlq", &["dlq"]),
    ("dlq-list", &["dlq", "list"]),
    ("dlq-show", &["dlq", "show"]),
    ("dlq-retry", &["dlq", "retry"]),
    ("dlq-discard", &["dlq", "discard"]),
    ("doctor", &["doctor"]),
    ("status", &["status"]),
    ("webhooks", &["webhooks"]),
    ("webhooks-run", &["webhooks", "run"]),
    ("webhooks-setup", &["webhooks", "setup"]),
    ("webhooks-list", &["webhooks", "list"]),
    ("webhooks-show", &["webhooks", "show"]),
    ("webhooks-test", &["webhooks", "test"]),
    ("webhooks-enable", &["webhooks", "enable"]),
    ("webhooks-disable", &["webhooks", "disable"]),
    ("webhooks-dead", &["webhooks", "dead"]),
    ("webhooks-replay", &["webhooks", "replay"]),
    ("webhooks-discard", &["webhooks", "discard"]),
    ("webhooks-attempts", &["webhooks", "attempts"]),
    ("sandbox", &["sandbox"]),
    ("config", &["config"]),
    ("config-show", &["config", "show"]),
    ("config-check", &["config", "check"]),
    ("completions", &["completions"]),
    ("man", &["man"]),
];

#[test]
fn help_reads_as_written_down() {
    for (name, command) in COMMANDS {
        let answer = Walpost::new(&[command, &["--help"][..]].concat()).run();
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{name}");
        let path = beside("help").join(format!("{name}.txt"));
        if env::var_os("REFRESH_SNAPSHOTS").is_some() {
            fs::write(&path, &answer.stdout).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(answer.stdout, expected, "{} is stale: see the head of tests/cli/help.rs", path.display());
    }
}

#[test]
fn short_and_long_help_are_the_same() {
    for (name, command) in COMMANDS {
        let help = |flag| Walpost::new(&[command, &[flag][..]].concat()).run();
        assert_eq!(help("-h"), help("--help"), "{name}");
    }
}

#[test]
fn no_line_of_help_is_wider_than_a_screen() {
    for (name, command) in COMMANDS {
        let answer = Walpost::new(&[command, &["--help"][..]].concat()).run();
        for line in answer.stdout.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

#[test]
fn wrong_usage_is_told_on_standard_error() {
    for arguments in [
        &[][..],
        &["config"],
        &["fly"],
        &["run", "--fast"],
        &["sandbox", "--rate", "fast"],
        &["config", "show", "--format", "xml"],
        &["doctor", "--format", "xml"],
        &["status", "--watch", "--format", "xml"],
    ] {
        let answer = Walpost::new(arguments).run();
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!answer.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let answer = Walpost::new(&["--version"]).run();
    assert_eq!((answer.code, answer.stdout), (Some(0), format!("walpost {}\n", env!("CARGO_PKG_VERSION"))));
}
