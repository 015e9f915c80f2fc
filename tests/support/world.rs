//! The servers that the tests use, and sessions on them.

use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};
use walpost::sandbox::servers::{NatsOptions, Places, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres};

/// One server of each version, for tests that only need a database. They end with the process.
static POSTGRES: OnceCell<Vec<PrivatePostgres>> = OnceCell::const_new();

/// The versions that are installed, the newest first.
pub(crate) fn versions() -> Vec<PostgresBinaries> {
    let all = PostgresBinaries::all_installed(&Places::from_environment());
    assert!(!all.is_empty(), "no Postgres is installed: run `make tools`");
    all
}

/// Servers of all versions that tests share, each test with databases and slots of its own.
pub(crate) async fn shared_postgres() -> &'static [PrivatePostgres] {
    let start = || async {
        let mut servers = Vec::new();
        for binaries in versions() {
            let room =
                PostgresOptions::default().setting("max_replication_slots", "200").setting("max_wal_senders", "50");
            servers.push(PrivatePostgres::start(room.binaries(binaries)).await.unwrap());
        }
        servers
    };
    POSTGRES.get_or_init(start).await
}

/// The newest of the shared servers.
pub(crate) async fn newest() -> &'static PrivatePostgres {
    shared_postgres().await.first().unwrap()
}

/// A Postgres of one's own, of the newest version.
pub(crate) async fn own_postgres(settings: &[(&str, &str)]) -> PrivatePostgres {
    own_postgres_of(versions().remove(0), settings).await
}

/// A Postgres of one's own.
pub(crate) async fn own_postgres_of(binaries: PostgresBinaries, settings: &[(&str, &str)]) -> PrivatePostgres {
    let options = PostgresOptions::default().binaries(binaries);
    let options = settings.iter().fold(options, |all, (name, value)| all.setting(*name, *value));
    PrivatePostgres::start(options).await.unwrap()
}

/// A broker of one's own.
pub(crate) async fn nats() -> PrivateNats {
    PrivateNats::start(NatsOptions::default()).await.unwrap()
}

/// Makes a database and gives its address.
pub(crate) async fn database(server: &PrivatePostgres, name: &str) -> String {
    server.execute_sql(&format!("CREATE DATABASE {name}")).await.unwrap();
    server.url_for("postgres", name)
}

/// A session at an address.
pub(crate) async fn connect(url: &str) -> Client {
    try_connect(url).await.unwrap()
}

/// A session at an address, if the server lets us in.
pub(crate) async fn try_connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = Box::pin(tokio_postgres::connect(url, NoTls)).await?;
    tokio::spawn(async move {
        // A server that is killed breaks its sessions; whoever uses one is told by the query that fails.
        drop(connection.await);
    });
    Ok(client)
}
