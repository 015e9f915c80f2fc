//! How fast a backlog drains: walpost with everything on, walpost without the delivery status, Postgres' own
//! `pg_recvlogical`, which publishes nothing, and a bare relay, which promises nothing, in turn, on copies of one slot and
//! so on the same log; and beside them how fast the broker alone stores the same messages, because neither can be
//! faster than its slower end.
//!
//! `-- backlog --events 500000 --rounds 3`. Of a process: wall time from its start until the stream holds the last event
//! (or the log ends), CPU time of that process alone, and its peak memory; beside it the CPU time of both servers. Of JetStream
//! alone: wall time from the first message to the answer to the last, and the CPU time of this process, which publishes
//! them from memory. The run with the median time counts.

use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    drain::{Backlog, Shape, Status, WORKLOAD},
    results::{rounded, table},
    usage::Run,
    world::World,
};

/// The workload, once with single-row transactions and once with larger ones.
const ROWS_PER_TRANSACTION: [u32; 2] = [1, 100];
/// Who drains it, in the order of the table; and the broker alone, which comes behind walpost, whose messages it gets.
const PROGRAMS: [&str; 5] =
    ["pg_recvlogical", "bare relay", "walpost without delivery status", "walpost", "JetStream alone"];
const DRAINS: usize = PROGRAMS.len() - 1;

pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let (events, rounds) = (arguments.number("--events", 500_000), arguments.number("--rounds", 3));
    let (mut shapes, mut rows) = (Vec::new(), Vec::new());
    for per_transaction in ROWS_PER_TRANSACTION {
        let backlog = Backlog::make(world, Shape { events, per_transaction, ..WORKLOAD }).await;
        let mut runs = [const { Vec::new() }; PROGRAMS.len()];
        for round in 1..=rounds {
            println!("{events} events, {per_transaction} a transaction, round {round} of {rounds}");
            // Each is the first one and the last one in turn, in case it matters who came before.
            for turn in 0..DRAINS {
                let program = (turn + usize::try_from(round).unwrap()) % DRAINS;
                let run = match program {
                    0 => watched(world, backlog.pg_recvlogical()).await,
                    1 => watched(world, backlog.probe()).await,
                    2 => watched(world, backlog.walpost(Status::Missing)).await,
                    _ => watched(world, backlog.walpost(Status::Kept)).await,
                };
                runs[program].push(run);
                if program == DRAINS - 1 {
                    runs[DRAINS].push(watched(world, backlog.jetstream_alone()).await);
                }
            }
        }
        let medians = runs.each_ref().map(|runs| Run::median(runs));
        let programs: Vec<Value> =
            PROGRAMS.iter().zip(&runs).map(|(program, runs)| described(program, runs, events)).collect();
        for (program, run) in PROGRAMS.iter().zip(medians) {
            rows.push(row(per_transaction, program, run, (&medians, events)));
        }
        shapes.push(json!({ "rows_per_transaction": per_transaction, "programs": programs }));
    }
    let of = |program: &str| format!("of {program}");
    let [limit, bare, .., alone] = PROGRAMS.map(of);
    let header = [
        "rows a transaction",
        "program",
        "events/s",
        "CPU us/event",
        "of the servers",
        "peak MiB",
        limit.as_str(),
        &bare,
        &alone,
    ];
    println!("{}", table(&header, rows));
    json!({ "events": events, "rounds": rounds, "shapes": shapes })
}

/// The run, with what it cost the servers.
pub(crate) async fn watched(world: &World, run: impl Future<Output = Run>) -> Run {
    let before = world.cpu_seconds_of_servers();
    let run = Box::pin(run).await;
    let [postgres, nats] = world.cpu_seconds_of_servers();
    Run { servers: Some([postgres - before[0], nats - before[1]]), ..run }
}

/// What is kept of the runs of one program.
pub(crate) fn described(program: &str, runs: &[Run], events: u32) -> Value {
    let (median, events) = (Run::median(runs), f64::from(events));
    let each = |seconds: f64| rounded(seconds / events * 1e6, 2);
    let mut figures = json!({
        "program": program,
        "events_per_second": (events / median.seconds).round(),
        "cpu_us_per_event": each(median.cpu_seconds),
        "peak_mib": median.peak_kib.map(mib),
        "seconds_of_each_round": runs.iter().map(|run| rounded(run.seconds, 3)).collect::<Vec<_>>(),
    });
    if let Some([postgres, nats]) = median.servers {
        figures["postgres_cpu_us_per_event"] = each(postgres).into();
        figures["nats_cpu_us_per_event"] = each(nats).into();
    }
    figures
}

pub(crate) fn mib(kib: u64) -> f64 {
    rounded(f64::from(u32::try_from(kib).unwrap()) / 1024.0, 1)
}

/// A line of the table; the last columns are the rate as a multiple of that of others.
fn row(per_transaction: u32, program: &str, run: Run, (all, events): (&[Run; 5], u32)) -> Vec<String> {
    let events = f64::from(events);
    let mut row = vec![
        per_transaction.to_string(),
        program.to_owned(),
        format!("{:.0}", events / run.seconds),
        format!("{:.1}", run.cpu_seconds / events * 1e6),
        run.servers
            .map(|servers| servers.map(|cpu| format!("{:.1}", cpu / events * 1e6)).join(" / "))
            .unwrap_or_default(),
        run.peak_kib.map(|kib| mib(kib).to_string()).unwrap_or_default(),
    ];
    row.extend([all[0], all[1], all[4]].map(|other| format!("{:.2}", other.seconds / run.seconds)));
    row
}
