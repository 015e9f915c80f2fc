//! How much memory one large transaction takes.
//!
//! `-- memory --rows 1000000`: rows of some 500 bytes, committed at once, drained with everything on.

use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    backlog::described,
    drain::{Backlog, Shape, Status, WORKLOAD},
    results::{cell, table},
    world::World,
};

/// With the other columns a row has some 500 bytes.
const PAYLOAD_BYTES: u32 = 350;

pub(crate) async fn measure(world: &World, arguments: &Arguments) -> Value {
    let rows = arguments.number("--rows", 1_000_000);
    let shape = Shape { events: rows, per_transaction: rows, payload_bytes: Some(PAYLOAD_BYTES), ..WORKLOAD };
    let backlog = Backlog::make(world, shape).await;
    let run = backlog.walpost(Status::Kept).await;
    let stream_bytes = world.stream().await.cached_info().state.bytes;
    let mut figures = described("walpost", &[run], rows);
    let megabytes = |bytes: f64| (bytes / 1e6).round();
    figures["rows"] = rows.into();
    figures["log_mb"] = megabytes(backlog.log_bytes).into();
    figures["stream_mb"] = megabytes(u32::try_from(stream_bytes).unwrap().into()).into();
    let row = ["rows", "log_mb", "peak_mib", "events_per_second"].map(|name| cell(&figures[name])).into();
    println!("{}", table(&["rows in one transaction", "log MB", "peak MiB", "events/s"], [row]));
    json!({ "transaction": figures })
}
