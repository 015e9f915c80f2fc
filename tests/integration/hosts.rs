//! Several hosts in the URL: which one is used, for both protocols, and what is told when none will do.

use tokio::sync::OnceCell;
use walpost::{
    postgres::{Endpoint, sql::Session},
    replication::Connection,
    sandbox::servers::{PostgresOptions, PrivatePostgres},
};

use crate::harness::{closed_port, installed, within};

/// A primary of each version with its standby.
static PAIRS: OnceCell<Vec<[PrivatePostgres; 2]>> = OnceCell::const_new();

async fn pairs() -> &'static [[PrivatePostgres; 2]] {
    let start = async || {
        let mut pairs = Vec::new();
        for binaries in installed() {
            let primary = PrivatePostgres::start(PostgresOptions::default().binaries(binaries.clone())).await.unwrap();
            let standby = PrivatePostgres::start_standby(&primary, PostgresOptions::default()).await.unwrap();
            pairs.push([primary, standby]);
        }
        pairs
    };
    PAIRS.get_or_init(|| Box::pin(start())).await
}

/// An endpoint with these ports, in order.
fn endpoint(ports: &[u16], options: &str) -> Endpoint {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    Endpoint::parse(&format!("postgres://postgres@{}/postgres{options}", hosts.join(","))).unwrap()
}

/// The port of the server that each protocol ends up with.
async fn used(endpoint: &Endpoint) -> [u16; 2] {
    let session = within("a session", Session::connect(endpoint)).await.unwrap();
    let sql = "SELECT current_setting('port')";
    let port: String = session.client().query_one(sql, &[]).await.unwrap().get(0);
    let mut connection = within("a replication connection", Connection::open(endpoint)).await.unwrap();
    [port.parse().unwrap(), connection.setting("port").await.unwrap().parse().unwrap()]
}

/// What each protocol says when none will do.
async fn refusals(endpoint: &Endpoint) -> [String; 2] {
    let sql = within("no session", Session::connect(endpoint)).await.unwrap_err();
    let replication = within("no replication connection", Connection::open(endpoint)).await.unwrap_err();
    [sql.to_string(), replication.to_string()]
}

#[tokio::test]
async fn a_standby_is_passed_over_unless_the_url_says_that_any_will_do() {
    for [primary, standby] in pairs().await {
        let (primary, standby) = (primary.port(), standby.port());
        for options in ["", "?target_session_attrs=read-write", "?target_session_attrs=primary"] {
            assert_eq!(used(&endpoint(&[standby, primary], options)).await, [primary, primary], "{options}");
        }
        let any = endpoint(&[standby, primary], "?target_session_attrs=any");
        assert_eq!(used(&any).await, [standby, standby]);
        assert_eq!(used(&endpoint(&[standby], "")).await, [standby, standby], "an only host may be anything");
    }
}

#[tokio::test]
async fn a_primary_whose_sessions_are_read_only_is_not_for_writing() {
    for [primary, _] in pairs().await {
        let url = |attrs: &str| {
            let options = "options=-c%20default_transaction_read_only%3Don";
            endpoint(&[primary.port()], &format!("?target_session_attrs={attrs}&{options}"))
        };
        for told in refusals(&url("read-write")).await {
            assert!(told.contains("its sessions are read-only"), "{told}");
        }
        assert_eq!(used(&url("primary")).await, [primary.port(); 2]);
    }
}

#[tokio::test]
async fn when_no_host_will_do_each_is_told_with_its_reason() {
    for [_, standby] in pairs().await {
        let (dead, standby) = (closed_port().await, standby.port());
        for told in refusals(&endpoint(&[dead, standby], "")).await {
            let parts = [
                "no host of the URL is a primary that lets us in".to_owned(),
                format!("127.0.0.1:{dead}: Connection refused"),
                format!("127.0.0.1:{standby}: the server is not what the URL asks for: it is a standby"),
            ];
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        }
        for told in refusals(&endpoint(&[dead, dead], "")).await {
            assert_eq!(told.matches(&format!("127.0.0.1:{dead}: Connection refused")).count(), 2, "{told}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_on_the_next_host() {
    let options = PostgresOptions::default().scram("right");
    let guarded = PrivatePostgres::start(options).await.unwrap();
    for [primary, _] in pairs().await {
        let mut endpoint = endpoint(&[guarded.port(), primary.port()], "");
        endpoint.set_password("wrong");
        for told in refusals(&endpoint).await {
            assert!(told.contains("28P01"), "{told}");
        }
    }
}
