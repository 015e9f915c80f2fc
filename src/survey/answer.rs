//! An answer, or why there is none.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    admin::AskError,
    code::Code,
    postgres::sql::SqlError,
    preflight::{Problem, explain},
    publish::{BrokerError, StreamError},
    replication::ReplicationError,
    supervisor,
    webhooks::{SetupError, StoreError},
    words::duration,
};

/// An answer, or why there is none.
pub type Answer<T> = Result<T, Silence>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Where to look it up, if it has a page.
    pub code: Option<Code>,
    /// What happened.
    pub why: String,
    /// What to do about it, where that is known.
    pub remedy: Option<String>,
}

impl Silence {
    /// There was no answer in time.
    pub fn late(waited: Duration) -> Self {
        Self { code: None, why: format!("{LATE} {}", duration(waited)), remedy: None }
    }

    /// Whether there was no answer in time.
    pub fn is_late(&self) -> bool {
        self.why.starts_with(LATE)
    }

    /// The others took all the time that there was.
    fn untimely() -> Self {
        Self { code: None, why: UNTIMELY.to_owned(), remedy: None }
    }

    /// Whether there was no time to ask.
    pub fn is_untimely(&self) -> bool {
        self.why == UNTIMELY
    }

    /// The question was not asked.
    pub(super) fn unasked() -> Self {
        Self { code: None, why: "not asked".to_owned(), remedy: None }
    }
}

impl From<SqlError> for Silence {
    fn from(error: SqlError) -> Self {
        let (code, _) = supervisor::of_sql(&error);
        let why = error.to_string();
        Self { code: Some(code), remedy: explain(error.sqlstate(), &why), why }
    }
}

impl From<tokio_postgres::Error> for Silence {
    fn from(error: tokio_postgres::Error) -> Self {
        SqlError::from(error).into()
    }
}

impl From<BrokerError> for Silence {
    fn from(error: BrokerError) -> Self {
        let (code, _) = supervisor::of_broker(&error);
        Self { code: Some(code), why: error.to_string(), remedy: error.hint().map(str::to_owned) }
    }
}

impl From<StreamError> for Silence {
    fn from(error: StreamError) -> Self {
        let (code, _) = supervisor::of_stream(&error);
        let remedy = match &error {
            StreamError::Problem(problem) => Some(Problem::Stream(problem.clone()).remedy()),
            other => other.hint().map(str::to_owned),
        };
        Self { code: Some(code), why: error.to_string(), remedy }
    }
}

impl From<SetupError> for Silence {
    fn from(error: SetupError) -> Self {
        Self { code: None, why: error.to_string(), remedy: Some(error.hint().to_owned()) }
    }
}

impl From<StoreError> for Silence {
    fn from(error: StoreError) -> Self {
        SetupError::from(error).into()
    }
}

impl From<AskError> for Silence {
    fn from(error: AskError) -> Self {
        Self { code: None, why: error.to_string(), remedy: None }
    }
}

impl From<ReplicationError> for Silence {
    fn from(error: ReplicationError) -> Self {
        let (code, _) = supervisor::of_replication(&error);
        let why = error.to_string();
        let remedy = error.hint().map(str::to_owned).or_else(|| explain(error.sqlstate(), &why));
        Self { code: Some(code), remedy, why }
    }
}

/// Why there is no answer where it did not come in time, and before in which.
const LATE: &str = "no answer within";
/// Why there is no answer where there was no time to ask.
const UNTIMELY: &str = "not asked: other answers took all the time";

/// Waits for an answer, but not for ever; without any time left, nothing is asked.
pub(super) async fn within<T, E: Into<Silence>>(
    limit: Duration,
    question: impl Future<Output = Result<T, E>>,
) -> Answer<T> {
    if limit.is_zero() {
        return Err(Silence::untimely());
    }
    match timeout(limit, question).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Silence::late(limit)),
    }
}
