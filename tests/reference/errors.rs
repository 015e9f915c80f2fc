//! The pages about errors: one for each code, with its title, and with what the program really does.
//!
//! What it does is asked of [`verdict`], for one example of each error. So a new error needs an example here, and a new
//! code needs a page; what is missing is said by the test that fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use async_nats::{ConnectErrorKind, PublishErrorKind};
use walpost::{
    code::Code,
    lsn::{Lsn, LsnError},
    outbox::{BaseTypes, Binding, Mapping, Preset},
    pgoutput::{Relation, ReplicaIdentity},
    position::{Place, PositionError, Source},
    postgres::{ConnectError, sql::SqlError},
    preflight::{Problem, RetentionProblem},
    publish::{BrokerError, MessageError, Outcome, StreamError, StreamProblem},
    relay::{IntakeError, LogFault, LostLog, ResumeError, SessionError, StopReason},
    replication::{FrameError, ReplicationError, ServerMessage},
    supervisor::{Policy, RunError, verdict},
};

use super::{compare, in_repository};

/// The sections of a page, in this order.
const SECTIONS: [&str; 5] =
    ["## What it means", "## What walpost does", "## How it shows", "## Causes", "## What to do"];

/// What a page says in bold type under "What walpost does", in the order of the index.
const DOES: [&str; 3] = ["**tries again**", "**looks again**", "**ends**"];

/// What a page says there if no error has its code.
const NEVER: &str = "**does not give**";

/// One example of each error, as the supervisor gets it.
fn examples() -> Vec<RunError> {
    let mut all = vec![
        RunError::Sql(SqlError::NoAnswer),
        RunError::SqlSessionEnded,
        RunError::Message(MessageError::HeadersTooLarge { headers_bytes: 2, max_bytes: 1 }),
    ];
    all.extend(of_postgres().into_iter().map(RunError::Replication));
    all.extend(problems().into_iter().map(|problem| RunError::NotReady(vec![problem])));
    all.extend(of_nats());
    all.extend(resuming().into_iter().map(RunError::Resume));
    all.extend(delivering().into_iter().map(RunError::Session));
    all.extend(watermarks());
    all
}

fn of_postgres() -> Vec<ReplicationError> {
    use ReplicationError as E;
    let said = |code: &str, message: &str| {
        Box::new(ServerMessage { code: code.into(), message: message.into(), ..ServerMessage::default() })
    };
    let mut all = vec![
        E::Io(std::io::ErrorKind::ConnectionReset.into()),
        E::Closed,
        E::NoAnswer,
        E::PublicationSkipped(said("55000", "skipped loading publication")),
        E::NoPassword,
        E::AuthenticationMethod("Kerberos"),
        E::Frame(FrameError::CopyTag(b'?')),
        E::Position(LsnError),
        E::Unexpected("while logging in"),
        E::Connect(ConnectError::NoSecureHost("db:5432: the server does not offer TLS".into())),
        E::Connect(ConnectError::NoTls),
        E::Connect(ConnectError::Name("db".into())),
        E::Connect(ConnectError::NotPostgres),
        E::Connect(ConnectError::NoneFit(
            "a:5432: it is a standby, and target_session_attrs asks for a primary".into(),
        )),
        E::Connect(ConnectError::NoHost("db:5432: Connection refused".into())),
    ];
    let states = [
        ("55006", "replication slot \"walpost\" is active for PID 7"),
        ("55000", "can no longer get changes from replication slot \"walpost\""),
        ("42704", "publication \"walpost\" does not exist"),
        ("28P01", "password authentication failed"),
        ("28000", "no pg_hba.conf entry"),
        ("3D000", "database \"shop\" does not exist"),
        ("42501", "permission denied"),
        ("53300", "too many clients"),
        ("53400", "all replication slots are in use"),
        ("57P03", "the database system is starting up"),
    ];
    all.extend(states.map(|(code, message)| E::Server(said(code, message))));
    all
}

fn problems() -> Vec<Problem> {
    use Problem as P;
    use RetentionProblem as R;
    let table = || "public.outbox".parse().unwrap();
    let (name, publication) = (|| "walpost".to_owned(), "walpost".to_owned());
    let of_stream = [
        StreamProblem::Missing("OUTBOX".into()),
        StreamProblem::Subject { stream: "OUTBOX".into(), subject: "outbox.>".into() },
        StreamProblem::NotWritable { stream: "OUTBOX".into(), why: "is sealed" },
    ];
    let mut all = vec![
        P::VersionTooOld("13.1".into()),
        P::InRecovery,
        P::WalLevel("replica".into()),
        P::NoReplication(name()),
        P::NoFreeSlot(1),
        P::NoFreeSender(1),
        P::SchemaMissing(table()),
        P::TableMissing { table: table(), is_ours: true },
        P::NotATable { table: table(), kind: "a view" },
        P::NotLogged(table()),
        P::GeneratedColumn { table: table(), column: "payload".into() },
        P::PublicationMissing(name()),
        P::NoInserts(name()),
        P::TableNotPublished { publication: publication.clone(), table: table() },
        P::NotViaRoot { publication: publication.clone(), table: table() },
        P::ColumnsLeftOut { publication: publication.clone(), table: table(), columns: vec!["payload".into()] },
        P::RowFilter { publication, table: table(), filter: "true".into() },
        P::SlotMissing(name()),
        P::SlotPlugin { slot: name(), plugin: None },
        P::SlotDatabase { slot: name(), found: "a".into(), expected: "b".into() },
        P::SlotTemporary(name()),
        P::SlotTwoPhase(name()),
        P::SlotLost { slot: name(), reason: "wal_removed".into(), confirmed: "0/0".into() },
        P::SlotGone { slot: name(), confirmed: "0/0".into() },
        P::WatermarkMissing(table()),
        P::WatermarkRights { table: table(), role: "walpost".into() },
        P::ExistingRows(table()),
        P::RowsUndecided { table: table(), stream: name(), count: 3, slot: name(), watermark: table() },
    ];
    let of_retention = [
        R::NoStatus(table()),
        R::DeadLetterRights { table: table(), role: name() },
        R::NoXid(table()),
        R::NoCreatedAt(table()),
        R::NoIndex { table: table(), is_partitioned: false },
        R::NoIndex { table: table(), is_partitioned: true },
        R::Rights { table: table(), role: name() },
    ];
    all.extend(of_retention.map(P::Retention));
    all.extend(of_stream.map(P::Stream));
    all
}

fn of_nats() -> Vec<RunError> {
    let connecting =
        [ConnectErrorKind::AuthorizationViolation, ConnectErrorKind::Tls, ConnectErrorKind::Dns, ConnectErrorKind::Io];
    let mut all: Vec<RunError> =
        connecting.into_iter().map(|kind| RunError::Broker(BrokerError::Connect(kind.into()))).collect();
    let file = BrokerError::CredsFile { path: "a.creds".into(), source: std::io::ErrorKind::NotFound.into() };
    let url = BrokerError::UrlFile { path: "url".into(), source: std::io::ErrorKind::NotFound.into() };
    let others = [file, url, BrokerError::Closed, BrokerError::Publish(PublishErrorKind::InvalidSubject.into())];
    all.extend(others.map(RunError::Broker));
    all.push(RunError::Broker(BrokerError::Answer("?".into())));
    all.push(RunError::Broker(BrokerError::Lost));
    all.push(RunError::GaveWay);
    let of_stream = [
        StreamError::Problem(StreamProblem::Missing("OUTBOX".into())),
        StreamError::Request("timed out".into()),
        StreamError::Refused("Permissions Violation".into()),
        StreamError::NoJetStream,
        StreamError::Create("no".into()),
        StreamError::Foreign { sequence: 1 },
        StreamError::Position { sequence: 1, source: PositionError::Version },
    ];
    all.extend(of_stream.map(RunError::JetStream));
    all
}

fn resuming() -> [ResumeError; 5] {
    [
        ResumeError::OtherSystem { stream: 1, server: 2 },
        ResumeError::OtherSlot { stream: "a".into(), configured: "b".into() },
        ResumeError::OtherTimeline { stream: 1, server: 2 },
        ResumeError::LostLog(LostLog {
            source: Source { system_id: 1, timeline: 1, slot: "walpost".into() },
            fork: Lsn::new(1),
            server: 2,
            last_sequence: 1,
        }),
        ResumeError::Ahead { stream: Lsn::new(2), server: Lsn::new(1) },
    ]
}

fn watermarks() -> Vec<RunError> {
    use walpost::relay::WatermarkError as E;
    let table = || "public.walpost_watermark".parse().unwrap();
    let stream = || "OUTBOX".to_owned();
    let refused = [
        E::SlotMoved { slot: "walpost".into(), found: Lsn::new(2), known: Lsn::new(1) },
        E::StreamRecreated { stream: stream() },
        E::StreamEmptied { stream: stream(), known: 1, last_sequence: 2 },
        E::StreamForgot { stream: stream(), known: 1 },
    ];
    let refused = refused.map(|error| RunError::Watermark { error, table: table(), slot: "walpost".into() });
    let mut all = vec![RunError::WatermarkHeldUp { table: table() }, RunError::WatermarkAhead];
    all.extend(refused);
    all
}

fn delivering() -> Vec<SessionError> {
    use SessionError as E;
    let place = Place { commit_lsn: Lsn::new(1), index: 0 };
    let refused = |code, err_code| Outcome::Refused { code, err_code, description: String::new() };
    let outcomes = [
        refused(400, 10077),
        refused(400, 10071),
        refused(400, 10060),
        refused(400, 10054),
        refused(503, 10008),
        refused(400, 10158),
        Outcome::NoResponders,
        Outcome::Unclear,
        Outcome::WrongStream { stream: "OTHER".into() },
    ];
    let mapping = Mapping { table: "public.outbox".parse().unwrap(), columns: Preset::Walpost.columns() };
    let bare = Relation {
        id: 1,
        namespace: "public".into(),
        name: "outbox".into(),
        replica_identity: ReplicaIdentity::Default,
        columns: Vec::new(),
    };
    let mut reasons = vec![
        StopReason::OutOfPlace { expected: 1, got: 2 },
        StopReason::UnknownAck { ticket: 1 },
        StopReason::Forgotten { known_sequence: 2, last_sequence: 1 },
        StopReason::Overtaken { place },
        StopReason::Log(LogFault::Nested),
    ];
    reasons.extend(outcomes.map(|outcome| StopReason::Refused { place, outcome }));
    let mut all: Vec<E> = reasons.into_iter().map(E::Stop).collect();
    all.extend([
        E::Intake(IntakeError::Bind(Binding::bind(&mapping, &bare, &BaseTypes::new()).unwrap_err())),
        E::Intake(IntakeError::NotAnInsert),
        E::Intake(IntakeError::UnknownRelation(1)),
        E::Disconnected { in_flight: 1 },
        E::BrokerLeaves,
        E::Complaint("Permissions Violation".into()),
        E::AnswersLost,
        E::NoAnswer { in_flight: 1, waited: std::time::Duration::from_secs(5) },
        E::SilentPostgres,
    ]);
    all
}

/// What the program does about each code that some error has, as its page says it.
fn policies() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut found: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for error in examples() {
        let (code, policy) = verdict(&error);
        let [tries, looks, ends] = DOES;
        let does = match policy {
            Policy::Retry => tries,
            Policy::For(_) => looks,
            Policy::Stop => ends,
        };
        found.entry(code.to_string()).or_default().insert(does);
    }
    found
}

fn page(code: Code) -> String {
    let path = in_repository(&code.page());
    fs::read_to_string(path).unwrap_or_else(|_| {
        panic!("{code} has no page: write {} like the ones beside it, then REFRESH_SNAPSHOTS=1", code.page())
    })
}

/// The text of a section.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading:?} in {page}"));
    rest.split("\n## ").next().unwrap()
}

/// The phrases in bold type of a section.
fn bold(text: &str) -> BTreeSet<String> {
    text.split("**").skip(1).step_by(2).map(|phrase| format!("**{phrase}**")).collect()
}

#[test]
fn every_code_has_a_page_with_its_title_and_no_page_is_without_a_code() {
    let mut expected = BTreeSet::from(["README.md".to_owned()]);
    for code in Code::ALL {
        let page = page(*code);
        let title = format!("# {code}: {}\n", code.title().trim_end_matches('.'));
        assert!(page.starts_with(&title), "the page of {code} must begin with {title:?}");
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert!(headings.starts_with(&SECTIONS), "{code} has {headings:?}");
        expected.insert(format!("{code}.md"));
    }
    let folder = fs::read_dir(in_repository("docs/reference/errors")).unwrap();
    let found: BTreeSet<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_page_says_what_the_program_does() {
    let policies = policies();
    for code in Code::ALL {
        let expected: BTreeSet<String> = match policies.get(&code.to_string()) {
            None => [NEVER.to_owned()].into(),
            Some(of_code) => of_code.iter().map(|does| (*does).to_owned()).collect(),
        };
        let page = page(*code);
        assert_eq!(
            bold(section(&page, "## What walpost does")),
            expected,
            "{code}: what src/supervisor/verdict.rs decides"
        );
    }
}

#[test]
fn every_code_that_an_error_has_is_among_the_examples() {
    let folder = in_repository("src/supervisor");
    let sources: String =
        ["verdict.rs", "mod.rs", "term.rs"].map(|name| fs::read_to_string(folder.join(name)).unwrap()).concat();
    let codes = fs::read_to_string(in_repository("src/code.rs")).unwrap();
    let names = codes.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once(" = "));
    let used: BTreeSet<String> = names
        .filter(|(name, _)| sources.contains(&format!("Code::{name}")))
        .filter_map(|(_, number)| Some(format!("WP{:04}", number.parse::<u16>().ok()?)))
        .collect();
    assert!(used.len() > 20, "{used:?}");
    let known: BTreeSet<String> = policies().into_keys().collect();
    assert_eq!(used, known, "give tests/reference/errors.rs an example of the error");
}

#[test]
fn there_is_something_to_do_about_every_error() {
    for error in examples() {
        let hint = error.hint().unwrap_or_default();
        let text = error.cause();
        assert!(hint.len() > 20 && !hint.ends_with('.'), "{text}: {hint:?}");
    }
}

#[test]
fn the_index_lists_all_pages() {
    let policies = policies();
    let mut index = INDEX.to_owned();
    for code in Code::ALL {
        let of_code = policies.get(&code.to_string());
        let is_done = |does: &&&str| of_code.is_some_and(|of_code| of_code.contains(**does));
        let does: Vec<&str> = DOES.iter().filter(is_done).map(|does| does.trim_matches('*')).collect();
        let does = if does.is_empty() { "not given by this version".to_owned() } else { does.join(", or ") };
        index.push_str(&format!("| [{code}]({code}.md) | {} | {does} |\n", code.title().trim_end_matches('.')));
    }
    compare("errors/README.md", &index);
}

#[test]
fn the_links_of_every_page_lead_somewhere() {
    let folder = in_repository("docs/reference/errors");
    for code in Code::ALL {
        for link in page(*code).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("https://") {
                continue;
            }
            let text = fs::read_to_string(folder.join(file)).unwrap_or_else(|_| panic!("{code}: no {link}"));
            let has_anchor = text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
            assert!(anchor.is_empty() || has_anchor, "{code}: {file} has no heading for #{anchor}");
        }
    }
}

/// The anchor of a heading, as the usual renderers of Markdown make it.
pub(super) fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

const INDEX: &str = "\
# Errors

<!-- Rendered by tests/reference/errors.rs. Change the program, not this page. -->

Each trouble has a code for ever. It stands in `/ready`, `/status`, the log, the metric `walpost_blocked`, and in the last error of a command, which
also names the page.

- **tries again**: walpost waits with growing pauses (up to 5 s) and tries again, for ever. Postgres is answered meanwhile where it can be.
- **looks again**: it looks at everything anew and tries again; the same error without an event delivered in between ends the process, at once or after the time that the page says.
- **ends**: exit code 1. Only a person can mend it. Start walpost again afterwards.

Before it has led or stood by for the first time, every error ends it: whoever has just started it is there to read. Nothing is lost by any of
them: an event is confirmed to Postgres only once the stream has it, so what was not delivered is still in the log and is sent after the next start. Where
that does not hold, because the log itself is gone, the page says so. Nor is an event stored twice, except in a stream that is
shared ([delivery](../../delivery.md)).

In the messages on these pages `…` stands for what differs. A wrong configuration has no code: exit code 2, with one line for each problem. With `log.format = \"json\"` (or `auto`, where standard error is no terminal)
the last error is one JSON object like the lines of the log: `level`, `code`, `error`, `causes`, `action`, `see`, and `problems` if there are several.

| code | what | walpost |
|---|---|---|
";
