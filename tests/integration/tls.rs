//! TLS to Postgres: what each `sslmode` accepts, for both protocols, as the server sees it.

use std::path::Path;

use walpost::{
    postgres::{Endpoint, SslMode, TlsSettings, sql::Session},
    replication::Connection,
    sandbox::servers::PrivatePostgres,
};

use crate::harness::{Authority, PostgresSet, on_every_postgres};

const ALL_MODES: [SslMode; 5] =
    [SslMode::Disable, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

/// A server with a certificate for `localhost`, who signed it, and a stranger.
struct Encrypted {
    /// Whether its program was built with TLS: not every package is.
    is_able: bool,
    server: PrivatePostgres,
    authority: Authority,
    stranger: Authority,
}

static ENCRYPTED: PostgresSet<Encrypted> = PostgresSet::new();

/// The servers that speak TLS.
async fn encrypted() -> impl Iterator<Item = &'static Encrypted> {
    let prepare = async |mut server: PrivatePostgres| {
        let authority = Authority::new("the right one");
        let certificate = authority.sign(&["localhost"]);
        server.write_data_file("server.crt", certificate.pem.as_bytes()).unwrap();
        server.write_data_file("server.key", certificate.key.as_bytes()).unwrap();
        let rules = "local all all trust\nhostssl all sealed 127.0.0.1/32 scram-sha-256\n\
                     host all sealed 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n";
        server.write_data_file("pg_hba.conf", rules.as_bytes()).unwrap();
        server.set_config("ssl", "on").unwrap();
        server.reload().await.unwrap();
        server.execute_sql("CREATE ROLE sealed LOGIN REPLICATION PASSWORD 'hush'").await.unwrap();
        let setting: String = server.connect().await.unwrap().query_one("SHOW ssl", &[]).await.unwrap().get(0);
        Encrypted { is_able: setting == "on", server, authority, stranger: Authority::new("a stranger") }
    };
    ENCRYPTED.servers(prepare).await.iter().filter(|each| {
        if !each.is_able {
            eprintln!("Postgres {} was built without TLS and cannot be tried", each.server.major());
        }
        each.is_able
    })
}

/// These settings, and the others as they are.
fn tls(mode: SslMode, root: Option<&Path>) -> TlsSettings {
    TlsSettings { mode: Some(mode), root_cert: root.map(Path::to_owned), ..TlsSettings::default() }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Connected and encrypted.
    Tls,
    /// Connected in the clear.
    Plain,
    /// The certificate was refused.
    Refused,
    /// The server has no TLS.
    NoTls,
}

use Outcome::{NoTls, Plain, Refused, Tls};

/// Connects both ways, which must agree, and asks the server whether each is encrypted.
async fn attempt(server: &PrivatePostgres, host: &str, mode: SslMode, root: Option<&Path>) -> Outcome {
    let mut endpoint = Endpoint::parse(&format!("postgres://postgres@{host}:{}/postgres", server.port())).unwrap();
    endpoint.set_tls(tls(mode, root));
    let sql = match Session::connect(&endpoint).await {
        Ok(session) => {
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let encrypted: bool = session.client().query_one(sql, &[]).await.unwrap().get(0);
            if encrypted { Tls } else { Plain }
        }
        Err(error) => refusal(&error.to_string()),
    };
    let replication = match Connection::open(&endpoint).await {
        Ok(connection) => {
            let encrypted = walsender_is_encrypted(server, connection.process_id().unwrap()).await;
            drop(connection);
            if encrypted { Tls } else { Plain }
        }
        Err(error) => refusal(&error.to_string()),
    };
    assert_eq!(sql, replication, "{mode:?} at {host}: the protocols differ");
    sql
}

/// Asks the server about a connection for replication.
async fn walsender_is_encrypted(server: &PrivatePostgres, process_id: i32) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = $1";
    server.connect().await.unwrap().query_one(sql, &[&process_id]).await.unwrap().get(0)
}

fn refusal(text: &str) -> Outcome {
    if text.contains("does not offer TLS") {
        return NoTls;
    }
    let is_handshake = text.contains("TLS handshake failed") && text.contains("certificate");
    assert!(is_handshake || text.contains("no root certificate"), "{text}");
    Refused
}

#[tokio::test]
async fn each_mode_verifies_what_libpq_says_it_does() {
    // For each mode, in the order of ALL_MODES: at the right name, and at an address that the certificate lacks.
    let expected = [
        ("right", [(Plain, Plain), (Tls, Tls), (Tls, Tls), (Tls, Tls), (Tls, Refused)]),
        ("other", [(Plain, Plain), (Tls, Tls), (Refused, Refused), (Refused, Refused), (Refused, Refused)]),
        ("none", [(Plain, Plain), (Tls, Tls), (Tls, Tls), (Refused, Refused), (Refused, Refused)]),
    ];
    for Encrypted { server, authority, stranger, .. } in encrypted().await {
        for (root, row) in expected {
            let file = match root {
                "right" => Some(authority.file()),
                "other" => Some(stranger.file()),
                // Whoever the operating system trusts, if anybody; surely not us.
                _ => None,
            };
            for (mode, (at_name, at_address)) in ALL_MODES.into_iter().zip(row) {
                let at = async |host| attempt(server, host, mode, file.as_deref()).await;
                let found = (at("localhost").await, at("127.0.0.1").await);
                assert_eq!(found, (at_name, at_address), "{mode:?} with the {root} root");
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_unless_the_mode_does_not_insist() {
    let authority = Authority::new("not needed");
    let file = authority.file();
    on_every_postgres(async |server| {
        for (mode, expected) in ALL_MODES.into_iter().zip([Plain, Plain, NoTls, NoTls, NoTls]) {
            let endpoint = |host: &str| format!("postgres://postgres@{host}:{}/postgres", server.port());
            let mut endpoint = Endpoint::parse(&endpoint("localhost")).unwrap();
            endpoint.set_tls(tls(mode, Some(&file)));
            let sql = Session::connect(&endpoint).await.map(|_| Plain).unwrap_or_else(|e| refusal(&e.to_string()));
            let log = Connection::open(&endpoint).await.map(|_| Plain).unwrap_or_else(|e| refusal(&e.to_string()));
            assert_eq!((sql, log), (expected, expected), "{mode:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_needs_no_tls_whatever_the_mode() {
    on_every_postgres(async |server| {
        for mode in ALL_MODES {
            let mut endpoint = Endpoint::parse(&server.unix_socket_url("postgres", "postgres")).unwrap();
            endpoint.set_tls(tls(mode, None));
            if let Err(error) = Session::connect(&endpoint).await {
                panic!("{mode:?}: {error}");
            }
            Connection::open(&endpoint).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn the_name_in_the_url_is_verified_and_hostaddr_is_dialled() {
    for Encrypted { server, authority, .. } in encrypted().await {
        let ca = authority.file();
        let url = |name: &str| {
            let (port, ca) = (server.port(), ca.display());
            format!(
                "postgres://postgres@{name}:{port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={ca}"
            )
        };
        Connection::open(&Endpoint::parse(&url("localhost")).unwrap()).await.unwrap();
        let other = Connection::open(&Endpoint::parse(&url("db.example")).unwrap()).await.unwrap_err().to_string();
        assert_eq!(refusal(&other), Refused);
        assert!(other.contains("db.example"), "{other}");
    }
}

#[tokio::test]
async fn a_password_goes_through_tls_by_scram_and_nothing_goes_in_the_clear() {
    for Encrypted { server, authority, .. } in encrypted().await {
        let mut endpoint =
            Endpoint::parse(&format!("postgres://sealed:hush@localhost:{}/postgres", server.port())).unwrap();
        for mode in [SslMode::Prefer, SslMode::VerifyFull] {
            endpoint.set_tls(tls(mode, Some(&authority.file())));
            Session::connect(&endpoint).await.unwrap();
            Connection::open(&endpoint).await.unwrap().identify_system().await.unwrap();
        }
        endpoint.set_tls(tls(SslMode::Disable, None));
        assert_eq!(Connection::open(&endpoint).await.unwrap_err().sqlstate(), Some("28000"));
        assert_eq!(Session::connect(&endpoint).await.unwrap_err().sqlstate(), Some("28000"));
        endpoint.set_tls(tls(SslMode::Require, None));
        endpoint.set_password("canary");
        assert_eq!(Connection::open(&endpoint).await.unwrap_err().sqlstate(), Some("28P01"));
    }
}

#[tokio::test]
async fn a_root_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, empty, broken) =
        (folder.path().join("missing.pem"), folder.path().join("empty.pem"), folder.path().join("broken.pem"));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
    for file in [missing, empty, broken] {
        let mut endpoint = Endpoint::parse("postgres://app@127.0.0.1:1/shop").unwrap();
        endpoint.set_tls(tls(SslMode::VerifyFull, Some(&file)));
        let text = Connection::open(&endpoint).await.unwrap_err().to_string();
        assert!(text.contains(file.file_name().unwrap().to_str().unwrap()), "{text}");
    }
}
