//! Broken configurations are refused, in the words of [`super::cases`], before anything else happens.

use std::{io::ErrorKind, net::TcpListener};

use super::{
    WHOLE, Walpost,
    cases::{
        FILES_AND_PAIRS, NAMES, OTHER_SOURCES, SYNTAX, TYPES,
        Text::{Alone, Below},
        URLS, VALUES,
    },
};

/// What `config check` must print for these lines.
fn told(lines: &[&str]) -> String {
    let count = lines.iter().filter(|line| !line.starts_with(' ')).count();
    let plural = if count == 1 { "" } else { "s" };
    let body: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("error: {count} problem{plural} in the configuration\n{body}")
}

#[test]
fn every_broken_file_is_refused_in_these_words() {
    for (text, lines) in [SYNTAX, NAMES, TYPES, VALUES, URLS, FILES_AND_PAIRS].concat() {
        let text = match text {
            Alone(text) => text.to_owned(),
            Below(text) => format!("{WHOLE}{text}"),
        };
        let walpost = Walpost::new(&["config", "check"]).file("walpost.toml", &text).file("empty.txt", "\n");
        let answer = walpost.run();
        assert_eq!(answer.stderr, told(lines), "{text}");
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{text}");
    }
}

#[test]
fn every_broken_variable_or_flag_is_refused_in_these_words() {
    for (variable, arguments, lines) in OTHER_SOURCES {
        let walpost = Walpost::new(&[&["config", "check"], *arguments].concat()).file("walpost.toml", WHOLE);
        let walpost = variable.iter().fold(walpost, |walpost, (name, value)| walpost.variable(name, value));
        let answer = walpost.run();
        assert_eq!(answer.stderr, told(lines), "{variable:?} {arguments:?}");
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{variable:?} {arguments:?}");
    }
}

/// The commands that would connect.
const COMMANDS: [&[&str]; 6] =
    [&["run"], &["setup", "--dry-run"], &["doctor"], &["status"], &["dlq", "list"], &["dlq", "retry", "1"]];

/// Every case, for every command that would go somewhere: the servers hear nothing.
#[test]
fn no_connection_is_opened_with_a_broken_configuration() {
    let servers = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [postgres, nats] = servers.each_ref().map(|server| server.local_addr().unwrap());
    let whole = format!("[postgres]\nurl = \"postgres://app@{postgres}/app\"\n");
    let mut count = 0;
    for (text, _) in [SYNTAX, NAMES, TYPES, VALUES, URLS, FILES_AND_PAIRS].concat() {
        let text = match text {
            Alone(text) => text.to_owned(),
            Below(text) => format!("{whole}{text}"),
        };
        // Where the address of NATS is not what is broken.
        let nats = (!text.contains("[nats]")).then(|| format!("nats://{nats}"));
        for command in COMMANDS {
            let walpost = Walpost::new(command).file("walpost.toml", &text).file("empty.txt", "\n");
            let walpost = nats.iter().fold(walpost, |walpost, url| walpost.variable("WALPOST_NATS_URL", url));
            let answer = walpost.run();
            assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{command:?}: {text}");
            assert!(
                answer.stderr.starts_with("error: ") && answer.stderr.contains(" in the configuration\n"),
                "{text}"
            );
        }
        count += 1;
    }
    assert!(count >= 50, "{count} cases");
    for server in servers {
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody connected");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text =
        "[postgres]\nsolt = \"a\"\npassword = \"canary\"\n[delivery]\nmax_in_flight = 0\n[log]\nlevel = \"inof\"\n";
    let walpost =
        Walpost::new(&["run", "--set", "nats.token=canary", "--log-format", "xml"]).file("walpost.toml", text);
    let answer = walpost.variable("WALPOST_NATS_STREAM", "a b").variable("WALPOST_NATS_STREM", "a").run();
    assert_eq!(
        answer.stderr,
        "\
error: 8 problems in the configuration
  walpost.toml:2: unknown key `postgres.solt`
    hint: did you mean `postgres.slot`?
  walpost.toml:5: delivery.max_in_flight: 0 is too small
    hint: a whole number from 1 to 65536
  walpost.toml:7: log.level: `inof` is not a level
    hint: did you mean `info`?
  WALPOST_NATS_STREM: unknown variable
    hint: did you mean `WALPOST_NATS_STREAM`?
  WALPOST_NATS_STREAM: `a b` is not a stream name
    hint: NATS takes 1 to 255 bytes without . * > / \\ and blanks
  --set nats.token: a secret on the command line can be read by every user of the machine
    hint: use WALPOST_NATS_TOKEN or WALPOST_NATS_TOKEN_FILE
  --log-format: `xml` is not one of auto, pretty, json
  postgres.url: required, but not given
    hint: set it in the configuration file or in WALPOST_POSTGRES_URL, or name a file that holds it in WALPOST_POSTGRES_URL_FILE
"
    );
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""));
}

#[cfg(unix)]
#[test]
fn text_that_is_not_utf8_is_refused() {
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};

    let mut walpost = Walpost::new(&["config", "check"]);
    fs::write(walpost.folder.path().join("walpost.toml"), b"\xff").unwrap();
    walpost.command.env("WALPOST_NATS_STREAM", OsStr::from_bytes(b"\xff"));
    let lines = ["walpost.toml: cannot be read: it is not UTF-8 text", "WALPOST_NATS_STREAM: not UTF-8 text"];
    assert_eq!(walpost.run().stderr, told(&lines));
}

#[test]
fn a_file_without_end_is_refused() {
    let answer = Walpost::new(&["config", "check", "--config", "/dev/zero"]).run();
    assert_eq!(answer.stderr, told(&["/dev/zero: cannot be read: it is larger than 1048576 bytes"]));
}
