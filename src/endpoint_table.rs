//! Endpoints of webhooks from a table of the database: looked at again and again, read as a whole when it changed.
//!
//! Between the configuration, which knows how to read a row, Postgres, and the role of webhooks, which is told whom to serve and
//! knows no database. Each look is one statement, which tells by a hash of the rows whether anything changed: no trigger, no
//! session that must not be interrupted, and nothing that a restore, a `TRUNCATE` or a pooler could get past
//! (`docs/adr/0019-endpoints-in-a-table-are-looked-at.md`).
//!
//! Invariant: while the table cannot be read, what was known before holds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    fmt,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_postgres::types::{ToSql, Type};

use crate::{
    config::{EndpointTable, RefusedRow, Webhooks},
    postgres::{
        Endpoint as Database,
        sql::{Session, SqlError, exists_already},
    },
    preflight::fill,
    webhooks::{Board, Endpoint, EndpointName, Roster},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before each look: the server gives up before we do. A session that waits for a lock does not notice that nobody listens
/// any more, and one after the other would be left behind.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '9s'";
/// There is no such table, or no such schema.
const ABSENT: [&str; 2] = ["42P01", "3F000"];
/// A right is missing.
const FORBIDDEN: &str = "42501";

/// Reads the table.
pub struct TableReader {
    database: Database,
    table: EndpointTable,
    session: Option<Session>,
    /// The mark of what was read last.
    mark: Option<String>,
    /// What was read last: the endpoint of each row that is one, by the row.
    known: HashMap<String, Arc<Endpoint>>,
}

/// All rows at a moment.
#[derive(Debug, Default)]
pub struct Listing {
    /// The endpoints, by name.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The rows that are none.
    pub refused: Vec<RefusedRow>,
}

/// What matters of the table besides its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Whether everybody may read some of them.
    pub is_public: bool,
}

impl Listing {
    /// Who there is now: in the file, or in the table of this database.
    pub async fn now(webhooks: &Webhooks, database: Option<&Database>) -> Result<Self, TableError> {
        let Some((table, database)) = webhooks.table.as_ref().zip(database) else {
            return Ok(Self { endpoints: webhooks.endpoints.clone(), refused: Vec::new() });
        };
        Ok(TableReader::new(database.clone(), table.clone()).read().await?.unwrap_or_default())
    }
}

/// The table cannot be read, or not be made.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Postgres said no, or is away.
    #[error("the table {table} cannot be read")]
    Read {
        /// The table.
        table: String,
        /// Why.
        source: SqlError,
    },
    /// Postgres said no to making it.
    #[error("cannot create table {table}")]
    Create {
        /// The table.
        table: String,
        /// Why.
        source: SqlError,
    },
    /// Postgres does not answer.
    #[error("Postgres does not answer a question for the table {table}")]
    NoAnswer {
        /// The table.
        table: String,
    },
}

impl TableError {
    /// What mends it.
    pub fn hint(&self) -> &'static str {
        let (Self::Read { source, .. } | Self::Create { source, .. }) = self else {
            return "see what Postgres is busy with";
        };
        match (source.sqlstate(), self) {
            (Some(code), Self::Read { .. }) if ABSENT.contains(&code) => {
                "run `walpost webhooks setup`, with the login of whoever may create tables"
            }
            (Some(FORBIDDEN), Self::Read { .. }) => {
                "grant this role SELECT on the table, and USAGE on its schema (sql/roles.sql)"
            }
            (Some(_), Self::Create { .. }) => {
                "run `walpost webhooks setup` with the login of whoever may create tables in the schema"
            }
            _ => "check [postgres] of the configuration, and that Postgres runs and lets this role in",
        }
    }

    /// Whether a right is missing.
    pub fn is_about_rights(&self) -> bool {
        self.cause().and_then(SqlError::sqlstate) == Some(FORBIDDEN)
    }

    /// What Postgres said, if it said anything.
    pub fn cause(&self) -> Option<&SqlError> {
        match self {
            Self::Read { source, .. } | Self::Create { source, .. } => Some(source),
            Self::NoAnswer { .. } => None,
        }
    }

    /// Why, as the server says it.
    pub fn why(&self) -> String {
        self.cause().map_or_else(|| self.to_string(), |cause| format!("{self}: {cause}"))
    }
}

impl TableReader {
    /// Of this table; nothing is connected yet.
    pub fn new(database: Database, table: EndpointTable) -> Self {
        Self { database, table, session: None, mark: None, known: HashMap::new() }
    }

    /// Makes the table; false if something of that name is there.
    pub async fn create(&mut self) -> Result<bool, TableError> {
        let table = self.table.name.to_string();
        let failed = |source: SqlError| TableError::Create { table: table.clone(), source };
        let client = Self::session(&mut self.session, &self.database).await.map_err(failed)?.client();
        let found = client.query_typed("SELECT to_regclass($1) IS NOT NULL", &[(&table, Type::TEXT)]).await;
        let found = found.map_err(|error| failed(error.into()))?;
        if found.first().is_some_and(|row| row.get::<_, bool>(0)) {
            return Ok(false);
        }
        let sql = fill(include_str!("../sql/webhook_endpoint.sql"), &[("{webhook_endpoint}", &table)]);
        match client.batch_execute(&sql).await.map_err(SqlError::from) {
            Ok(()) => Ok(true),
            Err(error) if exists_already(error.sqlstate()) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// All rows; none if they are what they were the last time.
    pub async fn read(&mut self) -> Result<Option<Listing>, TableError> {
        let rows = self.changed_rows().await;
        if rows.is_err() {
            self.session = None;
        }
        Ok(rows?.map(|rows| self.listing(rows)))
    }

    /// What its columns are, and who may read them; none if there is no such table.
    pub async fn shape(&mut self) -> Result<Option<Shape>, TableError> {
        let table = self.table.name.to_string();
        let failed = |source: SqlError| TableError::Read { table: table.clone(), source };
        let client = Self::session(&mut self.session, &self.database).await.map_err(failed)?.client();
        let asked = client.query_typed(include_str!("../sql/webhooks/table.sql"), &[(&table, Type::TEXT)]).await;
        let rows = asked.map_err(|error| failed(error.into()))?;
        Ok(rows.first().map(|row| Shape { columns: row.get(0), is_public: row.get(1) }))
    }

    /// Looks again and again, and tells of what changed.
    pub async fn watch(mut self, roster: &watch::Sender<Roster>, board: &Board) -> Infallible {
        let (mut trouble, mut told) = (None, Told::default());
        loop {
            match self.read().await {
                Ok(listing) => {
                    board.table_was_read(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0));
                    if trouble.take().is_some() {
                        tracing::info!(table = %self.table.name, "the table of endpoints is read again");
                    }
                    if let Some(listing) = listing {
                        told.tell(&listing);
                        board.set_refused(listing.refused.len());
                        roster.send_replace(Roster::Known(listing.endpoints));
                    }
                }
                Err(error) => {
                    let why = error.why();
                    if trouble.as_ref() != Some(&why) {
                        let action = error.hint();
                        tracing::error!(error = why, action, "endpoints stay as they were known last");
                    }
                    trouble = Some(why);
                }
            }
            sleep(self.table.refresh).await;
        }
    }

    /// The rows as JSON, if they changed.
    async fn changed_rows(&mut self) -> Result<Option<Vec<String>>, TableError> {
        let table = self.table.name.to_string();
        let failed = |source: SqlError| TableError::Read { table: table.clone(), source };
        let client = Self::session(&mut self.session, &self.database).await.map_err(failed)?.client();
        let sql = fill(include_str!("../sql/webhooks/endpoints.sql"), &[("{webhook_endpoint}", &table)]);
        let columns = &EndpointTable::COLUMNS[..];
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&self.mark, Type::TEXT), (&columns, Type::TEXT_ARRAY)];
        // On their way at once: it is one round trip all the same.
        let asked = async {
            tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                client.query_typed(&sql, &parameters),
                client.batch_execute("COMMIT"),
            )
        };
        let asked = timeout(PATIENCE, asked).await.map_err(|_| TableError::NoAnswer { table: table.clone() })?;
        let (began, rows, ended) = asked;
        let rows = began.and(rows).and_then(|rows| ended.map(|()| rows)).map_err(|error| failed(error.into()))?;
        let mark = rows.first().map(|row| row.get::<_, String>(0));
        if mark == self.mark {
            return Ok(None);
        }
        self.mark = mark;
        Ok(Some(rows.iter().filter_map(|row| row.get(1)).collect()))
    }

    /// What the rows come to. A row that did not change is the endpoint that it was.
    fn listing(&mut self, rows: Vec<String>) -> Listing {
        let (mut listing, before) = (Listing::default(), std::mem::take(&mut self.known));
        let mut names = BTreeSet::new();
        for row in rows {
            let endpoint = match before.get(&row) {
                Some(endpoint) => Ok(Arc::clone(endpoint)),
                None => self.table.endpoint(&row).map(Arc::new),
            };
            match endpoint {
                // The key of the table excludes it; a view has none.
                Ok(endpoint) if !names.insert(endpoint.name.clone()) => {
                    listing.refused.push(self.table.twin(&endpoint.name));
                }
                Ok(endpoint) => {
                    listing.endpoints.push(Arc::clone(&endpoint));
                    self.known.insert(row, endpoint);
                }
                Err(refused) => listing.refused.push(refused),
            }
        }
        listing.endpoints.sort_by(|one, other| one.name.cmp(&other.name));
        listing.refused.sort_by(|one, other| one.name.cmp(&other.name));
        listing
    }

    async fn session<'a>(kept: &'a mut Option<Session>, database: &Database) -> Result<&'a Session, SqlError> {
        let session = match kept.take().filter(|session| !session.has_ended()) {
            Some(session) => session,
            None => Session::connect(database).await?,
        };
        Ok(kept.insert(session))
    }
}

/// Without the rows: there are secrets in them.
impl fmt::Debug for TableReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableReader({})", self.table.name)
    }
}

/// What the log was told of the table.
#[derive(Debug, Default)]
struct Told {
    endpoints: BTreeMap<EndpointName, Arc<Endpoint>>,
    refused: BTreeMap<String, String>,
}

impl Told {
    /// Tells what is new.
    fn tell(&mut self, listing: &Listing) {
        let endpoints = listing.endpoints.iter().map(|endpoint| (endpoint.name.clone(), Arc::clone(endpoint)));
        let before = std::mem::replace(&mut self.endpoints, endpoints.collect());
        for (name, endpoint) in &self.endpoints {
            let enabled = endpoint.is_enabled;
            match before.get(name) {
                None => tracing::info!(endpoint = %name, enabled, "an endpoint is in the table"),
                Some(known) if !Arc::ptr_eq(known, endpoint) => {
                    tracing::info!(endpoint = %name, enabled, "the endpoint changed in the table");
                }
                Some(_) => {}
            }
        }
        for name in before.keys().filter(|name| !self.endpoints.contains_key(*name)) {
            tracing::info!(endpoint = %name, "the endpoint is in the table no more, and not served; its state stays");
        }
        let refused = listing.refused.iter().map(|refused| (refused.name.clone(), refused.to_string()));
        let before = std::mem::replace(&mut self.refused, refused.collect());
        for (endpoint, problems) in self.refused.iter().filter(|(name, problems)| before.get(*name) != Some(*problems))
        {
            let action = "mend the row; until then nothing is sent to it, and its events wait";
            tracing::error!(endpoint, problems, action, "a row of the table is no endpoint, and not served");
        }
    }
}
