//! The guide `docs/guides/quickstart.md`, word for word: every file is written, every command typed, every answer compared.
//!
//! What the guide asks for is there before: a database with a table and an application's role, a NATS server, passwords and TLS
//! on both. Ports are put in, and `…` stands for anything.

use std::{fs, path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use walpost::sandbox::servers::{NatsOptions, NatsTls, PostgresOptions, PrivateNats, PrivatePostgres};

use crate::{certificates::Authority, daemon::free_address, world::versions};

/// What a command may take.
const COMMAND_BOUND: Duration = Duration::from_secs(60);
/// What the guide shows of commands that are typed elsewhere.
const ELSEWHERE: &str = "export ";

#[tokio::test]
async fn the_guide_works_word_for_word() {
    let authority = Authority::new("the house");
    let Some(postgres) = database(&authority).await else { return };
    let (certificate, key) = authority.sign_to_files(&["127.0.0.1"], "nats");
    let tls = NatsTls { certificate, key, client_authority: None };
    let mut broker = PrivateNats::start(NatsOptions::default().tls(tls)).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["sql", "deploy"] {
        std::os::unix::fs::symlink(root.join(folder), place.path().join(folder)).unwrap();
    }
    fs::copy(authority.file(), place.path().join("ca.pem")).unwrap();

    let guide = fs::read_to_string(root.join("docs/guides/quickstart.md")).unwrap();
    let mut shell = Shell::open(place.path(), &postgres);
    for block in blocks(&guide) {
        match block {
            Block::File { name, text } => {
                let ports = [("5432", postgres.port()), ("4222", broker.port())];
                let text = ports.iter().fold(text, |text, (port, ours)| text.replace(port, &ours.to_string()));
                fs::write(place.path().join(name), text).unwrap();
            }
            Block::Command { typed, .. } if typed.starts_with(ELSEWHERE) => {}
            // At the server, where the file was put beside its configuration.
            Block::Command { typed, .. } if typed == "nats-server --signal reload" => {
                let users = fs::read_to_string(place.path().join("users.conf")).unwrap();
                broker.reload(|options| options.include(users)).await.unwrap();
            }
            Block::Command { typed, shown } => {
                let said = shell.run(&typed).await;
                println!("$ {typed}\n{said}");
                let (shown, told): (Vec<&str>, Vec<&str>) = (shown.lines().collect(), said.lines().collect());
                assert!(fits(&shown, &told), "$ {typed}\n{said}\nis not\n{}", shown.join("\n"));
            }
        }
    }
}

/// A Postgres that was built with TLS, as the guide expects it; none if there is none here.
async fn database(authority: &Authority) -> Option<PrivatePostgres> {
    for binaries in versions() {
        let options =
            PostgresOptions::default().binaries(binaries).scram("hush-root").setting("max_slot_wal_keep_size", "8GB");
        let mut postgres = PrivatePostgres::start(options).await.unwrap();
        let signed = authority.sign(&["127.0.0.1"]);
        postgres.write_data_file("server.crt", signed.pem.as_bytes()).unwrap();
        postgres.write_data_file("server.key", signed.key.as_bytes()).unwrap();
        let rules = "local all postgres scram-sha-256\nhost all postgres 127.0.0.1/32 scram-sha-256\n\
                     hostssl shop shop 127.0.0.1/32 scram-sha-256\n";
        postgres.write_data_file("pg_hba.conf", rules.as_bytes()).unwrap();
        postgres.set_config("ssl", "on").unwrap();
        postgres.reload().await.unwrap();
        postgres.execute_sql("CREATE ROLE shop LOGIN PASSWORD 'hush-shop'").await.unwrap();
        postgres.execute_sql("CREATE DATABASE shop OWNER shop").await.unwrap();
        if has_tls(&postgres).await {
            return Some(postgres);
        }
        eprintln!("Postgres {} was built without TLS", postgres.major());
    }
    eprintln!("no Postgres with TLS is installed: the guide cannot be tried");
    None
}

async fn has_tls(postgres: &PrivatePostgres) -> bool {
    postgres
        .execute_sql("DO $$ BEGIN IF current_setting('ssl') <> 'on' THEN RAISE 'no TLS'; END IF; END $$")
        .await
        .is_ok()
}

/// A piece of the guide that somebody acts on.
#[derive(Debug, PartialEq)]
enum Block {
    /// A file to write.
    File { name: String, text: String },
    /// A command to type, and what the guide shows of its answer.
    Command { typed: String, shown: String },
}

/// All of them, in order. A file's name stands in the line before it: `` `walpost.toml`: ``.
fn blocks(guide: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut parts = guide.split("```");
    while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
        let (kind, text) = block.split_once('\n').unwrap();
        if kind == "console" {
            for part in text.trim_start_matches("$ ").split("\n$ ") {
                let (typed, shown) = part.split_once('\n').unwrap_or((part, ""));
                found.push(Block::Command { typed: typed.to_owned(), shown: shown.to_owned() });
            }
        } else if let Some(name) = before.trim_end().lines().last().and_then(|line| line.strip_suffix("`:")) {
            let name = name.rsplit('`').next().unwrap().to_owned();
            found.push(Block::File { name, text: text.to_owned() });
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Whether an answer is as it is shown: `…` alone in a line stands for any lines, in a line for any text.
fn fits(shown: &[&str], said: &[&str]) -> bool {
    match shown.split_first() {
        None => said.is_empty(),
        Some((&"…", rest)) => (0..=said.len()).any(|skipped| fits(rest, &said[skipped..])),
        Some((line, rest)) => {
            said.split_first().is_some_and(|(first, others)| line_fits(line, first) && fits(rest, others))
        }
    }
}

fn line_fits(shown: &str, said: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = said.strip_prefix(parts.next().unwrap()) else { return false };
    let mut is_open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        is_open = part.is_empty();
    }
    rest.is_empty() || is_open
}

#[test]
fn an_answer_is_compared_line_by_line() {
    let fits = |shown: &str, said: &str| fits(&shown.lines().collect::<Vec<_>>(), &said.lines().collect::<Vec<_>>());
    assert!(fits("a\n…\nc … e\n", "a\nb\nb\nc d e\n") && fits("…\nz", "z") && fits("a…", "a b"));
    assert!(!fits("a\n", "a\nb\n") && !fits("a\nb\n", "a\n") && !fits("a … c", "a b c d") && !fits("", "x"));
}

/// A shell in which somebody types.
struct Shell {
    child: Child,
    typing: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    out: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Shell {
    fn open(place: &Path, postgres: &PrivatePostgres) -> Self {
        let of_this_version = versions().into_iter().find(|each| each.major == postgres.major()).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_walpost")).parent().unwrap().display().to_string();
        let path = format!("{program}:{}:/usr/local/bin:/usr/bin:/bin", of_this_version.bin_dir.display());
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("bash")
            .current_dir(place)
            .env_clear()
            .env("PATH", path)
            .envs([
                ("PGHOST", "127.0.0.1"),
                ("PGUSER", "postgres"),
                ("PGDATABASE", "shop"),
                ("PGSSLMODE", "verify-full"),
            ])
            .envs([("PGSSLROOTCERT", "ca.pem"), ("PGPASSWORD", "hush-root"), ("SHOP_PASSWORD", "hush-shop")])
            .env("PGPORT", postgres.port().to_string())
            .env("WALPOST_ADMIN_LISTEN", free_address().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let (typing, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, typing, answers, out: folder.path().join("out"), _folder: folder }
    }

    /// Types a command; what it says, on either channel.
    async fn run(&mut self, command: &str) -> String {
        fs::write(&self.out, "").unwrap();
        let line = match command.strip_suffix('&') {
            Some(_) => format!("{command}\necho\n"),
            None => format!("{{ {command}\n}} > {} 2>&1\necho\n", self.out.display()),
        };
        self.typing.write_all(line.as_bytes()).await.unwrap();
        let answer = timeout(COMMAND_BOUND, self.answers.next_line()).await;
        answer.unwrap_or_else(|_| panic!("$ {command}\ndoes not end")).unwrap().expect("the shell is there");
        fs::read_to_string(&self.out).unwrap()
    }
}

impl Drop for Shell {
    /// Ends what was started from it, too.
    fn drop(&mut self) {
        let Some(group) = self.child.id() else { return };
        if let Err(error) = killpg(Pid::from_raw(group.try_into().unwrap()), Signal::SIGKILL) {
            println!("the shell is gone: {error}");
        }
    }
}
