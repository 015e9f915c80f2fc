//! A database and a stream with everything in order, in which faults are planted and mended.

use std::{
    collections::BTreeMap,
    fs,
    panic::AssertUnwindSafe,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use async_nats::{
    ConnectOptions,
    jetstream::{self, stream::DiscardPolicy},
};
use futures_util::FutureExt;
use tempfile::TempDir;
use walpost::{
    config::{Config, Sources},
    doctor::{Finding, Report, Verdict, diagnose},
    endpoint_table::TableReader,
    plan::Plan,
    postgres::{Endpoint, sql::Session},
    publish::Broker,
    sandbox::servers::PrivatePostgres,
    setup::{ExistingRows, Setup, SetupError},
    survey::{Patience, Scope, Survey},
    webhooks::{EndpointName, Store, Wish},
};

use crate::world::{connect, matrix};

/// So often remedies may bring forth other findings: a table that is made anew must be published anew.
const ROUNDS: usize = 5;

/// One fault.
pub(crate) struct Fault {
    /// What goes wrong: see [`Patient::act`].
    pub(crate) plant: &'static [&'static str],
    /// The check that finds it.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// What it says was found, in part.
    pub(crate) found: &'static str,
    /// What it says to do, in part.
    pub(crate) remedy: &'static str,
    /// What a person does where the remedy has no command; the commands are run afterwards.
    pub(crate) mend: &'static [&'static str],
}

/// Both sides in order, with names of their own on servers that are shared.
pub(crate) struct Patient {
    /// The database, the slot and the role.
    pub(crate) name: String,
    /// The stream.
    pub(crate) stream: String,
    /// The superuser's session.
    pub(crate) admin: Session,
    /// The configuration, as environment variables without their prefix.
    pub(crate) settings: BTreeMap<String, String>,
    /// What is laid aside, to have it back.
    aside: BTreeMap<String, Option<String>>,
    pub(crate) jetstream: jetstream::Context,
    client: async_nats::Client,
    /// The superuser's way in.
    admin_url: String,
    /// Holds the file of the configuration, once there is one.
    folder: TempDir,
    /// The server's programs and port, for remedies with `psql`.
    programs: std::path::PathBuf,
    port: u16,
    major: u32,
    /// Makes what was seen look older than a test can wait for.
    pub(crate) ages: fn(&mut Survey),
}

/// Numbers streams, since databases of different servers share a broker.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Patient {
    /// Sets everything up in a new database. The role is not the superuser: it has what `walpost run` needs.
    pub(crate) async fn new(server: &PrivatePostgres, nats_url: &str, name: &str) -> Self {
        server.execute_sql(&format!("CREATE DATABASE {name}")).await.unwrap();
        server.execute_sql(&format!("CREATE ROLE {name} LOGIN REPLICATION")).await.unwrap();
        let patient = Self::of(server, nats_url, name).await;
        patient.set_up().await;
        patient.admin.client().batch_execute(&patient.grant()).await.unwrap();
        patient
    }

    /// In a database that is there; nothing is set up.
    pub(crate) async fn of(server: &PrivatePostgres, nats_url: &str, name: &str) -> Self {
        let stream = format!("{name}_{}", NEXT.fetch_add(1, Relaxed));
        let settings = [
            ("POSTGRES_URL", server.url_for(name, name)),
            ("POSTGRES_SLOT", name.to_owned()),
            ("NATS_URL", nats_url.to_owned()),
            ("NATS_STREAM", stream.clone()),
            ("NATS_SUBJECT", format!("{stream}.{{aggregate_type}}.{{event_type}}")),
        ];
        let client = nats_client(nats_url).await;
        Self {
            name: name.to_owned(),
            stream,
            admin: connect(&server.url_for("postgres", name)).await,
            settings: settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            aside: BTreeMap::new(),
            jetstream: jetstream::new(client.clone()),
            client,
            admin_url: server.url_for("postgres", name),
            folder: tempfile::tempdir().unwrap(),
            programs: matrix().first().unwrap().program("psql"),
            port: server.port(),
            major: server.major(),
            ages: |_| {},
        }
    }

    /// What the role needs besides `LOGIN REPLICATION`.
    pub(crate) fn grant(&self) -> String {
        let watermark = format!("GRANT SELECT, INSERT, UPDATE ON walpost_watermark TO {}", self.name);
        let dead_letters = format!("GRANT SELECT, INSERT, DELETE ON walpost_dead_letter TO {}", self.name);
        format!("{watermark}; {dead_letters}; GRANT SELECT ON walpost_lag TO {}", self.name)
    }

    /// The configuration that the settings describe.
    pub(crate) fn config(&self) -> Config {
        let variable = |(name, value): (&String, &String)| (format!("WALPOST_{name}").into(), value.into());
        let environment = self.settings.iter().map(variable).collect();
        let file = self.settings.get("CONFIG").map(Into::into);
        let loaded = Config::load(&Sources { file, environment, ..Sources::default() });
        loaded.unwrap_or_else(|problems| panic!("{problems}: {:?}", self.settings)).config
    }

    /// The plan that it describes.
    pub(crate) fn plan(&self) -> Plan {
        Plan::new(&self.config())
    }

    /// What `walpost setup` does, as the owner of the database.
    pub(crate) async fn set_up(&self) {
        self.try_to_set_up(None).await.unwrap_or_else(|error| panic!("{error}: {:?}", error.problems()));
    }

    async fn try_to_set_up(&self, existing_rows: Option<ExistingRows>) -> Result<(), SetupError> {
        let plan = self.plan();
        let broker = Broker::connect(&plan.broker).await.unwrap();
        let (session, needs, stream) = (&self.admin, &plan.needs, &plan.stream);
        let setup = Setup { session, needs, inspector: &broker.inspector(), stream, existing_rows };
        setup.apply(|_| {}).await.map(drop)
    }

    /// Runs doctor.
    pub(crate) async fn examine(&self) -> Report {
        self.examine_with(Patience {
            connection: Duration::from_secs(20),
            answer: Duration::from_secs(20),
            sample: Duration::from_millis(1),
            whole: Duration::from_secs(300),
        })
        .await
    }

    /// The same with this patience.
    pub(crate) async fn examine_with(&self, patience: Patience) -> Report {
        let (plan, mut config) = (self.plan(), self.config());
        // Nobody answers there.
        config.admin.listen = "127.0.0.1:1".parse().unwrap();
        let mut survey = Survey::of(&plan, &config, Scope::Whole, patience).await;
        (self.ages)(&mut survey);
        diagnose(&plan, &survey)
    }

    /// Everything that is not as it should be, a line for each.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        wrong(&self.examine().await).iter().map(|finding| line(finding)).collect()
    }

    /// One fault after the other; tells of all that were not found or not mended.
    pub(crate) async fn suffers_all(&mut self, faults: &[Fault]) {
        let mut failed = Vec::new();
        for fault in faults {
            if AssertUnwindSafe(self.suffers(fault)).catch_unwind().await.is_err() {
                failed.push(format!("{} {:?}", fault.check, fault.found));
            }
        }
        assert!(failed.is_empty(), "on Postgres {}: {failed:#?}", self.major);
    }

    /// Plants the fault, sees it found, does what the remedy says, and sees nothing found any more.
    pub(crate) async fn suffers(&mut self, fault: &Fault) {
        for step in fault.plant {
            self.act(step).await;
        }
        let report = self.examine().await;
        let found = report.findings().iter().find(|finding| {
            finding.check.id() == fault.check
                && finding.verdict == fault.verdict
                && finding.found.contains(&self.named(fault.found))
        });
        let all: Vec<_> = wrong(&report).iter().map(|finding| line(finding)).collect();
        let found = found.unwrap_or_else(|| panic!("{} {:?} is not among {all:#?}", fault.check, fault.found));
        let remedy = found.remedy.clone().unwrap_or_default();
        assert!(remedy.contains(&self.named(fault.remedy)), "{}: {remedy}", fault.check);
        assert!(!found.check.why().is_empty());
        for step in fault.mend {
            self.act(step).await;
        }
        self.is_cured().await;
    }

    /// Runs what remedies say until nothing is wrong.
    pub(crate) async fn is_cured(&mut self) {
        for _ in 0..ROUNDS {
            let report = self.examine().await;
            let wrong = wrong(&report);
            if wrong.is_empty() {
                return;
            }
            self.follow(&wrong).await;
        }
        panic!("still wrong on Postgres {}: {:#?}", self.major, self.complaints().await);
    }

    /// What `walpost webhooks setup` does, as the owner of the database.
    pub(crate) async fn set_up_webhooks(&self) {
        self.store().set_up().await.unwrap();
        if let Some(table) = self.config().webhooks.table {
            TableReader::new(Endpoint::parse(&self.admin_url).unwrap(), table).create().await.unwrap();
        }
    }

    fn store(&self) -> Store {
        Store::new(self.client.clone(), &self.stream)
    }

    /// Runs what remedies say, once.
    pub(crate) async fn treat(&self) {
        self.follow(&wrong(&self.examine().await)).await;
    }

    async fn follow(&self, findings: &[&Finding]) {
        for command in findings.iter().flat_map(|finding| finding.commands()) {
            self.run(command).await;
        }
    }

    /// One step of a case: `sql …`, `nats …` (see [`Self::nats`]), `publish <subject> <payload>`, `set NAME=value`,
    /// `unset NAME` for the value from before, `endpoints <what the file of the configuration has>`. `{name}` and `{stream}` stand for ours, `{created}` for
    /// when the stream was made.
    pub(crate) async fn act(&mut self, step: &str) {
        let mut step = self.named(step);
        if step.contains("{created}") {
            let created = self.jetstream.get_stream(&self.stream).await.unwrap().cached_info().created;
            step = step.replace("{created}", &created.unix_timestamp_nanos().to_string());
        }
        let (verb, rest) = step.split_once(' ').unwrap();
        match verb {
            "sql" => self.sql(rest).await,
            "nats" => self.nats(rest).await,
            "publish" => {
                let (subject, payload) = rest.split_once(' ').unwrap_or((rest, ""));
                let sent = self.jetstream.publish(subject.to_owned(), payload.to_owned().into()).await;
                sent.unwrap().await.unwrap_or_else(|error| panic!("{subject}: {error:?}"));
            }
            "endpoints" => {
                let path = self.folder.path().join("walpost.toml");
                fs::write(&path, rest).unwrap();
                self.settings.insert("CONFIG".to_owned(), path.to_str().unwrap().to_owned());
            }
            "set" => {
                let (name, value) = rest.split_once('=').unwrap();
                let before = self.settings.insert(name.to_owned(), value.to_owned());
                self.aside.insert(name.to_owned(), before);
            }
            "unset" => match self.aside.remove(rest).flatten() {
                Some(value) => drop(self.settings.insert(rest.to_owned(), value)),
                None => drop(self.settings.remove(rest)),
            },
            other => panic!("no such step: {other}"),
        }
    }

    /// Runs a command of a remedy.
    async fn run(&self, command: &str) {
        if let Some(endpoint) = command.strip_prefix("walpost webhooks enable ") {
            let wish = Wish { enabled: Some(true), again: Vec::new() };
            return self.store().make_wish(&EndpointName::parse(endpoint).unwrap(), wish).await.unwrap();
        }
        match command.split(' ').next().unwrap() {
            "walpost" if command == "walpost webhooks setup" => self.set_up_webhooks().await,
            // It creates what it can: what then stands in its way is found next.
            "walpost" => {
                let missing = command.ends_with("--existing-rows missing").then_some(ExistingRows::Missing);
                match self.try_to_set_up(missing).await {
                    Ok(()) | Err(SetupError::Refused(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            "nats" => self.nats(command.strip_prefix("nats ").unwrap()).await,
            "psql" => self.psql(command),
            _ => self.sql(command).await,
        }
    }

    async fn sql(&self, sql: &str) {
        self.admin.client().batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// With the server's own `psql`, as the superuser.
    fn psql(&self, command: &str) {
        let command = command.replacen("psql", &self.programs.display().to_string(), 1);
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        let output = shell.env("PGUSER", "postgres").output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What the command line of NATS does: `stream edit <stream> --option=value …`, `rm`, `purge`, and `view`, which
    /// changes nothing; besides `add` with the settings as JSON.
    async fn nats(&self, arguments: &str) {
        let words: Vec<&str> = arguments.splitn(4, ' ').collect();
        let [_, verb, stream, options] = words[..] else { panic!("{arguments}") };
        let option = |name: &str| {
            let given = options.split(' ').find_map(|option| option.strip_prefix(&format!("--{name}=")));
            given.map(str::to_owned)
        };
        match verb {
            "view" => {}
            "rm" => drop(self.jetstream.delete_stream(stream).await.unwrap()),
            "purge" => {
                let stream = self.jetstream.get_stream(stream).await.unwrap();
                stream.purge().filter(option("subject").unwrap()).await.unwrap();
            }
            "add" => {
                let whole: serde_json::Value = serde_json::from_str(options).unwrap();
                let config = serde_json::from_value(whole).unwrap_or_else(|error| panic!("{options}: {error}"));
                let config = jetstream::stream::Config { name: stream.to_owned(), ..config };
                self.jetstream.create_stream(config).await.unwrap();
            }
            "edit" => {
                let mut config = self.jetstream.get_stream(stream).await.unwrap().cached_info().config.clone();
                let number = |name| option(name).map(|value| value.parse().unwrap());
                config.max_bytes = number("max-bytes").unwrap_or(config.max_bytes);
                config.max_messages = number("max-msgs").unwrap_or(config.max_messages);
                config.max_messages_per_subject =
                    number("max-msgs-per-subject").unwrap_or(config.max_messages_per_subject);
                config.max_message_size =
                    number("max-msg-size").map_or(config.max_message_size, |size| size.try_into().unwrap());
                config.num_replicas = number("replicas").map_or(config.num_replicas, |count| count.try_into().unwrap());
                config.max_age = option("max-age").map_or(config.max_age, |time| duration(&time));
                config.duplicate_window = option("dupe-window").map_or(config.duplicate_window, |time| duration(&time));
                if let Some(policy) = option("discard") {
                    config.discard = if policy == "new" { DiscardPolicy::New } else { DiscardPolicy::Old };
                }
                if let Some(subjects) = option("subjects") {
                    config.subjects = subjects.split(',').map(str::to_owned).collect();
                }
                self.jetstream.update_stream(config).await.unwrap();
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn named(&self, text: &str) -> String {
        text.replace("{name}", &self.name).replace("{stream}", &self.stream)
    }
}

/// A client for an address as `nats.url` takes it, with a user in it or without.
async fn nats_client(url: &str) -> async_nats::Client {
    let servers: Vec<async_nats::ServerAddr> = url.split(',').map(|server| server.parse().unwrap()).collect();
    let user = servers.first().and_then(|server| Some((server.username()?.to_owned(), server.password()?.to_owned())));
    let options = match user {
        Some((user, password)) => ConnectOptions::with_user_and_password(user, password),
        None => ConnectOptions::new(),
    };
    options.connect(servers).await.unwrap()
}

/// As the command line of NATS writes times.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => panic!("no such unit: {other}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

/// Warnings and worse.
pub(crate) fn wrong(report: &Report) -> Vec<&Finding> {
    report.findings().iter().filter(|finding| finding.verdict != Verdict::Ok).collect()
}

/// A finding in a line.
pub(crate) fn line(finding: &Finding) -> String {
    let remedy = finding.remedy.as_deref().unwrap_or_default();
    format!("{:?} {}: {} | {remedy}", finding.verdict, finding.check.id(), finding.found)
}
