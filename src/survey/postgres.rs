//! What Postgres answers.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Scope, Silence,
    answer::{Answer, within},
    outbox_lag::OutboxLag,
    settings::Settings,
    slots::{SlotSeen, seconds},
    watch::Watch,
};
use crate::{
    plan::Plan,
    postgres::sql::{Session, SqlError},
    preflight::{self, Facts, Needs},
    replication::{Authentication, Connection, ReplicationError, SystemIdentity, TimelineHistory},
};

/// Postgres.
#[derive(Debug)]
pub struct PostgresSide {
    /// Who connects where, without the password.
    pub address: String,
    /// Whether all of it is on this machine.
    pub is_local: bool,
    /// What it answers; none of it if it lets nobody in.
    pub answers: Answer<Box<PostgresAnswers>>,
}

/// What Postgres answers, question by question.
#[derive(Debug)]
pub struct PostgresAnswers {
    /// How long it took to be let in.
    pub connected_in: Duration,
    /// How this session came in.
    pub link: Answer<Link>,
    /// What preflight asks.
    pub facts: Answer<Facts>,
    /// Settings that the slot depends on.
    pub settings: Answer<Settings>,
    /// All slots.
    pub slots: Answer<Vec<SlotSeen>>,
    /// Who takes the whole log from this server.
    pub standbys: Answer<Vec<String>>,
    /// Old transactions.
    pub transactions: Answer<Vec<OldTransaction>>,
    /// How long ago the watermark was written; none if it never was.
    pub watermark_age: Answer<Option<Duration>>,
    /// What the delivery status says; none if none is kept.
    pub outbox_lag: Answer<Option<OutboxLag>>,
    /// A replication connection.
    pub replication: Answer<LoggedIn>,
    /// How fast the log grows that our slot has not confirmed, in bytes a second; none without a slot.
    pub growth: Answer<Option<f64>>,
}

/// How the session came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether what we say is encrypted.
    pub is_encrypted: bool,
    /// Whether what the server hears was encrypted.
    pub is_encrypted_at_server: bool,
    /// The version of TLS, by the server.
    pub tls_version: Option<String>,
    /// For how long the role's password is valid; none if for ever. Zero if it has expired.
    pub password_valid_for: Option<Duration>,
    /// Who runs the server.
    pub provider: Provider,
}

/// Who runs the server, which decides how its settings are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// Nobody whom we know.
    #[default]
    SelfHosted,
    /// Amazon RDS or Aurora.
    Rds,
    /// Google Cloud SQL or `AlloyDB`.
    CloudSql,
    /// Azure Database for PostgreSQL.
    Azure,
    /// Supabase.
    Supabase,
}

/// A replication connection that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// How the role proved who it is.
    pub authentication: Authentication,
    /// Whether a pooler stands between.
    pub is_pooled: bool,
    /// Which cluster it is.
    pub identity: SystemIdentity,
    /// What its timeline continues.
    pub history: TimelineHistory,
}

/// A transaction that the slot waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldTransaction {
    /// The process, or the name under which it was prepared.
    pub name: String,
    /// Whether it was prepared: then no session has it any more.
    pub is_prepared: bool,
    /// Its database.
    pub database: Option<String>,
    /// Since when, where we may know.
    pub age: Option<Duration>,
}

impl PostgresSide {
    pub(super) async fn ask(plan: &Plan, scope: Scope, watch: Watch) -> Self {
        let begun = Instant::now();
        let answers = match within(watch.connection(), Session::connect(&plan.endpoint)).await {
            Ok(session) => Ok(Box::new(ask(&session, plan, (scope, watch), begun.elapsed()).await)),
            Err(silence) => Err(silence),
        };
        Self { address: plan.endpoint.to_string(), is_local: plan.endpoint.is_local(), answers }
    }
}

async fn ask(
    session: &Session,
    plan: &Plan,
    (scope, watch): (Scope, Watch),
    connected_in: Duration,
) -> PostgresAnswers {
    let first = within(watch.answer(), held_bytes(session, plan)).await;
    let begun = Instant::now();
    let link = within(watch.answer(), Link::ask(session)).await;
    let facts = within(watch.answer(), preflight::inspect(session, &plan.needs)).await;
    let settings = within(watch.answer(), Settings::ask(session)).await;
    let slots = within(watch.answer(), SlotSeen::ask(session)).await;
    let standbys = within(watch.answer(), standbys(session, plan)).await;
    let transactions = within(watch.answer(), OldTransaction::ask(session)).await;
    let may_read = facts.as_ref().is_ok_and(|facts| facts.watermark_table.may_use);
    let watermark_age =
        if may_read { within(watch.answer(), watermark_age(session, &plan.needs)).await } else { Ok(None) };
    let outbox_lag = within(watch.answer(), OutboxLag::ask(session, &plan.needs)).await;
    let replication = match scope {
        Scope::Whole => within(watch.connection(), LoggedIn::open(session)).await,
        Scope::Glance => Err(Silence::unasked()),
    };
    let growth = match first {
        Err(silence) => Err(silence),
        Ok(None) => Ok(None),
        Ok(_) if scope == Scope::Glance => Err(Silence::unasked()),
        Ok(Some(before)) => {
            sleep(watch.sample().saturating_sub(begun.elapsed())).await;
            let after = within(watch.answer(), held_bytes(session, plan)).await;
            after.map(|after| after.map(|after| rate(before, after, begun.elapsed())))
        }
    };
    PostgresAnswers {
        connected_in,
        link,
        facts,
        settings,
        slots,
        standbys,
        transactions,
        watermark_age,
        outbox_lag,
        replication,
        growth,
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is measured")]
fn rate(before: i64, after: i64, time: Duration) -> f64 {
    after.saturating_sub(before) as f64 / time.as_secs_f64().max(0.001)
}

async fn held_bytes(session: &Session, plan: &Plan) -> Result<Option<i64>, SqlError> {
    let sql = include_str!("../../sql/survey/held_back.sql");
    let row = session.client().query_opt(sql, &[&plan.needs.slot]).await?;
    Ok(row.map(|row| row.try_get("held_bytes")).transpose()?.flatten())
}

async fn standbys(session: &Session, plan: &Plan) -> Result<Vec<String>, SqlError> {
    let ours = plan.endpoint.application_name();
    let rows = session.client().query(include_str!("../../sql/survey/standbys.sql"), &[&ours]).await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}

async fn watermark_age(session: &Session, needs: &Needs) -> Result<Option<Duration>, SqlError> {
    let sql = include_str!("../../sql/survey/watermark_age.sql").replace("{watermark}", &needs.watermark().to_string());
    let row = session.client().query_opt(&sql, &[&needs.slot]).await?;
    Ok(row.map(|row| seconds(&row, "age")).transpose()?.flatten())
}

impl Link {
    async fn ask(session: &Session) -> Result<Self, SqlError> {
        let row = session.client().query_one(include_str!("../../sql/survey/session.sql"), &[]).await?;
        let administrators: Option<&str> = row.try_get("administrators")?;
        Ok(Self {
            is_encrypted: session.is_encrypted(),
            is_encrypted_at_server: row.try_get("is_encrypted")?,
            tls_version: row.try_get("tls_version")?,
            password_valid_for: seconds(&row, "password_valid_for")?,
            provider: administrators.map(Provider::of).unwrap_or_default(),
        })
    }
}

impl Provider {
    fn of(administrators: &str) -> Self {
        match administrators {
            "rds_superuser" => Self::Rds,
            "cloudsqlsuperuser" | "alloydbsuperuser" => Self::CloudSql,
            "azure_pg_admin" => Self::Azure,
            "supabase_admin" => Self::Supabase,
            _ => Self::SelfHosted,
        }
    }
}

impl LoggedIn {
    /// With the host that the session is with.
    async fn open(session: &Session) -> Result<Self, ReplicationError> {
        let mut connection = Connection::open(session.host()).await?;
        let identity = connection.identify_system().await?;
        let history = connection.timeline_history(identity.timeline).await?;
        let is_pooled = connection.is_pooled().await?;
        Ok(Self { authentication: connection.authentication(), is_pooled, identity, history })
    }
}

impl OldTransaction {
    async fn ask(session: &Session) -> Result<Vec<Self>, SqlError> {
        let rows = session.client().query(include_str!("../../sql/survey/transactions.sql"), &[]).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Self {
                name: row.try_get("name")?,
                is_prepared: row.try_get("is_prepared")?,
                database: row.try_get("database")?,
                age: seconds(row, "age")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
