//! Logging in to Postgres: every method, both protocols, TCP and Unix sockets, and what a refusal says.

use tokio::net::TcpListener;
use walpost::{
    postgres::{
        Endpoint,
        sql::{Session, SqlError},
    },
    replication::{Connection, ReplicationError},
    sandbox::servers::PrivatePostgres,
};

use crate::harness::{PostgresSet, closed_port, on_every_postgres, within};

/// A password with everything that a URL or a careless log line could trip over.
const PASSWORD: &str = "p@ss/w:rd %20 'é\\";
/// Role, its method in `pg_hba.conf`, and how its password is kept.
const ROLES: [(&str, &str, &str); 4] = [
    ("clear", "password", "scram-sha-256"),
    ("digest", "md5", "md5"),
    ("upgraded", "md5", "scram-sha-256"),
    ("salted", "scram-sha-256", "scram-sha-256"),
];

static GUARDED: PostgresSet<PrivatePostgres> = PostgresSet::new();

/// Servers on which each role must log in its own way.
async fn guarded() -> &'static [PrivatePostgres] {
    let prepare = async |server: PrivatePostgres| {
        let mut rules = String::new();
        for (role, method, storage) in ROLES {
            rules += &format!("local all {role} {method}\nhost all {role} 127.0.0.1/32 {method}\n");
            let password = PASSWORD.replace('\'', "''");
            let sql = format!(
                "SET password_encryption = '{storage}'; CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{password}'"
            );
            server.execute_sql(&sql).await.unwrap();
        }
        server.execute_sql("CREATE ROLE trusted LOGIN REPLICATION; CREATE ROLE reader LOGIN").await.unwrap();
        rules += "local all all trust\nhost all all 127.0.0.1/32 trust\n";
        server.write_data_file("pg_hba.conf", rules.as_bytes()).unwrap();
        server.reload().await.unwrap();
        server
    };
    GUARDED.servers(prepare).await
}

/// The role's address over TCP and over the Unix socket.
fn endpoints(server: &PrivatePostgres, role: &str, password: Option<&str>) -> [Endpoint; 2] {
    [server.url_for(role, "postgres"), server.unix_socket_url(role, "postgres")].map(|url| {
        let mut endpoint = Endpoint::parse(&url).unwrap();
        if let Some(password) = password {
            endpoint.set_password(password);
        }
        endpoint
    })
}

async fn sql(endpoint: &Endpoint) -> Result<String, SqlError> {
    let session = within("a session", Session::connect(endpoint)).await?;
    Ok(session.client().query_one("SELECT current_user::text", &[]).await?.get(0))
}

async fn replication(endpoint: &Endpoint) -> Result<u64, ReplicationError> {
    let mut connection = within("a replication connection", Connection::open(endpoint)).await?;
    Ok(connection.identify_system().await?.system_id)
}

#[tokio::test]
async fn the_right_password_opens_both_protocols_by_every_method() {
    for server in guarded().await {
        for (role, _, _) in ROLES {
            for endpoint in endpoints(server, role, Some(PASSWORD)) {
                assert_eq!(sql(&endpoint).await.unwrap(), role, "{endpoint}");
                assert!(replication(&endpoint).await.unwrap() > 0, "{endpoint}");
            }
        }
    }
}

#[tokio::test]
async fn a_password_in_the_url_is_decoded() {
    for server in guarded().await {
        let endpoint = Endpoint::parse(&server.url_with_password("salted", PASSWORD, "postgres")).unwrap();
        assert_eq!(sql(&endpoint).await.unwrap(), "salted");
        replication(&endpoint).await.unwrap();
    }
}

#[tokio::test]
async fn a_trusted_role_needs_no_password_and_may_have_one() {
    for server in guarded().await {
        for password in [None, Some("whatever")] {
            for endpoint in endpoints(server, "trusted", password) {
                assert_eq!(sql(&endpoint).await.unwrap(), "trusted");
                replication(&endpoint).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_28p01_and_not_repeated() {
    for server in guarded().await {
        for (role, _, _) in ROLES {
            for endpoint in endpoints(server, role, Some("canary")) {
                let refused = sql(&endpoint).await.unwrap_err();
                assert_eq!(refused.sqlstate(), Some("28P01"), "{refused}");
                let replication = replication(&endpoint).await.unwrap_err();
                assert_eq!(replication.sqlstate(), Some("28P01"), "{replication}");
                let said = format!("{refused} {refused:?} {replication} {replication:?}");
                assert!(!said.contains("canary"), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn a_missing_password_is_noticed_before_the_server_counts_an_attempt() {
    for server in guarded().await {
        for (role, _, _) in ROLES {
            for endpoint in endpoints(server, role, None) {
                let refused = sql(&endpoint).await.unwrap_err();
                assert!(refused.to_string().contains("password missing"), "{refused}");
                let refused = replication(&endpoint).await.unwrap_err();
                assert!(matches!(refused, ReplicationError::NoPassword), "{refused}");
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_database_is_refused_with_3d000() {
    on_every_postgres(async |server| {
        let endpoint = Endpoint::parse(&server.url_for("postgres", "no such database")).unwrap();
        let refused = sql(&endpoint).await.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("3D000"), "{refused}");
        assert!(refused.to_string().contains("no such database"), "{refused}");
        let refused = replication(&endpoint).await.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("3D000"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_role_is_refused_by_name() {
    on_every_postgres(async |server| {
        let endpoint = Endpoint::parse(&server.url_for("nobody here", "postgres")).unwrap();
        let refused =
            [sql(&endpoint).await.unwrap_err().to_string(), replication(&endpoint).await.unwrap_err().to_string()];
        assert!(refused.iter().all(|text| text.contains("28000") && text.contains("nobody here")), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_role_without_the_replication_attribute_may_query_and_not_replicate() {
    for server in guarded().await {
        for endpoint in endpoints(server, "reader", None) {
            assert_eq!(sql(&endpoint).await.unwrap(), "reader");
            let refused = replication(&endpoint).await.unwrap_err();
            assert_eq!(refused.sqlstate(), Some("42501"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_host_that_refuses_is_passed_over() {
    on_every_postgres(async |server| {
        let (closed, open) = (closed_port().await, server.port());
        let socket = server.unix_socket_url("postgres", "postgres");
        let folder = socket.split(['@', ':']).nth(2).unwrap();
        let hosts = [
            format!("127.0.0.1:{closed},127.0.0.1:{open}"),
            format!("no-such-host.invalid:{open},127.0.0.1:{open}"),
            format!("{folder}:{closed},{folder}:{open}"),
        ];
        for hosts in hosts {
            let endpoint = Endpoint::parse(&format!("postgres://postgres@{hosts}/postgres")).unwrap();
            assert_eq!(sql(&endpoint).await.unwrap(), "postgres", "{endpoint}");
            replication(&endpoint).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_names_every_host_and_port_and_never_the_password() {
    // Refused as a rule; reset if another test was given the port meanwhile.
    let closed = closed_port().await;
    let url = format!("postgres://app:canary@127.0.0.1:{closed},no-such-host.invalid:6543/shop");
    let endpoint = Endpoint::parse(&url).unwrap();
    let failures =
        [sql(&endpoint).await.unwrap_err().to_string(), replication(&endpoint).await.unwrap_err().to_string()];
    for text in failures {
        let named = [format!("127.0.0.1:{closed}"), "no-such-host.invalid:6543".to_owned(), "os error".to_owned()];
        assert!(named.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    let missing = Endpoint::parse("postgres://app:canary@%2Fno%2Fsuch%2Ffolder:6543/shop").unwrap();
    let text = replication(&missing).await.unwrap_err().to_string();
    assert!(text.contains("/no/such/folder/.s.PGSQL.6543") && !text.contains("canary"), "{text}");
}

#[tokio::test]
async fn whatever_accepts_and_then_says_nothing_is_given_up_after_the_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    for sslmode in ["disable", "prefer"] {
        let url = format!("postgres://app@127.0.0.1:{port}/shop?connect_timeout=1&sslmode={sslmode}");
        let endpoint = Endpoint::parse(&url).unwrap();
        let begun = tokio::time::Instant::now();
        let (sql, replication) = tokio::join!(sql(&endpoint), replication(&endpoint));
        for text in [sql.unwrap_err().to_string(), replication.unwrap_err().to_string()] {
            assert!(text.contains("answer"), "{text}");
        }
        assert!(begun.elapsed().as_secs() < 10, "{sslmode}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn something_else_at_the_port_is_told_from_postgres() {
    use tokio::io::AsyncWriteExt;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let prefer = Endpoint::parse(&format!("postgres://app@127.0.0.1:{port}/shop")).unwrap();
    let text = replication(&prefer).await.unwrap_err().to_string();
    assert!(text.contains("does not speak the Postgres protocol"), "{text}");
    let plain = Endpoint::parse(&format!("postgres://app@127.0.0.1:{port}/shop?sslmode=disable")).unwrap();
    replication(&plain).await.unwrap_err();
    sql(&plain).await.unwrap_err();
}
