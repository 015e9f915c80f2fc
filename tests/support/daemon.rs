//! The program under test: its configuration, its life, and what it says of itself.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use uuid::Uuid;

use super::wait;

/// How long a stop in good order may take: the promise of the contract.
pub(crate) const STOP_BOUND: Duration = Duration::from_secs(10);
/// How long a change of phase may take here; below the bound of every wait, so that the log is shown.
const PHASE_BOUND: Duration = Duration::from_secs(50);
/// How long a command that ends by itself may take here.
const COMMAND_BOUND: Duration = Duration::from_secs(60);

/// A configuration, by environment variables without their prefix, and what the shell's `ulimit` allows the program.
#[derive(Clone, Debug)]
pub(crate) struct Settings(BTreeMap<String, String>, Option<&'static str>);

impl Settings {
    /// For these two servers; everything else by default.
    pub(crate) fn new(postgres_url: &str, nats_url: &str) -> Self {
        Self(BTreeMap::new(), None)
            .with("POSTGRES_URL", postgres_url)
            .with("NATS_URL", nats_url)
            .with("ADMIN_LISTEN", &free_address().to_string())
            .with("LOG_FORMAT", "json")
    }

    /// With one more variable, or another value for it.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(format!("WALPOST_{name}"), value.to_owned());
        self
    }

    /// Without a variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(&format!("WALPOST_{name}"));
        self
    }

    /// With a limit of the operating system's: arguments of `ulimit`.
    pub(crate) fn limited(mut self, limit: &'static str) -> Self {
        self.1 = Some(limit);
        self
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Answer {
        let folder = tempfile::tempdir().unwrap();
        let output = self.command(arguments, &folder).output();
        let output = timeout(COMMAND_BOUND, output).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?} did not end")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs `walpost setup`, which must do it all.
    pub(crate) async fn set_up(&self) -> String {
        let answer = self.run(&["setup"]).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        answer.stdout
    }

    /// The same in front of rows that somebody looks after.
    pub(crate) async fn set_up_again(&self) {
        let answer = self.run(&["setup", "--existing-rows", "keep"]).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    }

    /// Starts `walpost run`.
    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&["run"])
    }

    /// Starts a command that goes on until it is stopped.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = self.command(arguments, &folder).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let admin = self.0.get("WALPOST_ADMIN_LISTEN").unwrap().parse().unwrap();
        Daemon { child, admin, folder }
    }

    /// Starts `walpost run` and waits until it delivers.
    pub(crate) async fn lead(&self) -> Daemon {
        let mut daemon = self.start();
        daemon.until_ready().await;
        daemon
    }

    fn command(&self, arguments: &[&str], folder: &TempDir) -> Command {
        let program = env!("CARGO_BIN_EXE_walpost");
        let mut command = match self.1 {
            None => Command::new(program),
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), program]);
                shell
            }
        };
        command.args(arguments).current_dir(folder.path()).env_clear().envs(&self.0).kill_on_drop(true);
        command.stdin(Stdio::null());
        command
    }
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Data.
    pub(crate) stdout: String,
    /// Everything else.
    pub(crate) stderr: String,
}

/// A `walpost run`. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    admin: SocketAddr,
    folder: TempDir,
}

impl Daemon {
    /// Waits until it says that it delivers.
    pub(crate) async fn until_ready(&mut self) {
        let ready = wait::some("walpost leads", async || match self.exit_code() {
            Some(code) => Some(Err(code)),
            None => self.get("/ready").await.filter(|page| page.code == 200 && page.body == "leading\n").map(Ok),
        });
        let ended = ready.await.err();
        assert_eq!(ended, None, "walpost ended: {}", self.log());
    }

    /// `/status`, if the port answers.
    pub(crate) async fn status(&self) -> Option<Value> {
        self.get("/status").await.map(|page| serde_json::from_str(&page.body).unwrap())
    }

    /// One page of the admin port, if it answers.
    pub(crate) async fn get(&self, path: &str) -> Option<Page> {
        let mut socket = TcpStream::connect(self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        Page::parse(&answer)
    }

    /// The exit code, once it has ended by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap()?;
        Some(status.code().unwrap_or_else(|| panic!("walpost was ended by a signal: {status}")))
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> i32 {
        wait::some("walpost ends", async || self.exit_code()).await
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        let ended = timeout(STOP_BOUND, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("no end within {STOP_BOUND:?}: {}", self.log())).unwrap();
        status.code().unwrap_or_else(|| panic!("{status}: {}", self.log()))
    }

    /// SIGKILL; gone on return.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, without waiting for the end.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGSTOP: it stands still until [`Daemon::wake`].
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub(crate) fn wake(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Waits until it is in this phase and nothing keeps it from doing its part.
    pub(crate) async fn until_phase(&self, phase: &str) {
        let page = format!("{phase}\n");
        let is_in_phase = wait::until("walpost is in another phase", async || {
            self.get("/ready").await.is_some_and(|ready| ready.code == 200 && ready.body == page)
        });
        timeout(PHASE_BOUND, is_in_phase).await.unwrap_or_else(|_| panic!("it is not {phase}: {}", self.log()));
    }

    /// Waits until it says that this keeps it from delivering.
    pub(crate) async fn until_blocked(&self, code: &str) {
        wait::until(&format!("walpost says {code}"), async || {
            self.get("/ready").await.is_some_and(|ready| ready.code == 503 && ready.body.contains(code))
        })
        .await;
    }

    /// How many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Where its admin port is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The most memory that it ever had resident, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        self.memory_kib().unwrap()
    }

    /// The same, if it still runs.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Everything it has written to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// The number of its process.
    pub(crate) fn pid_number(&self) -> u32 {
        self.child.id().unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.pid_number().try_into().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("a walpost said:\n{}", self.log());
        }
    }
}

/// An answer of the admin port.
#[derive(Debug)]
pub(crate) struct Page {
    /// The HTTP status.
    pub(crate) code: u16,
    /// The header lines.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

impl Page {
    fn parse(answer: &str) -> Option<Self> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { code, head: head.to_owned(), body: body.to_owned() })
    }
}

/// An address on which nobody listens now; below the ports from which the private servers take theirs.
pub(crate) fn free_address() -> SocketAddr {
    let candidate = || SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + Uuid::new_v4().as_fields().1 % 6_000));
    let mut candidates = std::iter::repeat_with(candidate).take(100);
    candidates.find(|address| TcpListener::bind(address).is_ok()).unwrap()
}
