//! The private servers of the sandbox, tried on real ones: every Postgres and NATS version that is installed.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, which the lint's own exception does not see")]

use std::fs;
use std::future::pending;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::{Client, ConnectOptions, jetstream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use walpost::sandbox::servers::{
    NatsBinary, NatsCluster, NatsOptions, Places, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres,
    ServerError, StopMode, SyncInterval,
};

/// Tells this program, run as a child, to own servers and how to end: `wait` to be killed, or `abort`.
const OWNER_ENDS_BY: &str = "WALPOST_TEST_OWNER_ENDS_BY";

/// The file in which such a child says what it owns.
const OWNER_REPORT: &str = "WALPOST_TEST_OWNER_REPORT";

/// How long anything may take on a busy machine before the test says it does not happen.
const SOON: Duration = Duration::from_secs(30);

/// A time in which a server that is not paused would have answered many times over.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn postgres_starts_ready_for_logical_replication() {
    for binaries in postgres_matrix() {
        let server = PrivatePostgres::start(PostgresOptions::default().binaries(binaries.clone())).await.unwrap();
        assert_eq!(server.major(), binaries.major);
        server.execute_sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").await.unwrap();
        assert_eq!(ask(&server, "SHOW wal_level").await, "logical");
        assert_eq!(ask(&server, "SHOW fsync").await, "off");
        assert_eq!(ask(&server, "SHOW server_encoding").await, "UTF8");
        for url in
            [server.url(), server.url_for("postgres", "template1"), server.unix_socket_url("postgres", "postgres")]
        {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            let driver = tokio::spawn(connection);
            client.simple_query("SELECT 1").await.unwrap();
            drop(client);
            driver.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn postgres_keeps_its_data_and_its_port_over_any_end() {
    for binaries in postgres_matrix() {
        let mut server = PrivatePostgres::start(PostgresOptions::default().binaries(binaries)).await.unwrap();
        let (port, first) = (server.port(), server.pid().unwrap());
        server.execute_sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
        server.restart().await.unwrap();
        server.execute_sql("INSERT INTO t VALUES (2)").await.unwrap();
        server.stop(StopMode::Immediate).await.unwrap();
        assert!(!server.is_running());
        server.restart().await.unwrap();
        // An open session must not keep the killed server's shared memory in use.
        let session = server.connect().await.unwrap();
        session.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
        server.kill().await.unwrap();
        assert_eq!(server.pid(), None);
        assert!(server.execute_sql("SELECT 1").await.is_err());
        server.restart().await.unwrap();
        assert_eq!(ask(&server, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t").await, "1 2 3");
        assert_eq!(server.port(), port);
        assert_ne!(server.pid().unwrap(), first);
        assert!(server.log_tail(200).contains("automatic recovery"), "{}", server.log_tail(50));
    }
}

#[tokio::test]
async fn a_standby_follows_survives_its_own_ends_and_becomes_a_primary() {
    for binaries in postgres_matrix() {
        let options = PostgresOptions::default().binaries(binaries).scram("it's \\ hush");
        let mut primary = PrivatePostgres::start(options).await.unwrap();
        primary.execute_sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
        let mut standby = PrivatePostgres::start_standby(&primary, PostgresOptions::default()).await.unwrap();
        assert_ne!(standby.port(), primary.port());
        assert_eq!(ask(&standby, "SELECT pg_is_in_recovery()::text").await, "true");
        for (n, end) in ["restart", "kill", "pause"].into_iter().enumerate() {
            match end {
                "restart" => standby.stop(StopMode::Fast).await.unwrap(),
                "kill" => standby.kill().await.unwrap(),
                _ => standby.pause().await.unwrap(),
            }
            primary.execute_sql(&format!("INSERT INTO t VALUES ({})", n + 2)).await.unwrap();
            if end == "pause" {
                standby.resume().unwrap();
            } else {
                standby.restart().await.unwrap();
            }
            until_followed(&primary, &standby).await;
        }
        standby.cut_off().await.unwrap();
        primary.execute_sql("INSERT INTO t VALUES (100)").await.unwrap();
        primary.kill().await.unwrap();
        standby.promote().await.unwrap();
        standby.execute_sql("INSERT INTO t VALUES (5)").await.unwrap();
        assert_eq!(ask(&standby, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t").await, "1 2 3 4 5");
        // It stays what it has become.
        standby.restart().await.unwrap();
        let sql = "SELECT timeline_id::text FROM pg_control_checkpoint() WHERE NOT pg_is_in_recovery()";
        assert_eq!(ask(&standby, sql).await, "2");
    }
}

/// Wait until a standby has replayed what its primary has written.
async fn until_followed(primary: &PrivatePostgres, standby: &PrivatePostgres) {
    let end = ask(primary, "SELECT pg_current_wal_insert_lsn()::text").await;
    let sql = format!("SELECT (pg_last_wal_replay_lsn() >= '{end}')::text");
    let deadline = Instant::now() + SOON;
    while ask(standby, &sql).await != "true" {
        assert!(Instant::now() < deadline, "the standby does not follow: {}", standby.log_tail(20));
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_restart_that_was_given_up_can_be_tried_again() {
    let mut postgres = PrivatePostgres::start(PostgresOptions::default()).await.unwrap();
    let mut nats = PrivateNats::start(NatsOptions::default()).await.unwrap();
    for _ in 0..3 {
        postgres.kill().await.unwrap();
        assert!(timeout(Duration::from_millis(1), Box::pin(postgres.restart())).await.is_err());
        nats.kill().await.unwrap();
        assert!(timeout(Duration::from_nanos(1), Box::pin(nats.restart())).await.is_err());
    }
    postgres.restart().await.unwrap();
    postgres.execute_sql("SELECT 1").await.unwrap();
    nats.restart().await.unwrap();
    connect(&nats).await;
}

#[tokio::test]
async fn servers_and_folders_go_even_if_the_guards_were_killed() {
    let postgres = PrivatePostgres::start(PostgresOptions::default()).await.unwrap();
    let nats = PrivateNats::start(NatsOptions::default()).await.unwrap();
    let owned = [(postgres.pid(), postgres.folder()), (nats.pid(), nats.folder())]
        .map(|(pid, folder)| Owned { process: pid.unwrap(), folder: folder.to_owned() });
    for owned in &owned {
        let mut processes = processes_in(&owned.folder).into_iter();
        let (guard, _) = processes.find(|(_, command)| command.contains("walpost-guard")).unwrap();
        kill(guard, Signal::SIGKILL).unwrap();
    }
    drop((postgres, nats));
    until("the servers end without their guards", || owned.iter().all(Owned::is_gone)).await;
}

#[tokio::test]
async fn a_paused_postgres_is_silent_in_every_session_and_then_goes_on() {
    for binaries in postgres_matrix() {
        let server = PrivatePostgres::start(PostgresOptions::default().binaries(binaries)).await.unwrap();
        let session = server.connect().await.unwrap();
        server.pause().await.unwrap();
        let answer = session.simple_query("SELECT 1");
        tokio::pin!(answer);
        assert!(timeout(A_WHILE, &mut answer).await.is_err(), "an open session answered");
        assert!(timeout(A_WHILE, Box::pin(server.connect())).await.is_err(), "a new session was made");
        assert!(server.is_running());
        server.resume().unwrap();
        timeout(SOON, answer).await.unwrap().unwrap();
        // Dropped while paused: the folder must go all the same, and soon.
        server.pause().await.unwrap();
        let (folder, begun) = (server.folder().to_owned(), Instant::now());
        drop(server);
        assert!(!folder.exists());
        assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn postgres_settings_change_by_reload_and_by_restart() {
    for binaries in postgres_matrix() {
        let options = PostgresOptions::default().binaries(binaries).setting("wal_sender_timeout", "5s");
        let mut server = PrivatePostgres::start(options).await.unwrap();
        assert_eq!(ask(&server, "SHOW wal_sender_timeout").await, "5s");
        server.set_config("wal_sender_timeout", "7s").unwrap();
        server.reload().await.unwrap();
        assert_eq!(ask(&server, "SHOW wal_sender_timeout").await, "7s");
        server.set_config("max_replication_slots", "3").unwrap();
        server.restart().await.unwrap();
        assert_eq!(ask(&server, "SHOW max_replication_slots").await, "3");
    }
}

#[tokio::test]
async fn a_postgres_with_passwords_lets_nobody_in_without() {
    for binaries in postgres_matrix() {
        let options = PostgresOptions::default().binaries(binaries).scram("p@ss / w:rd");
        let server = PrivatePostgres::start(options).await.unwrap();
        server.execute_sql("CREATE ROLE app LOGIN PASSWORD 'other'").await.unwrap();
        let connect = async |url: String| tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map(|_| ());
        connect(server.url()).await.unwrap();
        connect(server.unix_socket_url("postgres", "postgres")).await.unwrap();
        connect(server.url_with_password("app", "other", "postgres")).await.unwrap();
        assert!(connect(server.url_for("app", "postgres")).await.is_err());
        assert!(connect(server.url_with_password("postgres", "wrong", "postgres")).await.is_err());
    }
}

#[tokio::test]
async fn a_postgres_that_does_not_start_says_why() {
    let binaries = postgres_matrix().remove(0);
    let options = PostgresOptions::default().binaries(binaries).setting("wal_level", "none such");
    let refused = PrivatePostgres::start(options).await.unwrap_err();
    assert!(matches!(refused, ServerError::Misbehaved { .. }));
    assert!(refused.to_string().contains("none such"), "{refused}");
}

#[tokio::test]
async fn nats_keeps_its_streams_and_its_port_over_any_end() {
    for binary in nats_matrix() {
        let options = NatsOptions::default().binary(binary).sync_interval(SyncInterval::Every(Duration::from_secs(1)));
        let mut server = PrivateNats::start(options).await.unwrap();
        let port = server.port();
        let client = connect(&server).await;
        let context = jetstream::new(client.clone());
        let config = Config { name: "S".into(), subjects: vec!["s.>".into()], ..Config::default() };
        context.create_stream(config).await.unwrap();
        for _ in 0..3 {
            context.publish("s.x", "event".into()).await.unwrap().await.unwrap();
        }
        server.restart().await.unwrap();
        server.kill().await.unwrap();
        assert!(!server.is_running());
        server.restart().await.unwrap();
        assert_eq!(server.port(), port);
        let context = jetstream::new(connect(&server).await);
        let mut stream = context.get_stream("S").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 3);
    }
}

#[tokio::test]
async fn a_paused_nats_is_silent_and_then_goes_on() {
    for binary in nats_matrix() {
        let server = PrivateNats::start(NatsOptions::default().binary(binary)).await.unwrap();
        let client = connect(&server).await;
        client.flush().await.unwrap();
        server.pause().await.unwrap();
        assert!(timeout(A_WHILE, jetstream::new(client.clone()).query_account()).await.is_err());
        server.resume().unwrap();
        timeout(SOON, jetstream::new(client).query_account()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn nats_takes_its_options_at_start_and_at_reload() {
    for binary in nats_matrix() {
        let options = NatsOptions::default().binary(binary).monitoring().max_payload(4096).login("ann", "$hush \"x\"");
        let mut server = PrivateNats::start(options).await.unwrap();
        assert!(ConnectOptions::new().connect(server.url()).await.is_err(), "anybody may come in");
        let login = || ConnectOptions::with_user_and_password("ann".into(), "$hush \"x\"".into());
        let client = login().connect(server.url()).await.unwrap();
        assert_eq!(client.server_info().max_payload, 4096);
        let monitoring = server.monitoring_url().unwrap().replace("http://", "");
        tokio::net::TcpStream::connect(monitoring).await.unwrap();
        server.reload(|options| options.max_payload(8192)).await.unwrap();
        let client = login().connect(server.url()).await.unwrap();
        assert_eq!(client.server_info().max_payload, 8192);
        let refused = server.reload(|options| options.extra("no_such_option", json!(1))).await.unwrap_err();
        assert!(refused.to_string().contains("no_such_option"), "{refused}");
        // The refused option is forgotten.
        server.restart().await.unwrap();
    }
}

#[tokio::test]
async fn a_cluster_elects_another_leader_when_one_is_killed_or_steps_down_and_loses_nothing() {
    for binary in nats_matrix() {
        let options = NatsOptions::default().binary(binary).login("ann", "hush");
        let mut cluster = NatsCluster::start(options.clone()).await.unwrap();
        let urls: Vec<String> = cluster.url().split(',').map(str::to_owned).collect();
        let client = options.to_connect().connect(&urls[..]).await.unwrap();
        let context = jetstream::new(client.clone());
        let config = Config { name: "S".into(), subjects: vec!["s.>".into()], num_replicas: 3, ..Config::default() };
        context.create_stream(config).await.unwrap();
        let first = cluster.until_whole("S").await.unwrap();
        context.publish("s.x", "event".into()).await.unwrap().await.unwrap();

        cluster.servers_mut()[first].kill().await.unwrap();
        let second = cluster.leader_of("S").await.unwrap();
        assert_ne!(second, first);
        cluster.servers_mut()[first].restart().await.unwrap();
        assert_eq!(cluster.until_whole("S").await.unwrap(), second);

        assert!(cluster.step_down("S").await.unwrap());
        cluster.until_ready().await.unwrap();
        cluster.until_whole("S").await.unwrap();
        let mut stream = context.get_stream("S").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 1);
    }
}

#[tokio::test]
async fn servers_lead_process_groups_of_their_own() {
    // So that Ctrl-C in a terminal reaches the sandbox and not its servers.
    let postgres = PrivatePostgres::start(PostgresOptions::default()).await.unwrap();
    let nats = PrivateNats::start(NatsOptions::default()).await.unwrap();
    for process in [postgres.pid(), nats.pid()].map(|pid| pid_of(pid.unwrap())) {
        assert_eq!(getpgid(Some(process)).unwrap(), process);
    }
}

#[tokio::test]
async fn nothing_is_left_after_a_drop() {
    let (mut owned, mut servers) = (Vec::new(), Vec::new());
    for binaries in postgres_matrix() {
        let server = PrivatePostgres::start(PostgresOptions::default().binaries(binaries)).await.unwrap();
        owned.push(Owned { process: server.pid().unwrap(), folder: server.folder().to_owned() });
        servers.push(server);
    }
    let nats = PrivateNats::start(NatsOptions::default()).await.unwrap();
    owned.push(Owned { process: nats.pid().unwrap(), folder: nats.folder().to_owned() });
    assert!(owned.iter().all(|owned| !owned.is_gone()));
    // One was killed and not started again: nobody but the guard is left to free its shared memory.
    let segments: Vec<String> = servers.iter().map(|server| segment_of(server.data_dir())).collect();
    assert!(segments.iter().all(|segment| is_shared_memory(segment)));
    servers.first_mut().unwrap().kill().await.unwrap();
    let folders: Vec<PathBuf> = owned.iter().map(|owned| owned.folder.clone()).collect();
    drop((servers, nats));
    for owned in &owned {
        assert!(owned.is_gone(), "{owned:?} is left");
    }
    for folder in folders {
        assert_eq!(processes_in(&folder), Vec::new());
    }
    assert!(!segments.iter().any(|segment| is_shared_memory(segment)), "shared memory is left");
}

#[tokio::test]
async fn nothing_is_left_after_the_owner_was_killed() {
    owner_leaves_nothing("wait", Signal::SIGKILL).await;
}

#[tokio::test]
async fn nothing_is_left_after_the_owner_aborted() {
    owner_leaves_nothing("abort", Signal::SIGABRT).await;
}

/// Not a test by itself: as a child of the two above it owns servers until its end.
#[tokio::test]
async fn owner_of_servers() {
    let Ok(end) = std::env::var(OWNER_ENDS_BY) else { return };
    let report = PathBuf::from(std::env::var(OWNER_REPORT).unwrap());
    let postgres = PrivatePostgres::start(PostgresOptions::default()).await.unwrap();
    let paused = PrivateNats::start(NatsOptions::default()).await.unwrap();
    paused.pause().await.unwrap();
    let _session = postgres.connect().await.unwrap();
    let line = |pid: Option<u32>, folder: &Path| format!("{} {}\n", pid.unwrap(), folder.display());
    let text = line(postgres.pid(), postgres.folder()) + &line(paused.pid(), paused.folder());
    fs::write(report.with_extension("new"), text).unwrap();
    fs::rename(report.with_extension("new"), report).unwrap();
    if end == "abort" {
        std::process::abort();
    }
    pending::<()>().await;
}

/// A server as one can look for it from outside.
#[derive(Debug)]
struct Owned {
    process: u32,
    folder: PathBuf,
}

impl Owned {
    fn is_gone(&self) -> bool {
        // A zombie, which has no command line, counts: not every container has a process 1 that collects them.
        let is_zombie = fs::read(format!("/proc/{}/cmdline", self.process)).is_ok_and(|command| command.is_empty());
        (is_zombie || kill(pid_of(self.process), None).is_err()) && !self.folder.exists()
    }
}

/// Run this program as an owner of servers, let it end, and see them go.
async fn owner_leaves_nothing(end: &str, signal: Signal) {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "owner_of_servers", "--nocapture"]).env(OWNER_ENDS_BY, end).env(OWNER_REPORT, &report);
    let mut owner = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the owner says what it owns", || report.exists()).await;
    let owned: Vec<Owned> = fs::read_to_string(&report).unwrap().lines().map(owned_of_line).collect();
    assert_eq!(owned.len(), 2);
    if end == "wait" {
        assert!(owned.iter().all(|owned| !owned.is_gone()));
        owner.kill().unwrap();
    }
    assert_eq!(owner.wait().unwrap().signal(), Some(signal as i32));
    until("the servers and folders are gone", || owned.iter().all(Owned::is_gone)).await;
    for owned in owned {
        until("the guard is gone", || processes_in(&owned.folder).is_empty()).await;
    }
}

fn owned_of_line(line: &str) -> Owned {
    let (process, folder) = line.split_once(' ').unwrap();
    Owned { process: process.parse().unwrap(), folder: folder.into() }
}

/// Wait for a condition.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The processes whose command lines name a folder: servers, their guard.
fn processes_in(folder: &Path) -> Vec<(Pid, String)> {
    let command_of = |entry: fs::DirEntry| -> Option<String> {
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        Some(format!("{} {command}", entry.file_name().to_str()?))
    };
    let all: Vec<String> = match fs::read_dir("/proc") {
        Ok(entries) => entries.filter_map(|entry| command_of(entry.ok()?)).collect(),
        Err(_) => output_of("ps", &["-A", "-o", "pid=,args="]).lines().map(|line| line.trim().to_owned()).collect(),
    };
    let folder = folder.to_string_lossy();
    let named = all.iter().filter(|line| line.contains(&*folder)).filter_map(|line| line.split_once(' '));
    named.filter_map(|(pid, command)| Some((pid_of(pid.parse().ok()?), command.to_owned()))).collect()
}

/// The number of a Postgres server's shared memory, which it writes beside its process number.
fn segment_of(data: &Path) -> String {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    text.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

/// Whether the machine has a segment of this number.
fn is_shared_memory(segment: &str) -> bool {
    output_of("ipcs", &["-m"]).lines().any(|line| line.split_whitespace().nth(1) == Some(segment))
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn postgres_matrix() -> Vec<PostgresBinaries> {
    let all = PostgresBinaries::all_installed(&Places::from_environment());
    assert!(!all.is_empty(), "no Postgres is installed: run `make tools`");
    all
}

fn nats_matrix() -> Vec<NatsBinary> {
    let all = NatsBinary::all_installed(&Places::from_environment());
    assert!(!all.is_empty(), "no NATS server is installed: run `make tools`");
    all
}

/// The only column of the only row.
async fn ask(server: &PrivatePostgres, sql: &str) -> String {
    server.connect().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
}

async fn connect(server: &PrivateNats) -> Client {
    async_nats::connect(server.url()).await.unwrap()
}

fn pid_of(process: u32) -> Pid {
    Pid::from_raw(process.try_into().unwrap())
}
