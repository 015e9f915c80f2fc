//! A process and its descendants.
//!
//! Each Postgres backend makes a session of its own, so a signal to the postmaster's process group does not reach the
//! backends: the tree must be read from the process table. It is read from `/proc` where there is one, else from `ps`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// How long to wait before looking at the table again; a signal takes effect within microseconds.
const GLANCE: Duration = Duration::from_millis(2);

/// How long a signalled process may take to stop: much more than it needs, yet bounded.
const FREEZING: Duration = Duration::from_secs(5);

/// One line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// The process.
    pid: i32,
    /// Its parent.
    parent: i32,
    /// Its state letter: `T` stopped, `Z` ended and not collected, others running.
    state: char,
}

/// Stop a process and all its descendants; the stopped ones, the root first.
///
/// The root is stopped first and listed until all are seen to be stopped: then none can have forked unseen.
pub(super) async fn freeze(root: Pid) -> Vec<Pid> {
    let deadline = Instant::now() + FREEZING;
    loop {
        let tree: Vec<Entry> = descend(&table(), root).into_iter().filter(|entry| entry.state != 'Z').collect();
        let moving: Vec<_> = tree.iter().filter(|entry| entry.state != 'T').collect();
        if moving.is_empty() || Instant::now() >= deadline {
            return tree.iter().map(|entry| Pid::from_raw(entry.pid)).collect();
        }
        for entry in moving {
            send(Pid::from_raw(entry.pid), Signal::SIGSTOP);
        }
        sleep(GLANCE).await;
    }
}

/// Let a frozen tree go on, the leaves first, so that no parent sees a child that does not answer.
pub(super) fn thaw(root: Pid) {
    for entry in descend(&table(), root).into_iter().rev() {
        send(Pid::from_raw(entry.pid), Signal::SIGCONT);
    }
}

/// SIGKILL for each.
pub(super) fn kill(processes: &[Pid]) {
    for process in processes {
        send(*process, Signal::SIGKILL);
    }
}

/// Wait until none is left. A process that ended and was not collected counts as gone.
pub(super) async fn until_gone(processes: &[Pid], within: Duration) {
    let deadline = Instant::now() + within;
    let is_left =
        |table: &[Entry]| table.iter().any(|entry| entry.state != 'Z' && processes.contains(&Pid::from_raw(entry.pid)));
    while is_left(&table()) && Instant::now() < deadline {
        sleep(GLANCE).await;
    }
}

/// Signal one process, which may have ended since it was listed.
fn send(process: Pid, signal: Signal) {
    let _ended_meanwhile = signal::kill(process, signal);
}

/// The root and its descendants, parents before children.
fn descend(table: &[Entry], root: Pid) -> Vec<Entry> {
    let mut children: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
    for entry in table {
        children.entry(entry.parent).or_default().push(*entry);
    }
    let mut tree: Vec<Entry> = table.iter().filter(|entry| entry.pid == root.as_raw()).copied().collect();
    let mut next = 0;
    while let Some(entry) = tree.get(next) {
        tree.extend(children.remove(&entry.pid).unwrap_or_default());
        next += 1;
    }
    tree
}

/// The whole process table.
fn table() -> Vec<Entry> {
    let Ok(processes) = fs::read_dir("/proc") else { return table_of_ps() };
    let stats = processes.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats.filter_map(|stat| entry_of_stat(&stat)).collect()
}

/// The table as `ps` tells it.
fn table_of_ps() -> Vec<Entry> {
    let Ok(output) = Command::new("ps").args(["-A", "-o", "pid=,ppid=,state="]).output() else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(entry_of_ps).collect()
}

/// `12 (a name) with) S 1 ...`: the name may contain anything, so fields are counted from its last bracket.
fn entry_of_stat(stat: &str) -> Option<Entry> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some(Entry { pid: pid.parse().ok()?, parent: fields.next()?.parse().ok()?, state })
}

/// `  12   1 Ss+`.
fn entry_of_ps(line: &str) -> Option<Entry> {
    let mut fields = line.split_whitespace();
    let (pid, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Entry { pid, parent, state: fields.next()?.chars().next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_table_are_read() {
        let expected = Entry { pid: 12, parent: 1, state: 'T' };
        assert_eq!(entry_of_stat("12 (sh) x) T 1 12 12 0 -1"), Some(expected));
        assert_eq!(entry_of_ps("   12     1 Ts+"), Some(expected));
        assert_eq!(entry_of_stat(""), None);
    }

    #[test]
    fn a_tree_is_listed_with_parents_first_and_without_strangers() {
        let entry = |pid, parent| Entry { pid, parent, state: 'S' };
        let table = [entry(4, 3), entry(2, 1), entry(3, 2), entry(9, 1), entry(5, 2)];
        let pids: Vec<_> = descend(&table, Pid::from_raw(2)).iter().map(|entry| entry.pid).collect();
        assert_eq!(pids, [2, 3, 5, 4]);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(table().iter().any(|entry| entry.pid == own));
    }
}
