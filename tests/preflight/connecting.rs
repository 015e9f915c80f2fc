//! Errors on the way in, as real servers word them, are explained.

use walpost::{
    postgres::{Endpoint, sql::Session},
    preflight::explain,
    sandbox::servers::{PostgresOptions, PrivatePostgres},
};

use crate::world::{connect, matrix, servers};

/// The hint for what happens when one connects there.
async fn hint(url: &str) -> String {
    let error = Session::connect(&Endpoint::parse(url).unwrap()).await.unwrap_err();
    explain(error.sqlstate(), &error.to_string()).unwrap_or_else(|| panic!("no hint for {error}"))
}

#[tokio::test]
async fn a_wrong_way_in_is_explained() {
    for binaries in matrix() {
        let options = PostgresOptions::default().binaries(binaries).scram("right");
        let server = PrivatePostgres::start(options).await.unwrap();
        let port = server.port();
        let cases = [
            (server.url_with_password("postgres", "wrong", "postgres"), "the password is wrong"),
            (server.url_with_password("postgres", "right", "nowhere"), "there is no such database"),
            (format!("postgres://postgres:x@no-such-host.invalid:{port}/postgres"), "the host name is unknown"),
            ("postgres://postgres@127.0.0.1:1/postgres".to_owned(), "nothing listens there"),
            (format!("postgres://postgres@%2Fnowhere:{port}/postgres"), "there is no such socket"),
            (format!("postgres://postgres:right@127.0.0.1:{port}/postgres?sslmode=require"), "turn on ssl"),
        ];
        for (url, expected) in cases {
            let hint = hint(&url).await;
            assert!(hint.starts_with(expected), "{url}: {hint}");
        }
    }
}

#[tokio::test]
async fn a_role_that_may_not_log_in_is_explained() {
    for server in servers().await {
        server.execute_sql("CREATE ROLE mute NOLOGIN").await.unwrap();
        assert!(hint(&server.url_for("mute", "postgres")).await.contains("must exist and have LOGIN"));
    }
}

#[tokio::test]
async fn refused_statements_are_explained() {
    for server in servers().await {
        let session = connect(&server.url()).await;
        let refused = async |sql: &str| {
            let error = walpost::postgres::sql::SqlError::from(session.client().batch_execute(sql).await.unwrap_err());
            (error.sqlstate().map(str::to_owned), explain(error.sqlstate(), &error.to_string()).unwrap_or_default())
        };
        let decode = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('absent', NULL, NULL)";
        let (code, hint) = refused(decode).await;
        assert_eq!(code.as_deref(), Some("42704"));
        assert!(hint.contains("walpost setup"));
    }
}
