//! The servers that the tests share, and what a test makes on them.

use tokio::sync::OnceCell;
use walpost::{
    outbox::{Mapping, Preset},
    postgres::{Endpoint, sql::Session},
    preflight::{Needs, Problem, inspect, problems},
    publish::{Broker, BrokerOptions, Credentials, StreamInspector, StreamPlan, TlsFiles},
    sandbox::servers::{NatsOptions, Places, PostgresBinaries, PostgresOptions, PrivateNats, PrivatePostgres},
};

/// One server of each version. They end with the process, as the sandbox promises.
static POSTGRES: OnceCell<Vec<PrivatePostgres>> = OnceCell::const_new();
/// The broker.
static NATS: OnceCell<PrivateNats> = OnceCell::const_new();

/// A statement with rows for everything that setup could have made in a database, in words.
const CATALOG: &str = "
    SELECT format('column %s %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  pg_get_expr(d.adbin, d.adrelid)) AS line
      FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = to_regclass('public.outbox') AND a.attnum > 0
    UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index
               WHERE indrelid = to_regclass('public.outbox')
    UNION ALL SELECT format('publication %s %s %s %s %s %s', pubname, pubinsert, pubupdate, pubdelete, pubtruncate,
                            pubviaroot) FROM pg_publication
    UNION ALL SELECT format('publishes %s.%s', schemaname, tablename) FROM pg_publication_tables
    UNION ALL SELECT format('slot %s %s', plugin, temporary) FROM pg_replication_slots
               WHERE database = current_database()
    UNION ALL SELECT 'status ' || relname FROM pg_class WHERE relname ~ '^walpost_' AND relkind IN ('r', 'v')
    UNION ALL SELECT 'status ' || proname FROM pg_proc WHERE proname ~ '^walpost_'
    ORDER BY line";

/// The versions that are installed, the newest first.
pub(crate) fn matrix() -> Vec<PostgresBinaries> {
    let all = PostgresBinaries::all_installed(&Places::from_environment());
    assert!(!all.is_empty(), "no Postgres is installed: run `make tools`");
    all
}

/// The shared servers.
pub(crate) async fn servers() -> &'static [PrivatePostgres] {
    let start = || async {
        let mut servers = Vec::new();
        for binaries in matrix() {
            // Every case of every test may have a slot of its own.
            let options = PostgresOptions::default().setting("max_replication_slots", "100").binaries(binaries);
            servers.push(PrivatePostgres::start(options).await.unwrap());
        }
        servers
    };
    POSTGRES.get_or_init(start).await
}

/// The shared broker.
pub(crate) async fn nats() -> &'static PrivateNats {
    NATS.get_or_init(async || PrivateNats::start(NatsOptions::default()).await.unwrap()).await
}

/// A server of each version with settings of its own.
pub(crate) async fn servers_with(settings: &[(&str, &str)]) -> Vec<PrivatePostgres> {
    let mut servers = Vec::new();
    for binaries in matrix() {
        let options = PostgresOptions::default().binaries(binaries);
        let options = settings.iter().fold(options, |options, (name, value)| options.setting(*name, *value));
        servers.push(PrivatePostgres::start(options).await.unwrap());
    }
    servers
}

/// Connects.
pub(crate) async fn connect(url: &str) -> Session {
    Session::connect(&Endpoint::parse(url).unwrap()).await.unwrap()
}

/// What walpost needs by default, with a slot that goes by the name of the test.
pub(crate) fn needs(slot: &str) -> Needs {
    let mapping = Mapping { table: "public.outbox".parse().unwrap(), columns: Preset::Walpost.columns() };
    Needs { slot: slot.to_owned(), publication: "walpost".to_owned(), mapping, deletes_rows: false }
}

/// A new database, a session in it, and a stream of its own that is not there yet.
pub(crate) struct World {
    /// The superuser's session.
    pub(crate) session: Session,
    /// The database's and the slot's name are the same.
    pub(crate) needs: Needs,
    /// The stream.
    pub(crate) plan: StreamPlan,
    /// Its inspector.
    pub(crate) inspector: StreamInspector,
    /// Keeps the inspector's connection open.
    _broker: Broker,
}

impl World {
    /// Makes a database of this name, with a table of watermarks, for tests of other things.
    pub(crate) async fn new(server: &PrivatePostgres, name: &str) -> Self {
        let world = Self::empty(server, name).await;
        world.execute(&include_str!("../../sql/watermark.sql").replace("{watermark}", "walpost_watermark")).await;
        world
    }

    /// Makes a database of this name.
    pub(crate) async fn empty(server: &PrivatePostgres, name: &str) -> Self {
        server.execute_sql(&format!("CREATE DATABASE {name}")).await.unwrap();
        let stream = format!("{name}_{}", server.port());
        let nats = nats().await;
        let options = BrokerOptions {
            servers: vec![nats.url().parse().unwrap()],
            credentials: Credentials::None,
            url_file: None,
            tls: TlsFiles::default(),
            inbox_prefix: "_INBOX".to_owned(),
            stream: stream.clone(),
            max_in_flight: 1,
        };
        let broker = Broker::connect(&options).await.unwrap();
        Self {
            session: connect(&server.url_for("postgres", name)).await,
            needs: needs(name),
            plan: StreamPlan { subjects: vec![format!("{stream}.>")], name: stream },
            inspector: broker.inspector(),
            _broker: broker,
        }
    }

    /// Executes statements; `{slot}` stands for the slot's name.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = sql.replace("{slot}", &self.needs.slot);
        self.session.client().batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The problems on the side of Postgres.
    pub(crate) async fn problems(&self) -> Vec<Problem> {
        let facts = inspect(&self.session, &self.needs).await.unwrap();
        problems(&facts, &self.needs)
    }

    /// The same, as text.
    pub(crate) async fn told(&self) -> Vec<String> {
        self.problems().await.iter().map(ToString::to_string).collect()
    }

    /// Everything of ours in the database, and whether the stream is there.
    pub(crate) async fn catalog(&self) -> Vec<String> {
        let rows = self.session.client().query(CATALOG, &[]).await.unwrap();
        let mut lines: Vec<String> = rows.iter().map(|row| row.get("line")).collect();
        if self.inspector.problems(&self.plan).await.unwrap().is_empty() {
            lines.push("stream".to_owned());
        }
        lines
    }
}
