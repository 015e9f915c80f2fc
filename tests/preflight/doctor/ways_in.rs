//! Faults on the way into Postgres.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use walpost::{
    doctor::Verdict::{self, Critical, Warning},
    sandbox::servers::{PostgresOptions, PrivatePostgres},
};

use super::patient::{Patient, wrong};
use crate::world::{matrix, nats};

/// What is found with this URL: one finding of this check, whose remedy says this.
async fn finds(patient: &mut Patient, url: &str, (check, verdict): (&str, Verdict), (found, remedy): (&str, &str)) {
    patient.act(&format!("set POSTGRES_URL={url}")).await;
    let report = patient.examine().await;
    let finding = wrong(&report).into_iter().find(|finding| finding.check.id() == check);
    let finding = finding.unwrap_or_else(|| panic!("{url}: {check} is well: {report:#?}"));
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(finding.found.contains(found), "{finding:?}");
    assert!(finding.remedy.as_deref().unwrap_or_default().contains(remedy), "{finding:?}");
    // The other side is looked at all the same.
    let stream = report.findings().iter().find(|finding| finding.check.id() == "stream").unwrap();
    assert_eq!(stream.verdict, Verdict::Ok);
    patient.act("unset POSTGRES_URL").await;
}

#[tokio::test]
async fn whatever_is_wrong_on_the_way_in_is_named() {
    for binaries in matrix() {
        let options = PostgresOptions::default()
            .binaries(binaries)
            .scram("right")
            .setting("max_slot_wal_keep_size", "4GB")
            .setting("password_encryption", "md5");
        let server = PrivatePostgres::start(options).await.unwrap();
        let name = "ways_in";
        server.execute_sql("CREATE ROLE ways_in LOGIN REPLICATION PASSWORD 'md5'").await.unwrap();
        server.execute_sql("CREATE DATABASE ways_in OWNER ways_in; ").await.unwrap();
        server.execute_sql("CREATE ROLE mute NOLOGIN").await.unwrap();
        server
            .write_data_file(
                "pg_hba.conf",
                b"host all postgres all scram-sha-256\nhost all all all trust\nlocal all all trust\n",
            )
            .unwrap();
        server.reload().await.unwrap();
        let patient = &mut Patient::of(&server, &nats().await.url(), name).await;
        patient.set_up().await;
        patient.act(&format!("sql {}", patient.grant())).await;
        assert_eq!(patient.complaints().await, Vec::<String>::new());

        let port = server.port();
        let unreachable = ("postgres", Critical);
        let with = |user: &str, password: &str, database: &str| server.url_with_password(user, password, database);
        finds(patient, "postgres://a@127.0.0.1:1/a", unreachable, ("Connection refused", "nothing listens there"))
            .await;
        finds(patient, "postgres://a@no-such-host.invalid/a", unreachable, ("cannot be resolved", "DNS")).await;
        finds(patient, &with("postgres", "wrong", name), unreachable, ("28P01", "the password is wrong")).await;
        finds(patient, &with(name, "md5", "nowhere"), unreachable, ("3D000", "there is no such database")).await;
        finds(patient, &with("mute", "x", name), unreachable, ("28000", "must exist and have LOGIN")).await;
        let tls = format!("postgres://{name}@127.0.0.1:{port}/{name}?sslmode=require");
        finds(patient, &tls, unreachable, ("does not offer TLS", "turn on ssl")).await;

        // By a name that is not this machine's: nobody on the way may read it, and the server should ask who comes.
        let remote = format!("postgres://{name}@db.internal:{port}/{name}?hostaddr=127.0.0.1");
        finds(patient, &remote, unreachable, ("does not offer TLS", "turn on ssl")).await;
        let remote = format!("{remote}&sslmode=prefer");
        finds(patient, &remote, ("postgres.tls", Warning), ("not encrypted (sslmode prefer)", "verify-full")).await;
        finds(patient, &remote, ("postgres.login", Warning), ("asks for no password", "scram-sha-256")).await;

        let hba = |method: &str| format!("host all all all {method}\nlocal all all trust\n");
        server.write_data_file("pg_hba.conf", hba("md5").as_bytes()).unwrap();
        server.reload().await.unwrap();
        let url = with(name, "md5", name);
        finds(patient, &url, ("postgres.login", Warning), ("by md5", "password_encryption = scram-sha-256")).await;
        server.write_data_file("pg_hba.conf", hba("password").as_bytes()).unwrap();
        server.reload().await.unwrap();
        finds(patient, &url, ("postgres.login", Warning), ("by a cleartext password", "scram-sha-256")).await;
        let remote = format!("postgres://{name}:md5@db.internal:{port}/{name}?hostaddr=127.0.0.1&sslmode=prefer");
        finds(patient, &remote, ("postgres.login", Critical), ("not encrypted", "scram-sha-256")).await;
        server.write_data_file("pg_hba.conf", b"local all all trust\n").unwrap();
        server.reload().await.unwrap();
        finds(patient, &url, unreachable, ("no pg_hba.conf entry", "hostssl <database> <role>")).await;

        server.write_data_file("pg_hba.conf", hba("trust").as_bytes()).unwrap();
        server.reload().await.unwrap();
        let pooler = Pooler::before(port).await;
        let pooled = format!("postgres://{name}@127.0.0.1:{}/{name}", pooler.port);
        finds(patient, &pooled, ("postgres.direct", Warning), ("a pooler stands between", "lead to Postgres itself"))
            .await;
        assert_eq!(patient.complaints().await, Vec::<String>::new());
    }
}

/// Passes everything on, and answers logins as poolers do: with a process number of its own.
struct Pooler {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Pooler {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass_on(client, upstream));
            }
        });
        Self { port, task }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(client: TcpStream, upstream: TcpStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let up = tokio::spawn(async move { drop(tokio::io::copy(&mut from_client, &mut to_server).await) });
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        let bytes = &mut buffer[..count];
        // `BackendKeyData`: its tag, a length of 12, the process, the secret. It comes with the rest of the login's answer.
        if let Some(at) = bytes.windows(5).position(|window| window == [b'K', 0, 0, 0, 12]) {
            bytes[at + 8] ^= 1;
        }
        if to_client.write_all(bytes).await.is_err() {
            break;
        }
    }
    up.abort();
}
