//! The least rights: under the roles, the lines of `pg_hba.conf` and the NATS users that are shipped everything works that
//! should, over TLS and with passwords, and what should not work is refused.

mod refused;
mod webhooks;

use std::time::Duration;

use async_nats::ConnectOptions;
use tokio_postgres::Client;
use walpost::{
    postgres::{ChannelBinding, Endpoint, SslMode, TlsSettings},
    sandbox::servers::{NatsOptions, NatsTls, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres},
};

use crate::{
    certificates::Authority,
    daemon::Settings,
    load::Load,
    stream::Reader,
    wait,
    witness::{Witness, assert_same, log_of},
    world::{connect, versions},
};

/// What is shipped.
const ROLES: &str = include_str!("../../sql/roles.sql");
const RULES: &str = include_str!("../../deploy/postgres/pg_hba.conf");
const USERS: &str = include_str!("../../deploy/nats/walpost.conf");

/// Who may do anything, on either side.
const ROOT: &str = "hush-root";
/// How long a program under test may stay alive between two kills.
const LIFE: Duration = Duration::from_millis(300);
/// How often it is killed.
const KILLS: usize = 3;

/// Both servers, closed to everybody but the shipped roles and users.
struct Place {
    postgres: PrivatePostgres,
    broker: PrivateNats,
    authority: Authority,
    /// Whether this Postgres was built with TLS: not every package is.
    has_tls: bool,
}

/// A role, and the NATS user of the same name: both have this password.
fn password(role: &str) -> String {
    format!("hush-{role}")
}

impl Place {
    async fn make(binaries: PostgresBinaries) -> Self {
        let authority = Authority::new("the house");
        let options = PostgresOptions::default().scram(ROOT).setting("log_replication_commands", "on");
        let mut postgres = PrivatePostgres::start(options.binaries(binaries)).await.unwrap();
        let signed = authority.sign(&["127.0.0.1"]);
        postgres.write_data_file("server.crt", signed.pem.as_bytes()).unwrap();
        postgres.write_data_file("server.key", signed.key.as_bytes()).unwrap();
        postgres.set_config("ssl", "on").unwrap();
        postgres.reload().await.unwrap();
        let ssl: String = postgres.connect().await.unwrap().query_one("SHOW ssl", &[]).await.unwrap().get(0);
        let has_tls = ssl == "on";
        let place = Self { postgres, broker: guarded_broker(&authority).await, authority, has_tls };
        place.lock(&place.rules()).await;
        place.postgres.execute_sql("CREATE DATABASE shop").await.unwrap();
        place
    }

    /// The shipped lines, for this network.
    fn rules(&self) -> String {
        let rules = RULES.replace("10.0.0.0/24", "127.0.0.1/32");
        if self.has_tls { rules } else { rules.replace("hostssl", "host") }
    }

    /// Lets in by these lines, the application, and whoever may do anything.
    async fn lock(&self, rules: &str) {
        let others = "local all postgres scram-sha-256\nhost all postgres 127.0.0.1/32 scram-sha-256\n\
                      host shop shop 127.0.0.1/32 scram-sha-256\n";
        self.postgres.write_data_file("pg_hba.conf", format!("{rules}{others}").as_bytes()).unwrap();
        self.postgres.reload().await.unwrap();
    }

    /// A session of the superuser.
    async fn root(&self) -> Client {
        connect(&self.postgres.url_for("postgres", "shop")).await
    }

    /// The application's address.
    fn shop(&self) -> String {
        self.postgres.url_with_password("shop", &password("shop"), "shop")
    }

    /// A role's way in.
    fn endpoint(&self, role: &str, database: &str) -> Endpoint {
        let url = self.postgres.url_with_password(role, &password(role), database);
        let mut endpoint = Endpoint::parse(&url).unwrap();
        if self.has_tls {
            endpoint.set_tls(TlsSettings {
                mode: Some(SslMode::VerifyFull),
                root_cert: Some(self.authority.file()),
                binding: Some(ChannelBinding::Require),
                ..TlsSettings::default()
            });
        }
        endpoint
    }

    /// The program as this role, and as the NATS user of the same name.
    fn settings(&self, role: &str) -> Settings {
        let url = format!("postgres://{role}@127.0.0.1:{}/shop", self.postgres.port());
        let settings = Settings::new(&url, &self.broker.url())
            .with("POSTGRES_PASSWORD", &password(role))
            .with("NATS_USER", role)
            .with("NATS_PASSWORD", &password(role))
            .with("NATS_INBOX_PREFIX", &format!("_INBOX_{role}"))
            .with("NATS_TLS_CA", self.authority.file().to_str().unwrap());
        if !self.has_tls {
            return settings;
        }
        settings
            .with("POSTGRES_SSLMODE", "verify-full")
            .with("POSTGRES_CHANNEL_BINDING", "require")
            .with("POSTGRES_SSLROOTCERT", self.authority.file().to_str().unwrap())
    }

    /// The way into NATS of a user, with an inbox of its own.
    fn nats(&self, user: &str, password: &str) -> ConnectOptions {
        ConnectOptions::with_user_and_password(user.into(), password.into())
            .add_root_certificates(self.authority.file())
            .custom_inbox_prefix(format!("_INBOX_{user}"))
    }

    /// Does what the head of `roles.sql` says: before setup, setup, after setup.
    async fn set_up(&self) {
        let root = self.root().await;
        root.batch_execute("CREATE TABLE orders (secret text); INSERT INTO orders VALUES ('hush')").await.unwrap();
        root.batch_execute(ROLES).await.unwrap();
        for role in ["walpost_setup", "walpost", "shop"] {
            let sql = format!("ALTER ROLE {role} PASSWORD '{}'", password(role));
            root.batch_execute(&sql).await.unwrap();
        }
        let made = self.settings("walpost_setup").set_up().await;
        assert_eq!(made.matches("created").count(), 7, "{made}");
        root.batch_execute(ROLES).await.unwrap();
        let found = self.settings("walpost_setup").set_up().await;
        assert_eq!(found.matches("exists").count(), 7, "{found}");
    }
}

/// A broker with the shipped users, and one who may do anything.
async fn guarded_broker(authority: &Authority) -> PrivateNats {
    let (certificate, key) = authority.sign_to_files(&["127.0.0.1"], "nats");
    let mut users = USERS.replacen("users: [", &format!("users: [ {{ user: root, password: {ROOT} }}"), 1);
    for (variable, user) in USERS_OF_NATS {
        let variable = format!("${variable}_NATS_PASSWORD");
        assert!(users.contains(&variable), "{variable}");
        users = users.replace(&variable, &password(user));
    }
    let tls = NatsTls { certificate, key, client_authority: None };
    PrivateNats::start(NatsOptions::default().tls(tls).include(users)).await.unwrap()
}

/// The users that are shipped, by what their passwords are called.
const USERS_OF_NATS: [(&str, &str); 4] = [
    ("BILLING", "billing"),
    ("WALPOST_SETUP", "walpost_setup"),
    ("WALPOST_WEBHOOKS", "walpost_webhooks"),
    ("WALPOST", "walpost"),
];

/// One event that fits, and one that is larger than the broker's largest message.
const TOO_LARGE: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
    VALUES ('00000000-0000-7000-8000-000000000001', 'order', '1', 'placed', to_jsonb(repeat('x', 2000000)))";
const DEAD: &str = "00000000-0000-7000-8000-000000000001";

#[tokio::test]
async fn everything_works_with_the_least_rights() {
    for binaries in versions() {
        let place = Place::make(binaries).await;
        place.set_up().await;
        let root = place.root().await;
        let witness = Witness::begin(&root, "least").await;
        let reader = Reader::enter(place.nats("root", ROOT), &place.broker.url(), "OUTBOX").await;
        let settings = place.settings("walpost");

        // Delivery, over and over.
        let load = Load::start(&place.shop(), 2, 5);
        for _ in 0..KILLS {
            let mut daemon = settings.lead().await;
            let before = load.transactions();
            tokio::time::sleep(LIFE).await;
            wait::until("events are recorded", async || load.transactions() > before).await;
            daemon.kill().await;
        }
        let daemon = settings.lead().await;
        dead_letters(&place, &settings).await;
        webhooks::work(&place).await;
        for command in [&["doctor"][..], &["status"], &["dlq", "list"], &["setup", "--dry-run"], &["config", "check"]] {
            let answer = settings.run(command).await;
            assert_eq!(answer.code, Some(0), "{command:?}: {} {}", answer.stdout, answer.stderr);
        }
        let doctor = settings.run(&["doctor"]).await.stdout;
        assert!(doctor.contains("nats.rights          all that run needs, not what setup needs"), "{doctor}");
        assert!(doctor.contains("postgres.role         walpost may replicate"), "{doctor}");
        if place.has_tls {
            assert!(doctor.contains("certificate and name verified"), "{doctor}");
            assert!(doctor.contains("scram-sha-256-plus, bound to the server's certificate"), "{doctor}");
        }
        load.stop().await;

        let seen = witness.all(&root).await;
        let all_stored = async || reader.last_sequence().await == seen.len() as u64;
        wait::until("everything is delivered", all_stored).await;
        assert_same(&seen, &reader.all().await, &log_of(&root, "walpost").await);
        assert!(seen.len() > 100, "{}", seen.len());

        // What the application may know of it.
        let shop = connect(&place.shop()).await;
        wait::until("delivery is told", async || {
            let sql = "SELECT count(*) FROM walpost_event_status
                       WHERE status = 'pending' AND xid >= walpost_pending_from()";
            shop.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
        let sql = "SELECT walpost_status(id::text), count(*) FROM outbox GROUP BY 1 ORDER BY 1";
        let told: Vec<String> = shop.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(told, ["dead", "published"]);
        drop(shop);
        assert_eq!(daemon.terminate().await, 0);
        root.batch_execute("SELECT pg_drop_replication_slot('walpost')").await.unwrap();
        let anew = place.settings("walpost_setup").run(&["setup", "--existing-rows", "missing"]).await;
        assert!(
            anew.stdout.ends_with(": nothing of it is missing in stream OUTBOX\n"),
            "{}{}",
            anew.stdout,
            anew.stderr
        );
        refused::in_postgres(&place).await;
        refused::in_nats(&place).await;
    }
}

/// Who delivers sees dead letters; who owns the table decides.
async fn dead_letters(place: &Place, run: &Settings) {
    let shop = connect(&place.shop()).await;
    shop.batch_execute(TOO_LARGE).await.unwrap();
    let is_listed = async || run.run(&["dlq", "list"]).await.stdout.contains(DEAD);
    wait::until("the dead letter is listed", is_listed).await;
    assert_eq!(run.run(&["dlq", "show", DEAD]).await.code, Some(0));
    for decision in ["retry", "discard"] {
        let refused = run.run(&["dlq", decision, DEAD]).await;
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        assert!(refused.stderr.contains("42501"), "{}", refused.stderr);
    }
    let owner = place.settings("walpost_setup");
    let retried = owner.run(&["dlq", "retry", DEAD]).await;
    assert_eq!(retried.code, Some(0), "{}", retried.stderr);
    wait::until("it is dead again", is_listed).await;
    let discarded = owner.run(&["dlq", "discard", DEAD]).await;
    assert_eq!(discarded.code, Some(0), "{}", discarded.stderr);
}
