//! The admin port: `/live`, `/ready`, `/status`, `/metrics`.
//!
//! Read-only. It looks at the same account as everybody else and knows nothing of the data path.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    relay::{Progress, Snapshot},
    supervisor::{Phase, PhaseWatch},
    telemetry::metrics::Metrics,
};

/// The type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the port shows.
#[derive(Debug)]
pub struct Admin {
    progress: Arc<Progress>,
    phase: PhaseWatch,
    metrics: Metrics,
}

impl Admin {
    /// Shows this progress and this phase.
    pub fn new(progress: Arc<Progress>, phase: PhaseWatch) -> Self {
        let metrics = Metrics::new(Arc::clone(&progress), phase.clone());
        Self { progress, phase, metrics }
    }

    /// Serves until the task is dropped.
    pub async fn serve(self, listen: SocketAddr) -> std::io::Result<()> {
        let listener = TcpListener::bind(listen).await?;
        tracing::info!(address = %listener.local_addr()?, "admin port is open");
        axum::serve(listener, self.router()).await
    }

    fn router(self) -> Router {
        Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self))
    }
}

/// The process runs and its only loop turns, or this would not answer.
async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let phase = admin.phase.now();
    let code = if phase.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{phase}\n")).into_response()
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(status_of(&admin.phase.now(), &admin.progress.snapshot()))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn status_of(phase: &Phase, now: &Snapshot) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "phase": phase.name(),
        "ready": phase.is_ready(),
        "lsn": {
            "server": now.server_end.to_string(),
            "received": now.received.to_string(),
            "published": now.published.to_string(),
            "confirmed": now.confirmed.to_string(),
        },
        "lag": { "bytes": now.lag_bytes(), "seconds": now.oldest_unstored.as_secs_f64() },
        "events": { "stored": now.events, "in_flight": now.in_flight, "duplicates": now.duplicates },
        "rows": { "skipped": now.skipped, "ignored": now.ignored_changes },
        "transactions": now.transactions,
        "headers_dropped": now.dropped_headers,
        "dead_letters": dead_letters_of(now),
    })
}

/// How many there are, and how many for each reason that occurred.
fn dead_letters_of(now: &Snapshot) -> Value {
    let occurred = now.dead_letters.iter().filter(|(_, count)| *count > 0);
    let by_reason: serde_json::Map<_, _> =
        occurred.map(|(reason, count)| (reason.code().to_owned(), (*count).into())).collect();
    json!({ "total": now.dead_letters.iter().map(|(_, count)| count).sum::<u64>(), "by_reason": by_reason })
}
