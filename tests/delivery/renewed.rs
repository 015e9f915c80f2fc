//! What lets walpost in at NATS is renewed while it runs: passwords, credentials, certificates, authorities.

use std::{fs, path::Path};

use async_nats::ConnectOptions;
use serde_json::{Value, json};
use tokio_postgres::Client;
use walpost::sandbox::servers::{NatsOptions, NatsTls, PostgresOptions, PrivateNats, PrivatePostgres};

use crate::{
    certificates::Authority,
    daemon::{Daemon, Settings},
    nkey::{Nkey, Operator, Role},
    stream::Reader,
    wait,
    world::{connect, database, newest},
};

/// One event.
const EVENT: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                     VALUES (gen_random_uuid(), 'order', '1', 'placed', '{}')";

struct World {
    client: Client,
    reader: Reader,
    daemon: Daemon,
}

impl World {
    /// A database and a slot of this name, and a process that leads; the test enters the broker in this way.
    async fn begin(name: &str, enter: ConnectOptions, url: &str, nats: &[(&str, &str)]) -> Self {
        let settings = Settings::new(&database(newest().await, name).await, url).with("POSTGRES_SLOT", name);
        let settings = nats.iter().fold(settings, |settings, (name, value)| settings.with(name, value));
        let client = connect(&newest().await.url_for("postgres", name)).await;
        Self::lead(&settings, client, enter, url).await
    }

    /// A process with these settings that leads; the test enters the broker in this way.
    async fn lead(settings: &Settings, client: Client, enter: ConnectOptions, url: &str) -> Self {
        settings.set_up().await;
        let reader = Reader::enter(enter, url, "OUTBOX").await;
        Self { client, reader, daemon: settings.lead().await }
    }

    async fn commit(&self) {
        self.client.batch_execute(EVENT).await.unwrap();
    }

    /// Waits until the stream holds so many events and nothing is wrong.
    async fn until_stored(&self, events: u64) {
        let is_stored = async || self.reader.try_state().await.is_some_and(|(last, _)| last == events);
        wait::until("all events are stored", is_stored).await;
        self.daemon.until_phase("leading").await;
    }

    /// Waits until the page tells this of what is wrong.
    async fn until_told(&self, text: &str) {
        let is_told = async || self.daemon.get("/status").await.is_some_and(|page| page.body.contains(text));
        wait::until(text, is_told).await;
    }

    async fn end(self) {
        assert_eq!(self.daemon.terminate().await, 0);
    }
}

/// Servers of one's own on which walpost's logins, `relay` and `app`, have the password `old`, and a session of the superuser.
async fn servers_with_old_login() -> (PrivatePostgres, PrivateNats, Client) {
    let broker = PrivateNats::start(NatsOptions::default().extra("authorization", users("old"))).await.unwrap();
    let postgres = PrivatePostgres::start(PostgresOptions::default().scram("root")).await.unwrap();
    let client = connect(&postgres.url()).await;
    client.batch_execute("CREATE ROLE relay LOGIN SUPERUSER PASSWORD 'old'").await.unwrap();
    (postgres, broker, client)
}

/// How the test enters a broker with these users.
fn all() -> ConnectOptions {
    ConnectOptions::with_user_and_password("all".into(), "p".into())
}

/// The users of a broker: one for the test, and walpost's with this password.
fn users(password: &str) -> Value {
    let users = [("all", "p"), ("app", password)];
    json!({ "users": users.map(|(user, password)| json!({ "user": user, "password": password })) })
}

#[tokio::test]
async fn a_password_that_is_changed_is_told_and_waited_for() {
    let mut broker = PrivateNats::start(NatsOptions::default().extra("authorization", users("old"))).await.unwrap();
    let login = [("NATS_USER", "app"), ("NATS_PASSWORD", "old")];
    let world = World::begin("renewed_password", all(), &broker.url(), &login).await;
    world.commit().await;
    world.until_stored(1).await;
    broker.reload(|options| options.extra("authorization", users("new"))).await.unwrap();
    world.daemon.until_blocked("WP0402").await;
    world.commit().await;
    broker.reload(|options| options.extra("authorization", users("old"))).await.unwrap();
    world.until_stored(2).await;
    world.end().await;
}

#[tokio::test]
async fn a_password_in_a_file_that_is_replaced_is_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let [of_nats, of_postgres] = ["nats", "postgres"].map(|name| folder.path().join(name));
    fs::write(&of_nats, "old\n").unwrap();
    fs::write(&of_postgres, "old\n").unwrap();
    let (postgres, mut broker, client) = servers_with_old_login().await;
    let url = format!("postgres://relay@127.0.0.1:{}/postgres", postgres.port());
    let settings = Settings::new(&url, &broker.url())
        .with("POSTGRES_PASSWORD_FILE", of_postgres.to_str().unwrap())
        .with("NATS_USER", "app")
        .with("NATS_PASSWORD_FILE", of_nats.to_str().unwrap());
    let world = World::lead(&settings, client, all(), &broker.url()).await;
    world.commit().await;
    world.until_stored(1).await;

    broker.reload(|options| options.extra("authorization", users("new"))).await.unwrap();
    world.daemon.until_blocked("WP0402").await;
    world.commit().await;
    fs::write(&of_nats, "new\n").unwrap();
    world.until_stored(2).await;

    let cut = "ALTER ROLE relay PASSWORD 'new';
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'relay'";
    world.client.batch_execute(cut).await.unwrap();
    world.daemon.until_blocked("WP0102").await;
    world.commit().await;
    fs::remove_file(&of_postgres).unwrap();
    world.until_told("the password cannot be used").await;
    fs::write(&of_postgres, "new\n").unwrap();
    world.until_stored(3).await;
    world.end().await;
}

#[tokio::test]
async fn a_login_inside_a_url_in_a_file_that_is_replaced_is_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let [of_nats, of_postgres] = ["nats", "postgres"].map(|name| folder.path().join(name));
    let (postgres, mut broker, client) = servers_with_old_login().await;
    let nats_url = |password: &str| broker.url().replace("nats://", &format!("nats://app:{password}@"));
    let [old_nats, new_nats] = ["old", "new"].map(nats_url);
    let url = |user: &str, database: &str| format!("postgres://{user}@127.0.0.1:{}/{database}", postgres.port());
    fs::write(&of_nats, old_nats).unwrap();
    fs::write(&of_postgres, url("relay:old", "postgres")).unwrap();
    let settings = Settings::new("", "")
        .with("POSTGRES_URL_FILE", of_postgres.to_str().unwrap())
        .with("NATS_URL_FILE", of_nats.to_str().unwrap());
    let world = World::lead(&settings, client, all(), &broker.url()).await;
    world.commit().await;
    world.until_stored(1).await;

    broker.reload(|options| options.extra("authorization", users("new"))).await.unwrap();
    world.daemon.until_blocked("WP0402").await;
    world.commit().await;
    fs::write(&of_nats, "nats://").unwrap();
    world.until_told("the URL of NATS in").await;
    fs::write(&of_nats, new_nats).unwrap();
    world.until_stored(2).await;

    // The role is another one, too, as where logins are lent for a time.
    let cut = "CREATE ROLE lent LOGIN SUPERUSER PASSWORD 'new'; ALTER ROLE relay NOLOGIN; CREATE DATABASE other;
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'relay'";
    for statement in cut.split(';') {
        world.client.batch_execute(statement).await.unwrap();
    }
    world.daemon.until_blocked("WP0102").await;
    world.commit().await;
    fs::write(&of_postgres, "postgres://").unwrap();
    world.until_told("the URL in").await;
    fs::write(&of_postgres, url("lent:new", "other")).unwrap();
    world.until_told("names database").await;
    fs::write(&of_postgres, url("lent:new", "postgres")).unwrap();
    world.until_stored(3).await;
    world.end().await;
}

#[tokio::test]
async fn credentials_that_are_replaced_are_used_without_a_restart() {
    let (operator, old, new, watcher) =
        (Operator::new(), Nkey::new(Role::User), Nkey::new(Role::User), Nkey::new(Role::User));
    let trusting = |options: NatsOptions, revoked: &[&Nkey]| {
        operator.settings(revoked).into_iter().fold(options, |options, (name, value)| options.extra(name, value))
    };
    let mut broker = PrivateNats::start(trusting(NatsOptions::default(), &[])).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("walpost.creds");
    fs::write(&file, operator.creds(&old)).unwrap();
    let enter = ConnectOptions::with_credentials(&operator.creds(&watcher)).unwrap();
    let login = [("NATS_CREDS_FILE", file.to_str().unwrap())];
    let world = World::begin("renewed_creds", enter, &broker.url(), &login).await;
    world.commit().await;
    world.until_stored(1).await;
    broker.reload(|options| trusting(options, &[&old])).await.unwrap();
    world.daemon.until_blocked("WP0402").await;
    world.commit().await;
    fs::write(&file, operator.creds(&new)).unwrap();
    world.until_stored(2).await;
    world.end().await;
}

#[tokio::test]
async fn a_certificate_may_be_renewed_and_its_authority_replaced() {
    let (first, second) = (Authority::new("the first"), Authority::new("the second"));
    let (certificate, key) = first.sign_to_files(&["127.0.0.1"], "server");
    let tls = NatsTls { certificate: certificate.clone(), key: key.clone(), client_authority: None };
    let mut broker = PrivateNats::start(NatsOptions::default().tls(tls)).await.unwrap();
    let renew = |authority: &Authority| {
        let signed = authority.sign(&["127.0.0.1"]);
        fs::write(&certificate, signed.pem).unwrap();
        fs::write(&key, signed.key).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    let copy = |from: &Path| fs::copy(from, &trusted).unwrap();
    copy(&first.file());
    let both = folder.path().join("both.pem");
    fs::write(&both, [fs::read(first.file()).unwrap(), fs::read(second.file()).unwrap()].concat()).unwrap();
    let enter = ConnectOptions::new().add_root_certificates(both);
    let login = [("NATS_TLS_CA", trusted.to_str().unwrap())];
    let world = World::begin("renewed_certificate", enter, &broker.url(), &login).await;
    world.commit().await;
    world.until_stored(1).await;

    // By the same authority: taken up without a word, and used by the next connection.
    renew(&first);
    broker.reload(|options| options).await.unwrap();
    world.commit().await;
    world.until_stored(2).await;
    broker.restart().await.unwrap();
    world.commit().await;
    world.until_stored(3).await;

    renew(&second);
    broker.restart().await.unwrap();
    world.daemon.until_blocked("WP0403").await;
    world.commit().await;
    copy(&second.file());
    world.until_stored(4).await;
    world.end().await;
}
