//! The sandbox from beginning to end: real servers, walpost as a child, and nothing left of them.
#![cfg(test)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, which the lint's own exception does not see")]

use std::{
    cell::RefCell,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use walpost::sandbox::{
    SandboxError, SandboxOptions, Show, Verdict, run,
    servers::{Places, ServerError},
};

/// How long anything may take on a busy machine before the test says it does not happen.
const SOON: Duration = Duration::from_secs(90);

/// What the sandbox prints when events flow and have for two seconds.
const EVENTS_FLOW: &str = " committed  ";

/// Keeps what is written, and says when a certain text is.
struct Listener<'a> {
    /// What was written.
    text: &'a RefCell<String>,
    /// What to listen for.
    cue: &'static str,
    /// Told when it comes.
    heard: &'a Notify,
}

impl Write for Listener<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.borrow_mut();
        let had_cue = text.contains(self.cue);
        text.push_str(std::str::from_utf8(bytes).unwrap());
        if !had_cue && text.contains(self.cue) {
            self.heard.notify_one();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the sandbox, and `then` with what it printed so far once events flow. Its outcome and all that it printed; none
/// if `then` wants it dropped.
async fn run_until_events_flow(
    stop: &CancellationToken,
    then: impl AsyncFnOnce(&str) -> Next,
) -> (Option<Result<Verdict, SandboxError>>, String) {
    let (text, heard) = (RefCell::default(), Notify::new());
    let mut out = Listener { text: &text, cue: EVENTS_FLOW, heard: &heard };
    let outcome = {
        let mut running = Box::pin(timeout(SOON, run(options(None, "300"), stop.clone(), &mut out)));
        let acting = async {
            heard.notified().await;
            let printed = text.borrow().clone();
            then(&printed).await
        };
        tokio::select! {
            early = &mut running => panic!("ended before anything flowed: {early:?}\n{}", text.borrow()),
            next = acting => match next {
                Next::Drop => None,
                Next::Wait => Some(running.await.unwrap()),
            },
        }
    };
    (outcome, text.into_inner())
}

/// What to do with a sandbox after something was done to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Wait for its end.
    Wait,
    /// Drop it where it is.
    Drop,
}

fn options(events: Option<u64>, rate: &str) -> SandboxOptions {
    SandboxOptions {
        events,
        rate: rate.parse().unwrap(),
        places: Places::from_environment(),
        program: env!("CARGO_BIN_EXE_walpost").into(),
        show: Show { is_terminal: false, is_coloured: false, width: 80 },
    }
}

/// What is printed behind a label.
fn printed<'a>(output: &'a str, label: &str) -> &'a str {
    output.lines().find_map(|line| line.trim_start().strip_prefix(label)).unwrap().trim_start()
}

/// The folder that the output names, which is that of the logs, and those that it links to.
fn folders(output: &str) -> Vec<PathBuf> {
    let logs = PathBuf::from(printed(output, "read the logs").strip_prefix("ls ").unwrap());
    let servers = ["postgres", "nats"].map(|name| fs::read_link(logs.join(name)).unwrap());
    servers.into_iter().chain([logs]).collect()
}

/// The processes that work in one of the folders or name it on their command line; none where there is no `/proc`.
fn processes_in(folders: &[PathBuf]) -> Vec<(i32, String)> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let described = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command_line = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " ");
        let place = fs::read_link(entry.path().join("cwd")).ok();
        let is_inside = |folder: &PathBuf| {
            command_line.contains(&*folder.to_string_lossy()) || place.as_ref().is_some_and(|at| at.starts_with(folder))
        };
        folders.iter().any(is_inside).then_some((pid, command_line))
    };
    all.filter_map(|entry| described(entry.ok()?)).collect()
}

fn assert_nothing_is_left(folders: &[PathBuf]) {
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
    assert_eq!(processes_in(folders), []);
}

/// `walpost sandbox` with its standard output in a pipe, in a process group of its own as in a terminal.
fn sandbox(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walpost"));
    command.arg("sandbox").args(arguments).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads until events flow; all that was read.
fn read_until_events_flow(lines: &mut impl Iterator<Item = io::Result<String>>) -> String {
    let mut output = String::new();
    for line in lines {
        output.push_str(&line.unwrap());
        output.push('\n');
        if output.contains(EVENTS_FLOW) {
            return output;
        }
    }
    panic!("ended before anything flowed:\n{output}");
}

/// Ctrl-C: the terminal sends the signal to the whole group.
fn interrupt(child: &Child) {
    killpg(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
}

#[test]
fn all_events_arrive_once_and_in_order_and_the_last_line_says_so() {
    let output = sandbox(&["--events", "300", "--rate", "0"]).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let last = "verdict: 300 committed, 300 stored, 0 lost, 0 duplicated, 0 out of order";
    assert_eq!(text.lines().last(), Some(last));
    assert!(!text.contains('\x1b'), "escapes without a terminal");
}

#[test]
fn an_interrupt_in_the_middle_still_gives_a_verdict_and_leaves_nothing() {
    let mut child = sandbox(&[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let there = folders(&read_until_events_flow(&mut lines));
    assert!(there.iter().all(|folder| folder.exists()));
    assert!(processes_in(&there).len() > 5 || !fs::exists("/proc/self").unwrap());
    interrupt(&child);
    let last = lines.last().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{last}");
    assert!(last.starts_with("verdict: ") && last.contains("0 lost, 0 duplicated"), "{last}");
    assert_nothing_is_left(&there);
}

#[tokio::test]
async fn a_second_interrupt_ends_it_at_once_and_leaves_nothing() {
    let mut child = sandbox(&[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let there = folders(&read_until_events_flow(&mut lines));
    // Without walpost's help the first one cannot be over before the second comes.
    for (pid, _) in processes_in(&there).iter().filter(|(_, line)| line.ends_with("walpost run ")) {
        kill(Pid::from_raw(*pid), Signal::SIGSTOP).unwrap();
    }
    interrupt(&child);
    // A signal that comes twice before it is looked at counts once.
    let ending = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            match child.try_wait().unwrap() {
                Some(status) => return status,
                None => interrupt(&child),
            }
        }
    };
    assert_eq!(timeout(SOON, ending).await.unwrap().code(), Some(1));
    // The guards clean up, and nobody waits for them.
    timeout(SOON, async {
        while there.iter().any(|folder| folder.exists()) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_nothing_is_left(&there);
}

#[tokio::test]
async fn a_stop_in_the_middle_still_gives_a_verdict() {
    let stop = CancellationToken::new();
    let (outcome, output) = run_until_events_flow(&stop, async |_: &str| {
        stop.cancel();
        Next::Wait
    })
    .await;
    let verdict = outcome.unwrap().unwrap();
    assert!(verdict.is_clean() && verdict.findings.committed > 0, "{output}");
    assert!(verdict.latency.is_some() && verdict.rolled_back > 0, "{output}");
}

#[tokio::test]
async fn a_dropped_sandbox_leaves_nothing() {
    let mut there = Vec::new();
    let (outcome, _) = run_until_events_flow(&CancellationToken::new(), async |output: &str| {
        there = folders(output);
        Next::Drop
    })
    .await;
    assert!(outcome.is_none());
    assert_nothing_is_left(&there);
}

#[tokio::test]
async fn a_stop_before_anything_runs_is_no_verdict() {
    let stop = CancellationToken::new();
    stop.cancel();
    let outcome = Box::pin(run(options(Some(1), "max"), stop, &mut Vec::new())).await;
    assert!(matches!(outcome, Err(SandboxError::Interrupted)), "{outcome:?}");
}

#[tokio::test]
async fn what_is_taken_from_the_stream_is_lost_and_what_is_taken_from_the_table_a_phantom() {
    let stop = CancellationToken::new();
    let mut taken = String::new();
    let (outcome, output) = run_until_events_flow(&stop, async |output: &str| {
        let url = output.split_whitespace().find(|word| word.starts_with("nats://")).unwrap();
        let nats = jetstream::new(async_nats::connect(url).await.unwrap());
        let stream = Box::pin(nats.get_stream("OUTBOX")).await.unwrap();
        let id_of = async |sequence| {
            let message = Box::pin(stream.get_raw_message(sequence)).await.unwrap();
            message.headers.get("Nats-Msg-Id").unwrap().to_string()
        };
        let (lost, phantom) = (id_of(5).await, id_of(7).await);
        stream.delete_message(5).await.unwrap();
        let url = output.split_whitespace().find(|word| word.starts_with("postgres://")).unwrap();
        let (sql, connection) = Box::pin(tokio_postgres::connect(url, tokio_postgres::NoTls)).await.unwrap();
        tokio::spawn(connection);
        sql.execute("DELETE FROM outbox WHERE id = $1::text::uuid", &[&phantom]).await.unwrap();
        // One more that both sides have.
        let guest = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload) \
                     VALUES (gen_random_uuid(), 'guest', '1', 'Hello', NULL)";
        sql.execute(guest, &[]).await.unwrap();
        taken = format!("lost: event {lost}");
        stop.cancel();
        Next::Wait
    })
    .await;
    let verdict = outcome.unwrap().unwrap();
    let found = &verdict.findings;
    assert_eq!((found.lost, found.phantom, found.duplicated, found.altered), (1, 1, 0, 0), "{output}");
    assert_eq!(found.committed, found.stored, "{output}");
    assert!(!verdict.is_clean());
    assert!(output.contains(&taken), "{taken} is not in\n{output}");
    assert!(output.lines().last().unwrap().ends_with("1 phantom"), "{output}");
}

#[tokio::test]
async fn a_walpost_that_dies_ends_the_sandbox_with_the_end_of_its_log() {
    let (outcome, _) = run_until_events_flow(&CancellationToken::new(), async |output: &str| {
        let processes = processes_in(&folders(output));
        let (pid, _) = processes.iter().find(|(_, line)| line.ends_with("walpost run ")).unwrap();
        kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
        Next::Wait
    })
    .await;
    let error = outcome.unwrap().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("signal 9") && message.contains("\"leading\""), "{message}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_machine_without_servers_is_told_how_to_get_them() {
    let options = SandboxOptions { places: Places::default(), ..options(Some(1), "max") };
    let error = Box::pin(run(options, CancellationToken::new(), &mut Vec::new())).await.unwrap_err();
    assert!(matches!(error, SandboxError::Server(ServerError::NotFound { .. })), "{error}");
    assert!(error.hint().unwrap().contains("make tools"));
}

#[tokio::test]
async fn a_program_that_is_not_walpost_is_shown_with_what_it_said() {
    let options = SandboxOptions { program: "/bin/false".into(), ..options(Some(1), "max") };
    let error = timeout(SOON, Box::pin(run(options, CancellationToken::new(), &mut Vec::new()))).await.unwrap();
    let message = error.unwrap_err().to_string();
    assert!(message.contains("walpost setup") && message.contains("exit code 1"), "{message}");
}
