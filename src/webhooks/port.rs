//! The admin port of the role: `/live`, `/ready`, `/metrics`. Read-only.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::{board::Board, metrics::Metrics};

/// The type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the port shows.
#[derive(Debug)]
pub struct Port {
    board: Arc<Board>,
    metrics: Metrics,
}

impl Port {
    /// Shows what is on this board.
    pub fn new(board: Arc<Board>) -> Self {
        Self { metrics: Metrics::new(Arc::clone(&board)), board }
    }

    /// Serves until the task is dropped.
    pub async fn serve(self, listen: SocketAddr) -> std::io::Result<()> {
        let listener = TcpListener::bind(listen).await?;
        tracing::info!(address = %listener.local_addr()?, "admin port is open");
        let router = Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self));
        axum::serve(listener, router).await
    }
}

async fn live() -> &'static str {
    "live\n"
}

/// Ready is who delivers, or waits for others to stop; not who waits for JetStream, or
/// never heard who is to be served.
async fn ready(State(port): State<Arc<Port>>) -> Response {
    if !port.board.is_known() {
        return (StatusCode::SERVICE_UNAVAILABLE, "waiting for the endpoints\n").into_response();
    }
    let seen: Vec<_> = port.board.all().iter().map(|stats| stats.seen()).collect();
    let held = seen.iter().filter(|seen| seen.is_held).count();
    if seen.iter().any(|seen| seen.is_in_trouble) {
        return (StatusCode::SERVICE_UNAVAILABLE, "waiting for JetStream\n").into_response();
    }
    (StatusCode::OK, format!("delivering to {held} of {}\n", seen.len())).into_response()
}

async fn metrics(State(port): State<Arc<Port>>) -> Response {
    match port.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
