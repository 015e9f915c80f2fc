//! What walpost costs when there is nothing to deliver, and what log its slot holds back while other tables are busy.
//!
//! `-- idle --idle-seconds 30 --busy-seconds 45`. CPU time of all its threads, by the scheduler's own account. The log that
//! is retained is counted from the slot's `restart_lsn`, which Postgres moves only when it notes which
//! transactions run, every 15 s: so much is retained whoever reads.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};

use crate::{
    arguments::Arguments,
    results::{rounded, table},
    usage::cpu_seconds_of_threads,
    world::World,
};

/// Before anything is measured: the first checks are over, and the admin port's last question is answered.
const SETTLE: Duration = Duration::from_secs(5);
/// How often other tables are written to, and the slot looked at.
const BEAT: Duration = Duration::from_millis(500);
/// Rows of 1 kB for each beat: 1 MB of log a second.
const ROWS_PER_BEAT: u32 = 480;
const SEGMENT_BYTES: f64 = 16.0 * 1024.0 * 1024.0;

pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let seconds = |flag, default| Duration::from_secs(arguments.number(flag, default).into());
    let mut daemon = world.settings.lead().await;
    world.sql.batch_execute("CREATE TABLE busy (text text)").await.unwrap();
    world.sql.batch_execute("CALL walpost_bench_load(1, 1)").await.unwrap();
    world.until_stored(&mut daemon, 1).await;
    sleep(SETTLE).await;

    let (begun, before) = (Instant::now(), cpu_seconds_of_threads(daemon.pid_number()));
    sleep(seconds("--idle-seconds", 30)).await;
    let idle = (cpu_seconds_of_threads(daemon.pid_number()) - before) / begun.elapsed().as_secs_f64();

    let (begun, before) = (Instant::now(), cpu_seconds_of_threads(daemon.pid_number()));
    let (log_begin, mut most, mut most_unconfirmed) = (world.log_end().await, 0f64, 0f64);
    let (mut beats, busy_for) = (interval(BEAT), seconds("--busy-seconds", 45));
    let flood = format!("INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, {ROWS_PER_BEAT})");
    let retained =
        "SELECT (pg_current_wal_lsn() - restart_lsn)::float8, (pg_current_wal_lsn() - confirmed_flush_lsn)::float8
                    FROM pg_replication_slots";
    while begun.elapsed() < busy_for {
        beats.tick().await;
        let row = world.sql.query_one(retained, &[]).await.unwrap();
        (most, most_unconfirmed) = (most.max(row.get(0)), most_unconfirmed.max(row.get(1)));
        world.sql.batch_execute(&flood).await.unwrap();
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let busy = (cpu_seconds_of_threads(daemon.pid_number()) - before) / elapsed;
    let written = world.log_since(&log_begin).await / elapsed;
    assert_eq!(daemon.terminate().await, 0);

    let row = [
        format!("{:.3} %", idle * 100.0),
        format!("{:.2} %", busy * 100.0),
        format!("{:.1} MB/s", written / 1e6),
        format!("{:.2} segments", most / SEGMENT_BYTES),
        format!("{:.2} segments", most_unconfirmed / SEGMENT_BYTES),
    ];
    let header = ["CPU, idle", "CPU, others busy", "others write", "retained at the most", "unconfirmed at the most"];
    println!("{}", table(&header, [row.into()]));
    json!({
        "cpu_percent": rounded(idle * 100.0, 3),
        "cpu_percent_others_busy": rounded(busy * 100.0, 3),
        "others_mb_per_second": rounded(written / 1e6, 2),
        "retained_segments": rounded(most / SEGMENT_BYTES, 2),
        "unconfirmed_segments": rounded(most_unconfirmed / SEGMENT_BYTES, 2),
    })
}
