//! Where and with what figures were measured.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::world::World;

/// The machine, the versions and the moment, for whoever reads the figures.
pub(crate) fn describe(world: &World) -> Value {
    let memory_kib: f64 = line("/proc/meminfo", "MemTotal:").trim_end_matches(" kB").parse().unwrap_or_default();
    json!({
        "date": jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        "commit": commit(),
        "walpost": env!("CARGO_PKG_VERSION"),
        "postgres": world.binaries.version,
        "nats": world.nats.version(),
        "cpu": line("/proc/cpuinfo", "model name").trim_start_matches([':', ' ', '\t']),
        "cores": std::thread::available_parallelism().unwrap().get(),
        "memory_gib": (memory_kib / 1024.0 / 1024.0).round(),
        "kernel": text("/proc/sys/kernel/osrelease"),
        "system": line("/etc/os-release", "PRETTY_NAME=").trim_matches('"'),
        "load": text("/proc/loadavg").split(' ').next().unwrap_or_default(),
    })
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// What stands behind the first occurrence of a word at the beginning of a line.
fn line(path: &str, word: &str) -> String {
    text(path).lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default().trim().to_owned()
}

/// The commit that was built, as Git names it, if there is Git; with a mark if something is not committed.
fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).output();
    git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
