//! How fast a backlog drains: Postgres' own `pg_recvlogical`, which publishes nothing, against walpost without the
//! delivery status and with everything on, in turn, on copies of one slot and so on the same log; and beside them how
//! fast the broker alone stores the same messages, because neither can be faster than its slower end.
//!
//! `make bench`, or `cargo bench --bench backlog -- --events 500000 --rounds 3`. What is measured: wall time from the
//! start of the process to the confirmation of the last event (walpost) or to the end of the log (`pg_recvlogical`),
//! CPU time of that process alone, and its peak memory. Of JetStream alone: wall time from the first message to the
//! confirmation of the last, and the CPU time of this process, which publishes them from memory.
#![allow(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot run should say so at once"
)]
#![allow(clippy::disallowed_types, reason = "wall time is what is measured")]

mod jetstream;

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use jetstream::Samples;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio_postgres::Client;
use walpost::{
    publish::{Broker, BrokerOptions, Credentials, StreamPlan, TlsFiles},
    sandbox::servers::{NatsOptions, Places, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres},
};

/// The workload, once with single-row transactions and once with larger ones.
const ROWS_PER_TRANSACTION: [u32; 2] = [1, 100];
/// The kernel counts the CPU time of processes in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// One run of one program.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    peak_kib: Option<u64>,
}

/// Whether the delivery status is kept in the database. It is not where a part of it is missing.
#[derive(Clone, Copy)]
enum Status {
    Missing,
    Kept,
}

struct Bench {
    postgres: PrivatePostgres,
    nats: PrivateNats,
    binaries: PostgresBinaries,
    sql: Client,
    events: u32,
    slots: u32,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(argument("--events", 500_000), argument("--rounds", 3)));
}

/// The number behind a flag; cargo's own arguments are passed over.
fn argument(name: &str, default: u32) -> u32 {
    let arguments: Vec<String> = std::env::args().collect();
    let value = arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    value.map_or(default, |text| text.parse().expect("a whole number"))
}

async fn run(events: u32, rounds: u32) {
    let mut bench = Bench::start(events).await;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "rows a transaction",
        "program",
        "events/s",
        "CPU us/event",
        "peak MiB",
        "of pg_recvlogical",
        "of JetStream alone",
    ]);
    for per_transaction in ROWS_PER_TRANSACTION {
        let end = bench.load(per_transaction).await;
        let [mut limit, mut plain, mut walpost, mut alone] = [const { Vec::new() }; 4];
        for round in 1..=rounds {
            println!("{events} events, {per_transaction} a transaction, round {round} of {rounds}");
            limit.push(bench.pg_recvlogical(&end).await);
            plain.push(bench.walpost(Status::Missing).await);
            walpost.push(bench.walpost(Status::Kept).await);
            alone.push(bench.jetstream_alone().await);
        }
        let [limit, plain, walpost, alone] = [limit, plain, walpost, alone].map(median);
        for (program, run) in [
            ("pg_recvlogical", limit),
            ("JetStream alone", alone),
            ("walpost without delivery status", plain),
            ("walpost", walpost),
        ] {
            table.add_row(row(per_transaction, program, run, [limit, alone], events));
        }
    }
    println!("\nPostgres {}, nats-server {}, medians of {rounds}", bench.postgres.major(), bench.nats.version());
    println!("{table}");
}

impl Bench {
    async fn start(events: u32) -> Self {
        let places = Places::from_environment();
        let binaries = PostgresBinaries::find(&places).unwrap();
        let options = PostgresOptions::default().binaries(binaries.clone()).setting("max_wal_size", "8GB");
        let postgres = PrivatePostgres::start(options).await.unwrap();
        let nats = PrivateNats::start(NatsOptions::default()).await.unwrap();
        let sql = postgres.connect().await.unwrap();
        let bench = Self { postgres, nats, binaries, sql, events, slots: 0 };
        let setup = bench.program("setup", "walpost").status().unwrap();
        assert!(setup.success(), "walpost setup failed");
        bench.sql.batch_execute(include_str!("workload.sql")).await.unwrap();
        bench
    }

    /// Must follow a run of walpost, whose messages it publishes again.
    async fn jetstream_alone(&self) -> Run {
        let samples = Samples::take(&self.nats.url(), "OUTBOX", self.events).await;
        self.new_stream().await;
        let before = usage(std::process::id()).unwrap().0;
        let seconds = samples.publish(&self.nats.url(), "OUTBOX", self.events).await;
        Run { seconds, cpu_seconds: usage(std::process::id()).unwrap().0 - before, peak_kib: None }
    }

    /// Makes the backlog on a new slot `base`; returns where the log then ends.
    async fn load(&mut self, per_transaction: u32) -> String {
        let fresh =
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; TRUNCATE outbox; CHECKPOINT;";
        self.sql.batch_execute(fresh).await.unwrap();
        self.sql.batch_execute("SELECT pg_create_logical_replication_slot('base', 'pgoutput')").await.unwrap();
        // By itself: a procedure that commits must not stand in a transaction, and several statements together are one.
        self.sql.batch_execute("SET synchronous_commit = off").await.unwrap();
        let call = format!("CALL walpost_bench_load({}, {per_transaction})", self.events);
        self.sql.batch_execute(&call).await.unwrap();
        let row = self.sql.query_one("SELECT pg_switch_wal(), pg_current_wal_flush_lsn()::text", &[]).await.unwrap();
        row.get(1)
    }

    async fn copy_slot(&mut self) -> String {
        self.slots += 1;
        let name = format!("copy_{}", self.slots);
        self.sql.execute("SELECT pg_copy_logical_replication_slot('base', $1)", &[&name]).await.unwrap();
        name
    }

    async fn pg_recvlogical(&mut self, end: &str) -> Run {
        let slot = self.copy_slot().await;
        let mut command = Command::new(self.binaries.program("pg_recvlogical"));
        command.args(["--start", "--no-loop", "--fsync-interval=0", "--file=/dev/null", "--slot", &slot]);
        command.args(["--endpos", end, "--dbname", &self.postgres.url()]);
        command.args(["-o", "proto_version=1", "-o", "publication_names=walpost", "-o", "binary=true"]);
        let begun = Instant::now();
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut last = (0.0, 0);
        while child.try_wait().unwrap().is_none() {
            last = usage(child.id()).unwrap_or(last);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.drop_slot(&slot).await;
        Run { seconds, cpu_seconds: last.0, peak_kib: Some(last.1) }
    }

    async fn walpost(&mut self, status: Status) -> Run {
        self.new_stream().await;
        let slot = self.copy_slot().await;
        match status {
            Status::Missing => self.sql.batch_execute("DROP TABLE walpost_dead_letter CASCADE").await.unwrap(),
            Status::Kept => assert!(self.program("setup", &slot).stdout(Stdio::null()).status().unwrap().success()),
        }
        let begun = Instant::now();
        let mut child = self.program("run", &slot).spawn().unwrap();
        while self.stored().await < u64::from(self.events) {
            assert!(child.try_wait().unwrap().is_none(), "walpost ended too early");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (cpu_seconds, peak_kib) = usage(child.id()).unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        assert!(child.wait().unwrap().success(), "walpost did not end well");
        self.drop_slot(&slot).await;
        Run { seconds, cpu_seconds, peak_kib: Some(peak_kib) }
    }

    fn program(&self, command: &str, slot: &str) -> Command {
        let mut walpost = Command::new(env!("CARGO_BIN_EXE_walpost"));
        walpost
            .arg(command)
            .env_clear()
            .env("WALPOST_POSTGRES_URL", self.postgres.url())
            .env("WALPOST_POSTGRES_SLOT", slot)
            .env("WALPOST_NATS_URL", self.nats.url())
            .env("WALPOST_ADMIN_LISTEN", "127.0.0.1:0")
            .env("WALPOST_LOG_LEVEL", "warn")
            .stdin(Stdio::null());
        walpost
    }

    async fn jetstream(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(self.nats.url()).await.unwrap())
    }

    async fn new_stream(&self) {
        self.jetstream().await.delete_stream("OUTBOX").await.unwrap();
        let options = BrokerOptions {
            servers: vec![self.nats.url().parse().unwrap()],
            credentials: Credentials::None,
            tls: TlsFiles::default(),
            inbox_prefix: "_INBOX".to_owned(),
            stream: "OUTBOX".to_owned(),
            max_in_flight: 1,
        };
        let plan = StreamPlan { name: "OUTBOX".into(), subjects: vec!["outbox.>".into(), "outbox_dlq.>".into()] };
        Broker::connect(&options).await.unwrap().inspector().create(&plan).await.unwrap();
    }

    async fn stored(&self) -> u64 {
        let mut stream = self.jetstream().await.get_stream("OUTBOX").await.unwrap();
        stream.info().await.unwrap().state.messages
    }

    async fn drop_slot(&self, slot: &str) {
        let released = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active";
        while self.sql.query_one(released, &[&slot]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.sql.execute("SELECT pg_drop_replication_slot($1)", &[&slot]).await.unwrap();
    }
}

/// CPU seconds and peak memory of a running process, by `/proc`.
fn usage(process: u32) -> Option<(f64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()?;
    Some((ticks / TICKS_PER_SECOND, peak))
}

fn median(mut runs: Vec<Run>) -> Run {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    *runs.get(runs.len() / 2).expect("at least one round")
}

/// A line of the table; the last columns are the rate as a multiple of that of each of `others`.
fn row(per_transaction: u32, program: &str, run: Run, others: [Run; 2], events: u32) -> Vec<String> {
    let events = f64::from(events);
    let mut row = vec![
        per_transaction.to_string(),
        program.to_owned(),
        format!("{:.0}", events / run.seconds),
        format!("{:.1}", run.cpu_seconds / events * 1e6),
        run.peak_kib.map(|kib| (kib / 1024).to_string()).unwrap_or_default(),
    ];
    row.extend(others.map(|other| format!("{:.2}", other.seconds / run.seconds)));
    row
}
