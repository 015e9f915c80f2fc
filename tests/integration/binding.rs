//! Who is there: channel binding (SCRAM-SHA-256-PLUS), and certificates of our own. Only servers that were built with TLS
//! can be tried.

use std::sync::Arc;

use rcgen::{
    CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA512,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use walpost::{
    postgres::{ChannelBinding, Endpoint, SslMode, Stream, TlsSettings, sql::Session},
    replication::{Authentication, Connection},
    sandbox::servers::{PostgresOptions, PrivatePostgres},
};

use crate::harness::{Authority, installed, within};

use Authentication::{Scram, ScramPlus};
use ChannelBinding::{Disable, Prefer, Require};

/// An RSA key of this test: the library that makes the other keys makes none of these.
const RSA_KEY: &str = include_str!("../fixtures/tls/rsa.key");

/// Servers with TLS, and a role for each way to log in.
async fn servers() -> Vec<PrivatePostgres> {
    let mut able = Vec::new();
    for binaries in installed() {
        let mut server = PrivatePostgres::start(PostgresOptions::default().binaries(binaries.clone())).await.unwrap();
        let rules = ["salted scram-sha-256", "digest md5", "clear password", "trusted trust", "certified cert"];
        let rules = rules.map(|rule| {
            let (role, method) = rule.split_once(' ').unwrap();
            format!("hostssl all {role} 127.0.0.1/32 {method}\n")
        });
        let others =
            "local all all trust\nhostnossl all salted 127.0.0.1/32 scram-sha-256\nhost all postgres all trust\n";
        server.write_data_file("pg_hba.conf", format!("{}{others}", rules.concat()).as_bytes()).unwrap();
        show(&server, &KeyPair::generate().unwrap()).await;
        server.set_config("ssl", "on").unwrap();
        server.reload().await.unwrap();
        let roles =
            "CREATE ROLE salted LOGIN REPLICATION PASSWORD 'hush'; CREATE ROLE clear LOGIN REPLICATION PASSWORD 'hush';
                     CREATE ROLE trusted LOGIN REPLICATION; CREATE ROLE certified LOGIN REPLICATION;
                     SET password_encryption = 'md5'; CREATE ROLE digest LOGIN REPLICATION PASSWORD 'hush'";
        server.execute_sql(roles).await.unwrap();
        let ssl: String = server.connect().await.unwrap().query_one("SHOW ssl", &[]).await.unwrap().get(0);
        if ssl == "on" {
            able.push(server);
        } else {
            eprintln!("Postgres {} was built without TLS and cannot be tried", server.major());
        }
    }
    able
}

/// Lets the server show a certificate that this key has signed.
async fn show(server: &PrivatePostgres, signer: &KeyPair) {
    let (key, issuer) = (KeyPair::generate().unwrap(), Issuer::new(CertificateParams::default(), signer));
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    server.write_data_file("server.crt", certificate.pem().as_bytes()).unwrap();
    server.write_data_file("server.key", key.serialize_pem().as_bytes()).unwrap();
    server.reload().await.unwrap();
}

fn endpoint(port: u16, role: &str, mode: SslMode, binding: ChannelBinding) -> Endpoint {
    let mut endpoint = Endpoint::parse(&format!("postgres://{role}:hush@127.0.0.1:{port}/postgres")).unwrap();
    endpoint.set_tls(TlsSettings { mode: Some(mode), binding: Some(binding), ..TlsSettings::default() });
    endpoint
}

/// Logs in by both protocols, which must agree; how it was, or why not.
async fn log_in(endpoint: &Endpoint) -> Result<Authentication, String> {
    let sql = within("a session", Session::connect(endpoint)).await;
    let replication = within("a replication connection", Connection::open(endpoint)).await;
    match (sql, replication) {
        (Ok(_), Ok(connection)) => Ok(connection.authentication()),
        (Err(sql), Err(replication)) => {
            let said = format!("{sql} / {replication}");
            assert_eq!(
                sql.to_string().contains("channel_binding"),
                replication.to_string().contains("channel_binding"),
                "{said}"
            );
            Err(said)
        }
        (sql, replication) => panic!("the protocols differ: {:?} {:?}", sql.err(), replication.err()),
    }
}

#[tokio::test]
async fn a_login_is_bound_to_certificates_of_every_kind_that_can_be() {
    let of = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let rsa = KeyPair::from_pkcs8_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA512).unwrap();
    let keys = [of(&PKCS_ECDSA_P256_SHA256), of(&PKCS_ECDSA_P384_SHA384), rsa];
    for server in servers().await {
        let enter = async |binding| log_in(&endpoint(server.port(), "salted", SslMode::Require, binding)).await;
        for key in &keys {
            show(&server, key).await;
            assert_eq!(enter(Prefer).await, Ok(ScramPlus), "{:?}", key.algorithm());
            assert_eq!(enter(Require).await, Ok(ScramPlus), "{:?}", key.algorithm());
            assert_eq!(enter(Disable).await, Ok(Scram), "{:?}", key.algorithm());
        }
        // The server offers it here, too, and fails when it is used.
        show(&server, &of(&PKCS_ED25519)).await;
        assert_eq!(enter(Prefer).await, Ok(Scram));
        let refused = enter(Require).await.unwrap_err();
        assert!(refused.contains("channel_binding=require: there is none for this kind of certificate"), "{refused}");
    }
}

#[tokio::test]
async fn require_refuses_whoever_lets_us_in_without_it() {
    for server in servers().await {
        for (role, proof) in [
            ("digest", Authentication::Md5),
            ("clear", Authentication::Cleartext),
            ("trusted", Authentication::Unasked),
        ] {
            let enter = async |binding| log_in(&endpoint(server.port(), role, SslMode::Require, binding)).await;
            assert_eq!(enter(Prefer).await, Ok(proof), "{role}");
            let refused = enter(Require).await.unwrap_err();
            assert!(
                refused.contains("channel_binding=require: the server does not bind the login"),
                "{role}: {refused}"
            );
        }
        let plain = async |binding| log_in(&endpoint(server.port(), "salted", SslMode::Disable, binding)).await;
        assert_eq!(plain(Prefer).await, Ok(Scram));
        let refused = plain(Require).await.unwrap_err();
        assert!(refused.contains("channel_binding=require: the connection is not encrypted"), "{refused}");
    }
}

/// How somebody in the middle goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Passes on what both say.
    Honest,
    /// Leaves SCRAM-SHA-256-PLUS out of what the server offers.
    Silencing,
}

/// Speaks TLS with us by a certificate of its own, and TLS with the server: it reads all.
struct Middle {
    port: u16,
    task: JoinHandle<()>,
}

impl Middle {
    async fn before(server: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(stand_between(client, server, acceptor.clone(), manner));
            }
        });
        Self { port, task }
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor() -> TlsAcceptor {
    let signed = Authority::new("somebody").sign(&["localhost"]);
    let chain = CertificateDer::pem_slice_iter(signed.pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

async fn stand_between(mut client: TcpStream, server: u16, acceptor: TlsAcceptor, manner: Manner) {
    let mut request = [0; 8];
    client.read_exact(&mut request).await.unwrap();
    client.write_all(b"S").await.unwrap();
    let Ok(client) = acceptor.accept(client).await else { return };
    let upstream = Stream::open(&endpoint(server, "salted", SslMode::Require, Disable)).await.unwrap();
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(upstream);
    let up = tokio::spawn(async move { drop(copy(&mut from_client, &mut to_server).await) });
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        let said = if manner == Manner::Silencing { without_plus(&buffer[..count]) } else { buffer[..count].to_vec() };
        if to_client.write_all(&said).await.is_err() {
            break;
        }
    }
    up.abort();
}

/// The server's offer comes alone: its tag, its length, 10 for SASL, and the names, each with a zero byte behind it.
fn without_plus(said: &[u8]) -> Vec<u8> {
    const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS\0";
    let Some(at) = said.windows(PLUS.len()).position(|window| window == PLUS) else { return said.to_vec() };
    let mut said = [&said[..at], &said[at + PLUS.len()..]].concat();
    let length = u32::try_from(said.len() - 1).unwrap();
    said[1..5].copy_from_slice(&length.to_be_bytes());
    said
}

#[tokio::test]
async fn somebody_in_the_middle_is_found_out_although_no_certificate_is_verified() {
    for server in servers().await {
        for manner in [Manner::Honest, Manner::Silencing] {
            let middle = Middle::before(server.port(), manner).await;
            let enter = async |binding| log_in(&endpoint(middle.port, "salted", SslMode::Require, binding)).await;
            // Nobody looks.
            assert_eq!(enter(Disable).await, Ok(Scram), "{manner:?}");
            // The server finds it out: by the wrong certificate, or because it did offer what we say it did not.
            let refused = enter(Prefer).await.unwrap_err();
            assert!(refused.contains("SCRAM channel binding"), "{manner:?}: {refused}");
            // We do, too.
            let refused = enter(Require).await.unwrap_err();
            let word = if manner == Manner::Honest { "SCRAM channel binding" } else { "channel_binding=require" };
            assert!(refused.contains(word), "{manner:?}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_server_that_asks_for_our_certificate_gets_it_and_a_renewed_one_next_time() {
    for mut server in servers().await {
        let (authority, stranger) = (Authority::new("the right one"), Authority::new("a stranger"));
        server.write_data_file("clients.crt", &std::fs::read(authority.file()).unwrap()).unwrap();
        server.set_config("ssl_ca_file", "clients.crt").unwrap();
        server.reload().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut endpoint = endpoint(server.port(), "certified", SslMode::Require, Prefer);
        let refused = log_in(&endpoint).await.unwrap_err();
        assert!(refused.contains("valid client certificate"), "{refused}");

        let (cert, key) = stranger.sign_for("certified", folder.path());
        endpoint.set_tls(TlsSettings { cert: Some(cert.clone()), key: Some(key), ..TlsSettings::default() });
        log_in(&endpoint).await.unwrap_err();
        // The same files, which somebody has replaced.
        authority.sign_for("certified", folder.path());
        assert_eq!(log_in(&endpoint).await, Ok(Authentication::Unasked));
        authority.sign_for("another", folder.path());
        let refused = log_in(&endpoint).await.unwrap_err();
        assert!(refused.contains("28000"), "{refused}");

        std::fs::write(&cert, "").unwrap();
        let refused = log_in(&endpoint).await.unwrap_err();
        assert!(
            refused.contains("cannot read our certificate or its key in") && refused.contains("client.crt"),
            "{refused}"
        );
    }
}
