//! One instance of walpost behind its network: started again whenever it ends, watched all the time.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    arena::{GLANCE, SECRETS, settings},
    daemon::{Daemon, Settings, free_address},
    journal::{Journal, Life},
    judge::{Kind, Violation},
    proxy::{Cut, Edge, Instance, Protocol},
    workload::CANARY,
};

/// What it may have resident, in KiB.
const MEMORY_KIB: u64 = 64 * 1024;
/// How long a stop in good order may take: the time to drain, and as much again on a busy machine.
const STOP: Duration = Duration::from_secs(20);
/// How long whoever starts it again waits, as systemd would.
const RESTART_PAUSE: Duration = Duration::from_millis(300);
/// How often it is asked how it does.
const LOOK: Duration = Duration::from_millis(200);
/// How long it may take to say.
const QUESTION: Duration = Duration::from_millis(500);

/// One instance.
#[derive(Debug)]
pub(crate) struct Runner {
    /// Its way to Postgres.
    pub(crate) postgres: Edge,
    /// Its way to NATS.
    pub(crate) nats: Edge,
    /// What its edges share.
    pub(crate) instance: Instance,
    settings: Settings,
    process: Option<Daemon>,
    /// Whether this process has led or stood by.
    was_ready: bool,
    is_frozen: bool,
    looked_at: Instant,
    /// When the present one may be followed by the next.
    start_at: Option<Instant>,
    /// The most memory that any had, in KiB.
    pub(crate) peak_kib: u64,
    /// What all of them have written, each headed by its number.
    pub(crate) logs: String,
    /// How often one ended by itself, before it had been at work.
    pub(crate) false_starts: u64,
}

impl Runner {
    /// An instance that has not been started, and its network.
    pub(crate) async fn new(number: usize, (url, port): (&str, u16), nats: &[u16], journal: &Journal) -> Self {
        let instance = Instance { number, ..Instance::default() };
        let postgres = Edge::open(Protocol::Postgres, &[port], &instance, journal).await;
        let nats = Edge::open(Protocol::Nats, nats, &instance, journal).await;
        let url = url.replace(&format!(":{port}/"), &format!(":{}/", postgres.ports()[0]));
        let servers: Vec<String> = nats.ports().iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let settings = settings(&url, &servers.join(","));
        Self {
            postgres,
            nats,
            instance,
            settings,
            process: None,
            was_ready: false,
            is_frozen: false,
            looked_at: Instant::now(),
            start_at: None,
            peak_kib: 0,
            logs: String::new(),
            false_starts: 0,
        }
    }

    /// Has it delete rows as soon as they are delivered.
    pub(crate) fn delete_rows(&mut self) {
        self.settings = self.settings.clone().with("RETENTION_DELETE_AFTER", "0s");
    }

    /// Its present life.
    pub(crate) fn life(&self) -> Life {
        Life { instance: self.instance.number, number: self.instance.life.load(Relaxed) }
    }

    /// Starts it, if it does not run.
    pub(crate) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        if self.instance.is_over.swap(false, Relaxed) {
            self.postgres.cut(Cut::Close);
            self.nats.cut(Cut::Close);
        }
        self.instance.life.fetch_add(1, Relaxed);
        let settings = self.settings.clone().with("ADMIN_LISTEN", &free_address().to_string());
        self.process = Some(settings.start());
        (self.was_ready, self.is_frozen, self.start_at) = (false, false, None);
    }

    /// Starts it again if it has ended; looks how it does. What is wrong with it.
    pub(crate) async fn look_after(&mut self) -> Vec<Violation> {
        let mut found = Vec::new();
        if self.start_at.is_some_and(|at| Instant::now() >= at) {
            self.start();
        }
        if let Some(code) = self.process.as_mut().and_then(Daemon::exit_code) {
            if self.was_ready {
                let last = self.process.as_ref().map(|daemon| last_lines(&daemon.log())).unwrap_or_default();
                found.push(Violation::new(Kind::GaveUp, format!("{:?} with code {code}: {last}", self.life())));
            } else {
                self.false_starts += 1;
            }
            found.extend(self.bury());
            self.start_at = Some(Instant::now() + RESTART_PAUSE);
        }
        if self.looked_at.elapsed() >= LOOK && !self.is_frozen {
            self.looked_at = Instant::now();
            self.peak_kib = self.peak_kib.max(self.process.as_ref().and_then(Daemon::memory_kib).unwrap_or_default());
            let phase = timeout(QUESTION, self.phase()).await.unwrap_or_default();
            self.was_ready |= phase == "leading" || phase == "standby";
            for page in ["/ready", "/status", "/metrics"] {
                let Some(daemon) = &self.process else { break };
                let body = timeout(QUESTION, daemon.get(page)).await.ok().flatten().map(|page| page.body);
                found.extend(leaks(&body.unwrap_or_default()));
            }
        }
        found
    }

    /// What it says it is doing; empty if it does not answer.
    pub(crate) async fn phase(&self) -> String {
        let Some(daemon) = &self.process else { return String::new() };
        let status = daemon.status().await.unwrap_or_default();
        status["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// SIGKILL; gone on return. It is not started again by itself.
    pub(crate) async fn kill(&mut self) -> Vec<Violation> {
        if let Some(daemon) = &mut self.process {
            self.peak_kib = self.peak_kib.max(daemon.memory_kib().unwrap_or_default());
            daemon.kill().await;
        }
        self.bury()
    }

    /// SIGTERM; gone on return. It is not started again by itself.
    pub(crate) async fn stop(&mut self) -> Vec<Violation> {
        let mut found = Vec::new();
        let Some(daemon) = &mut self.process else { return found };
        self.peak_kib = self.peak_kib.max(daemon.memory_kib().unwrap_or_default());
        daemon.interrupt();
        let deadline = Instant::now() + STOP;
        loop {
            match daemon.exit_code() {
                Some(0) => break,
                // Asked before it was ready, an error that it just met may come first.
                Some(_) if !self.was_ready => break,
                Some(code) => {
                    found.push(Violation::new(Kind::DidNotStop, format!("code {code}: {}", last_lines(&daemon.log()))));
                    break;
                }
                None if Instant::now() > deadline => {
                    found.push(Violation::new(
                        Kind::DidNotStop,
                        format!("not within {STOP:?}: {}", last_lines(&daemon.log())),
                    ));
                    daemon.kill().await;
                    break;
                }
                None => sleep(GLANCE).await,
            }
        }
        found.extend(self.bury());
        found
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&mut self) {
        self.is_frozen = true;
        self.process.iter().for_each(Daemon::freeze);
    }

    /// SIGCONT.
    pub(crate) fn wake(&mut self) {
        self.is_frozen = false;
        self.process.iter().for_each(Daemon::wake);
    }

    /// Keeps what it has written.
    fn bury(&mut self) -> Vec<Violation> {
        let Some(daemon) = self.process.take() else { return Vec::new() };
        let log = daemon.log();
        let mut found = leaks(&log);
        if self.peak_kib > MEMORY_KIB {
            found.push(Violation::new(Kind::Memory, format!("{} KiB", self.peak_kib)));
        }
        self.logs.push_str(&format!("==== {:?} ====\n{log}\n", self.life()));
        found
    }
}

/// The first line with each thing that must be seen nowhere.
fn leaks(said: &str) -> Vec<Violation> {
    let secrets = SECRETS.iter().chain([&CANARY]);
    let lines = secrets.filter_map(|secret| said.lines().find(|line| line.contains(secret)));
    lines.map(|line| Violation::new(Kind::Leak, format!("{line:.300}"))).collect()
}

fn last_lines(log: &str) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(3)..].join(" | ")
}
