//! The admin port: `/live`, `/ready`, `/status`, `/metrics`.
//!
//! Read-only. It looks at the same account as everybody else and knows nothing of the data path.

mod client;

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

pub use client::{AskError, status as ask_status};

use crate::{
    preflight::SlotLook,
    relay::{Progress, Snapshot},
    supervisor::{Health, HealthWatch, Retained, Trouble},
    telemetry::metrics::Metrics,
};

/// The type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the port shows.
#[derive(Debug)]
pub struct Admin {
    progress: Arc<Progress>,
    health: HealthWatch,
    metrics: Metrics,
}

impl Admin {
    /// Shows this progress and this health.
    pub fn new(progress: Arc<Progress>, health: HealthWatch) -> Self {
        let metrics = Metrics::new(Arc::clone(&progress), health.clone());
        Self { progress, health, metrics }
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
    let health = admin.health.now();
    let code = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{health}\n")).into_response()
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(status_of(&admin.health.now(), &admin.progress.snapshot()))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn status_of(health: &Health, now: &Snapshot) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "phase": health.phase.name(),
        "ready": health.is_ready(),
        "trouble": health.trouble.as_ref().map(trouble),
        "lsn": {
            "server": now.server_end.to_string(),
            "received": now.received.to_string(),
            "published": now.published.to_string(),
            "confirmed": now.confirmed.to_string(),
        },
        "lag": { "bytes": now.lag_bytes(), "seconds": now.oldest_unstored.as_secs_f64() },
        "slot": health.slot.as_ref().map(slot),
        "events": { "stored": now.events, "in_flight": now.in_flight, "duplicates": now.duplicates },
        "rows": { "skipped": now.skipped, "ignored": now.ignored_changes },
        "transactions": now.transactions,
        "retries": now.retries,
        "mode": if now.is_shared { "shared" } else { "chain" },
        "foreign_messages": now.foreign,
        "displaced_events": now.displaced,
        "headers_dropped": now.dropped_headers,
        "dead_letters": dead_letters_of(now),
        "retention": health.retention.as_ref().map(retention),
    })
}

/// How many there are, and how many for each reason that occurred.
fn dead_letters_of(now: &Snapshot) -> Value {
    let occurred = now.dead_letters.iter().filter(|(_, count)| *count > 0);
    let by_reason: serde_json::Map<_, _> =
        occurred.map(|(reason, count)| (reason.code().to_owned(), (*count).into())).collect();
    json!({ "total": now.dead_letters.iter().map(|(_, count)| count).sum::<u64>(), "by_reason": by_reason })
}

/// The slot as last seen.
fn slot(look: &SlotLook) -> Value {
    json!({
        "status": look.status.name(),
        "active": look.is_active,
        "retained_bytes": look.retained_bytes,
        "safe_bytes": look.safe_bytes,
        "seen_seconds_ago": look.at.elapsed().as_secs_f64(),
    })
}

/// What became of delivered rows.
fn retention(retained: &Retained) -> Value {
    json!({
        "deleted_rows": retained.rows,
        "dropped_partitions": retained.partitions,
        "errors": retained.errors,
        "ran_seconds_ago": retained.ran_at.map(|at| at.elapsed().as_secs_f64()),
        "held_up": retained.held_up,
    })
}

/// What keeps events from being delivered.
fn trouble(trouble: &Trouble) -> Value {
    json!({
        "code": trouble.code.to_string(),
        "meaning": trouble.code.title(),
        "cause": trouble.cause,
        "action": trouble.action,
        "seconds": trouble.duration().as_secs_f64(),
        "attempts": trouble.attempts,
    })
}
