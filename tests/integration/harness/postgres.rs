//! Postgres servers of every installed version, and the same test on each.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::LazyLock,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    net::TcpListener,
    sync::{Mutex, OnceCell},
};
use walpost::sandbox::servers::{Places, PostgresBinaries, PostgresOptions, PrivatePostgres};

/// What was found on this machine; looking takes a while.
static INSTALLED: LazyLock<Vec<PostgresBinaries>> = LazyLock::new(|| {
    let all = PostgresBinaries::all_installed(&Places::from_environment());
    assert!(!all.is_empty(), "no Postgres is installed: run `make tools`");
    all
});

/// The servers that most tests share: trust, no TLS.
static PLAIN: PostgresSet<PrivatePostgres> = PostgresSet::new();

/// The servers that tests stop and kill, one test at a time.
static EXCLUSIVE: PostgresSet<Mutex<PrivatePostgres>> = PostgresSet::new();

/// One server of each version, started when the first test asks for it; they end with the test program.
#[derive(Debug)]
pub(crate) struct PostgresSet<T>(OnceCell<Vec<T>>);

impl<T> PostgresSet<T> {
    /// No servers yet.
    pub(crate) const fn new() -> Self {
        Self(OnceCell::const_new())
    }

    /// The servers, prepared by `prepare` when they were started.
    pub(crate) async fn servers(&self, prepare: impl AsyncFn(PrivatePostgres) -> T) -> &[T] {
        let start = async || {
            let starting = INSTALLED.iter().map(async |binaries| {
                let server = PrivatePostgres::start(options().binaries(binaries.clone())).await.unwrap();
                prepare(server).await
            });
            join_all(starting).await
        };
        self.0.get_or_init(|| Box::pin(start())).await
    }
}

/// The versions that are installed.
pub(crate) fn installed() -> &'static [PostgresBinaries] {
    &INSTALLED
}

/// A loopback port that nobody listens on.
pub(crate) async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Runs a test on a shared server of each version, all at the same time.
pub(crate) async fn on_every_postgres(test: impl AsyncFn(&'static PrivatePostgres)) {
    let servers = PLAIN.servers(async |server| server).await;
    let tests = servers.iter().map(|server| named(server.major(), test(server)));
    join_all(tests).await;
}

/// Runs a test alone with a server of each version, one after the other; for tests that stop, kill or pause it. The
/// server runs at the beginning, whatever the test before left behind.
pub(crate) async fn alone_with_every_postgres(test: impl AsyncFn(&mut PrivatePostgres)) {
    for server in EXCLUSIVE.servers(async |server| Mutex::new(server)).await {
        let mut server = server.lock().await;
        if server.is_running() {
            server.resume().unwrap();
        } else {
            server.restart().await.unwrap();
        }
        named(server.major(), test(&mut server)).await;
    }
}

/// Says on which version a test failed.
async fn named(major: u32, test: impl Future<Output = ()>) {
    if let Err(panic) = Box::pin(AssertUnwindSafe(test)).catch_unwind().await {
        eprintln!("that was on Postgres {major}");
        resume_unwind(panic);
    }
}

/// Room for the slots and sessions of all tests at once.
fn options() -> PostgresOptions {
    let room = [("max_replication_slots", "100"), ("max_wal_senders", "100"), ("max_connections", "300")];
    room.into_iter().fold(PostgresOptions::default(), |options, (name, value)| options.setting(name, value))
}
