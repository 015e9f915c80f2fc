//! walpost itself as a child process, configured by its environment alone, as in a container.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::servers::{End, GuardedFolder, PrivateProgram, ProgramOptions, ServerError};

/// How long `walpost setup` may take; it takes a few tens of milliseconds.
const SETTING_UP: Duration = Duration::from_secs(60);

/// How long `walpost run` may take until it delivers.
const STARTING: Duration = Duration::from_secs(30);

/// How long it may take to end in order: its own `drain_timeout` of 10 s, and time to spare.
const STOPPING: Duration = Duration::from_secs(20);

/// How long one question to the admin port may take.
const ASKING: Duration = Duration::from_secs(2);

/// How many ports to try: each is lost only if somebody takes it within milliseconds.
const PORT_ATTEMPTS: usize = 5;

/// Variables of ours that walpost gets as well; the rest of its environment is made for it.
const PASSED_ON: [&str; 2] = ["PATH", "HOME"];

/// How to run walpost in the sandbox.
#[derive(Clone, Debug)]
pub(super) struct RelayPlan {
    /// Where.
    pub(super) folder: GuardedFolder,
    /// The walpost program.
    pub(super) program: PathBuf,
    /// The database.
    pub(super) postgres_url: String,
    /// The broker.
    pub(super) nats_url: String,
}

/// A running `walpost run`.
#[derive(Debug)]
pub(super) struct Relay {
    /// The process.
    program: PrivateProgram,
    /// Where it can be asked how it is.
    admin_port: u16,
}

/// What the relay says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RelayStatus {
    /// How much log Postgres keeps for it.
    pub(super) lag_bytes: u64,
}

impl RelayPlan {
    /// Run `walpost setup` to its end; the parts that it created.
    pub(super) async fn set_up(&self) -> Result<Vec<String>, ServerError> {
        let setup = self.folder.start(self.options("walpost setup", "setup", 0))?;
        match setup.ended(SETTING_UP).await {
            Some(end) if end.is_success => Ok(created(&setup.said())),
            Some(end) => Err(setup.misbehaved(end.how)),
            None => Err(setup.misbehaved(format!("not done within {SETTING_UP:?}"))),
        }
    }

    /// Start `walpost run`; it delivers on return.
    pub(super) async fn start(&self) -> Result<Relay, ServerError> {
        let mut attempts = 1..=PORT_ATTEMPTS;
        loop {
            attempts.next();
            let admin_port = self.folder.free_port()?;
            let relay =
                Relay { program: self.folder.start(self.options("walpost run", "run", admin_port))?, admin_port };
            match relay.program.until_ready(STARTING, async || relay.is_ready().await).await {
                Ok(()) => return Ok(relay),
                Err(_) if relay.program.lacks_port() && !attempts.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A walpost command with its whole environment.
    fn options(&self, name: &'static str, command: &str, admin_port: u16) -> ProgramOptions {
        let own = |name: &str| Some((OsString::from(name), env::var_os(name)?));
        let mut environment: Vec<_> = PASSED_ON.into_iter().filter_map(own).collect();
        let made = [
            ("WALPOST_POSTGRES_URL", self.postgres_url.clone()),
            ("WALPOST_NATS_URL", self.nats_url.clone()),
            ("WALPOST_ADMIN_LISTEN", format!("127.0.0.1:{admin_port}")),
            ("WALPOST_LOG_FORMAT", "json".to_owned()),
        ];
        environment.extend(made.map(|(name, value)| (name.into(), value.into())));
        ProgramOptions { name, program: self.program.clone(), arguments: vec![command.into()], environment }
    }
}

impl Relay {
    /// Where it can be asked how it is.
    pub(super) fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// Wait for it to end of its own accord, which it should not; the error says how.
    pub(super) async fn broke_off(&self) -> ServerError {
        loop {
            if let Some(end) = self.program.ended(Duration::MAX).await {
                return self.program.misbehaved(format!("delivery broke off: {}", end.how));
            }
        }
    }

    /// SIGTERM, and wait for the end; none if it takes too long.
    pub(super) async fn stop(&self) -> Option<End> {
        self.program.terminate();
        self.program.ended(STOPPING).await
    }

    /// The most memory it had in use.
    pub(super) fn peak_memory_bytes(&self) -> Option<u64> {
        self.program.peak_memory_bytes()
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        self.program.log_tail(12)
    }

    /// What it says about itself now.
    pub(super) async fn status(port: u16) -> Option<RelayStatus> {
        let (_, body) = ask(port, "/status").await.ok()?;
        status_in(&body)
    }

    /// The port for [`Self::status`].
    pub(super) fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// Whether it delivers.
    async fn is_ready(&self) -> Result<(), String> {
        if self.program.lacks_port() {
            // It would deliver all the same, but nobody could see it: end it and try another port.
            self.program.terminate();
        }
        match ask(self.admin_port, "/ready").await {
            Ok((200, _)) => Ok(()),
            Ok((code, said)) => Err(format!("/ready says {code}: {}", said.trim())),
            Err(error) => Err(error),
        }
    }
}

/// The parts that setup says it created: `created  table public.outbox`.
fn created(output: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.strip_prefix("created")).map(|part| part.trim().to_owned()).collect()
}

/// The numbers of a status page.
fn status_in(body: &str) -> Option<RelayStatus> {
    let page: Value = serde_json::from_str(body).ok()?;
    Some(RelayStatus { lag_bytes: page.pointer("/lag/bytes")?.as_u64()? })
}

/// GET one page of the admin port: the status code and the body. HTTP/1.0, so that the end of the answer is the end of
/// the connection.
async fn ask(port: u16, path: &str) -> Result<(u16, String), String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = match timeout(ASKING, exchange).await {
        Ok(answer) => answer.map_err(|error| format!("the admin port: {error}"))?,
        Err(_) => return Err("the admin port does not answer".to_owned()),
    };
    parsed(&answer).ok_or_else(|| "the admin port does not speak HTTP".to_owned())
}

/// The status code and the body of an answer.
fn parsed(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some((code.parse().ok()?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_admin_port_are_read() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nstarting\n";
        assert_eq!(parsed(answer), Some((503, "starting\n".to_owned())));
        assert_eq!(parsed("SSH-2.0-OpenSSH\r\n\r\n"), None);
        assert_eq!(status_in(r#"{"lag": {"bytes": 1234}}"#), Some(RelayStatus { lag_bytes: 1234 }));
        assert_eq!(status_in("{}"), None);
    }

    #[test]
    fn what_setup_created_is_listed() {
        let output =
            "created  table public.outbox\nexists   stream OUTBOX\ncreated  slot walpost\n{\"level\":\"info\"}\n";
        assert_eq!(created(output), ["table public.outbox", "slot walpost"]);
    }
}
