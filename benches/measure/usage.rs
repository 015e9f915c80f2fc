//! What processes use, by `/proc`.

use std::{fs, process::ExitStatus, time::Duration};

use tokio::{
    process::Command,
    time::{Instant, sleep},
};

/// The kernel counts the CPU time of processes in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often a process is looked at that ends by itself.
const GLANCE: Duration = Duration::from_millis(5);

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// The most memory that it ever had resident.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// Of a process that runs.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak_kib = peak.split_whitespace().next()?.parse().ok()?;
        Some(Self { cpu_seconds: ticks / TICKS_PER_SECOND, peak_kib })
    }
}

/// One run of one program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_kib: Option<u64>,
    /// CPU time of Postgres and of the broker meanwhile, in seconds, if it was measured.
    pub(crate) servers: Option<[f64; 2]>,
}

impl Run {
    /// Of a program that ends by itself, which must be in good order.
    pub(crate) async fn of(mut command: Command) -> Self {
        let begun = Instant::now();
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let process = child.id().unwrap();
        let mut last = None;
        let status: ExitStatus = loop {
            last = Usage::of(process).or(last);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            sleep(GLANCE).await;
        };
        let seconds = begun.elapsed().as_secs_f64();
        assert!(status.success(), "{command:?}: {status}");
        let Usage { cpu_seconds, peak_kib } = last.expect("a process runs for longer than a glance");
        Self { seconds, cpu_seconds, peak_kib: Some(peak_kib), servers: None }
    }

    /// The one with the median of the times.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let mut runs = runs.to_vec();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        *runs.get(runs.len() / 2).expect("at least one round")
    }
}

/// CPU seconds of a process, of those that it has started, and of those of them that have ended.
pub(crate) fn cpu_seconds_of_family(process: u32) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children = children.split_whitespace().map(|child| cpu_seconds_of_family(child.parse().unwrap()));
    ticks / TICKS_PER_SECOND + children.sum::<f64>()
}

/// CPU seconds of all threads that a process has now, to the nanosecond: for one that hardly uses any.
pub(crate) fn cpu_seconds_of_threads(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}
