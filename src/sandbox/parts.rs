//! The parts of a sandbox: two servers and a relay between them, started one after the other with a line for each.
//!
//! All parts are at hand for whoever wants to see what happens without one of them for a while.

use std::env;
use std::os::unix::fs::symlink;

use tokio::time::Instant;

use super::error::SandboxError;
use super::options::SandboxOptions;
use super::relay::{Relay, RelayPlan};
use super::screen::{Ink, Line, Screen};
use super::servers::{
    GuardedFolder, NatsBinary, NatsOptions, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres,
};

/// Everything that runs. Dropped in this order: the relay first, which would complain about its servers.
#[derive(Debug)]
pub(super) struct Parts {
    /// walpost.
    pub(super) relay: Relay,
    /// The broker.
    pub(super) nats: PrivateNats,
    /// The database.
    pub(super) postgres: PrivatePostgres,
    /// The relay's logs, and links to the servers' folders.
    pub(super) folder: GuardedFolder,
    /// What to type for `psql`.
    psql: String,
}

impl Parts {
    /// Start everything; the relay delivers on return. Dropping the future ends what was started.
    pub(super) async fn start(options: &SandboxOptions, screen: &mut Screen<'_>) -> Result<Self, SandboxError> {
        // Found before anything is started: a missing one is missed at once.
        let binaries = PostgresBinaries::find(&options.places)?;
        let binary = NatsBinary::find(&options.places)?;

        let begun = Instant::now();
        let name = format!("postgres {}", binaries.version);
        let psql = psql(&binaries);
        let postgres = Box::pin(PrivatePostgres::start(PostgresOptions::default().binaries(binaries))).await?;
        screen.line(&started(&name, &format!("on port {}", postgres.port()), begun))?;

        let begun = Instant::now();
        let name = format!("nats {}", binary.version);
        let nats = Box::pin(PrivateNats::start(NatsOptions::default().binary(binary))).await?;
        screen.line(&started(&name, &format!("on port {}", nats.port()), begun))?;

        let begun = Instant::now();
        let folder = GuardedFolder::create()?;
        for (name, target) in [("postgres", postgres.folder()), ("nats", nats.folder())] {
            // For the curious only, so a failure harms nobody.
            let _is_linked = symlink(target, folder.path().join(name));
        }
        let plan = RelayPlan {
            folder: folder.clone(),
            program: options.program.clone(),
            postgres_url: postgres.url(),
            nats_url: nats.url(),
        };
        let created = plan.set_up().await?;
        screen.line(&started("walpost setup", &created.join(", "), begun))?;

        let begun = Instant::now();
        let relay = plan.start().await?;
        screen.line(&started("walpost run", &format!("ready, admin port {}", relay.admin_port()), begun))?;
        Ok(Self { relay, nats, postgres, folder, psql })
    }

    /// What a curious person may do meanwhile.
    pub(super) fn invite(&self, screen: &mut Screen<'_>) -> Result<(), SandboxError> {
        let (nats, admin) = (self.nats.url(), self.relay.admin_url());
        let psql = format!("{} {}", self.psql, self.postgres.url());
        let event = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload) \
                     VALUES (gen_random_uuid(), 'guest', '1', 'Hello', '{\"from\": \"me\"}')";
        let commands = [
            ("look at the table", psql.clone()),
            ("listen to the events", format!("nats --server {nats} sub 'outbox.>'")),
            ("look at the stream", format!("nats --server {nats} stream view OUTBOX")),
            ("look at the numbers", format!("curl {admin}/metrics")),
            ("read the logs", format!("ls {}", self.folder.path().display())),
            ("send one of your own", format!("{psql} -c \"{}\"", event.replace('"', "\\\""))),
        ];
        screen.blank()?;
        screen.line(&Line::of(Ink::Plain, "From another terminal you can:"))?;
        for (what, command) in commands {
            screen.line(&Line::of(Ink::Dim, format!("  {what:<21} ")).with(Ink::Accent, command))?;
        }
        screen.blank()?;
        let story =
            "Orders are placed, paid, shipped and cancelled; each change records its event in the same transaction.";
        screen.line(&Line::of(Ink::Plain, story))?;
        screen.blank()?;
        Ok(())
    }
}

/// What to type for `psql`: its name if that is enough, else where it is beside the server.
fn psql(binaries: &PostgresBinaries) -> String {
    let folders = env::var_os("PATH").unwrap_or_default();
    let beside = binaries.program("psql");
    let is_on_path = env::split_paths(&folders).any(|folder| folder.join("psql").is_file());
    if is_on_path || !beside.is_file() { "psql".to_owned() } else { beside.display().to_string() }
}

/// A line for a part that was started.
fn started(name: &str, what: &str, begun: Instant) -> Line {
    let took = format!("   {:.1} s", begun.elapsed().as_secs_f64());
    Line::of(Ink::Good, "  * ").with(Ink::Strong, format!("{name:<14} ")).with(Ink::Plain, what).with(Ink::Dim, took)
}
