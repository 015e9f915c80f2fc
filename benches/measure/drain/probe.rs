//! A bare relay: reads and publishes with a message id and two headers, and promises nothing.
//!
//! No chain, no position, no metrics, no status; a crash loses its place. It is what a relay costs at the least with this
//! client of NATS and this reader of the log, on one thread; like walpost it reads late and much when it is behind. It
//! runs as a process of its own, this same program.

use std::{collections::VecDeque, process::Stdio, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::{
    process::Command,
    time::{Instant, sleep_until},
};
use uuid::Uuid;
use walpost::{
    lsn::Lsn,
    pgoutput::{Message, Tuple, Value},
    postgres::Endpoint,
    replication::{Connection, Frame, ReplicationStream, StartOptions},
};

use super::{Backlog, window::Window};
use crate::{arguments::Arguments, usage::Run};

/// The argument that makes this program the probe.
pub(crate) const NAME: &str = "probe";
/// How many messages may be under way.
const WINDOW: u32 = 1024;
/// With so many under way it is behind, and reads at most once in [`PACE`].
const BEHIND: u64 = 48;
const PACE: Duration = Duration::from_millis(1);

impl Backlog<'_> {
    /// From the start of the process until the stream holds the last event.
    pub(crate) async fn probe(&self) -> Run {
        self.world.new_stream().await;
        let slot = self.copy_slot().await;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(NAME).args(["--slot", &slot, "--events", &self.events.to_string()]);
        command.args(["--postgres", &self.world.postgres.url(), "--nats", &self.world.nats.url()]);
        command.stdin(Stdio::null());
        let run = Run::of(command).await;
        self.drop_slot(&slot).await;
        run
    }
}

/// The process: ends when so many events are stored.
pub(crate) async fn relay(arguments: &Arguments) {
    let events = arguments.number("--events", 0).into();
    let options = StartOptions {
        slot: arguments.text("--slot", "").to_owned(),
        publication: "walpost".to_owned(),
        start: Lsn::ZERO,
    };
    let endpoint = Endpoint::parse(arguments.text("--postgres", "")).unwrap();
    let connection = Connection::open(&endpoint).await.unwrap();
    let mut log = connection.start(&options).await.unwrap();
    let mut window = Window::open(arguments.text("--nats", ""), WINDOW).await;
    // How many messages must be stored for a position to be confirmed.
    let mut marks = VecDeque::new();
    let mut next_read = Instant::now();
    while window.stored < events {
        while window.has_room() {
            let Some(frame) = log.next_frame().unwrap() else { break };
            take(frame, &mut log, &mut window, &mut marks).await;
        }
        while let Some((_, end)) = marks.front().filter(|(published, _)| *published <= window.stored) {
            log.feedback().flushed(*end);
            marks.pop_front();
        }
        log.report(Instant::now()).await.unwrap();
        let (has_room, under_way) = (window.has_room(), window.published - window.stored);
        let read = async {
            if under_way >= BEHIND {
                sleep_until(next_read).await;
            }
            log.fill().await.unwrap();
        };
        tokio::select! {
            () = window.settle(), if under_way > 0 => {}
            () = read, if has_room => next_read = Instant::now() + PACE,
        }
    }
}

async fn take(frame: Frame, log: &mut ReplicationStream, window: &mut Window, marks: &mut VecDeque<(u64, Lsn)>) {
    match frame {
        Frame::Log { data, .. } => match Message::decode(&data).unwrap() {
            Message::Insert { new, .. } => {
                let (subject, headers, payload) = message(new, &data);
                window.publish(subject, headers, payload).await;
            }
            Message::Commit(commit) => marks.push_back((window.published, commit.end_lsn)),
            _ => {}
        },
        Frame::Keepalive { reply_requested: true, .. } => log.feedback().reply_requested(),
        _ => {}
    }
}

/// The message of a row of the table that setup makes.
fn message(row: Tuple<'_>, data: &Bytes) -> (String, HeaderMap, Bytes) {
    let mut columns = row.iter().map(|value| match value {
        Value::Binary(bytes) | Value::Text(bytes) => bytes,
        Value::Null | Value::Unchanged => &[],
    });
    let mut column = || columns.next().unwrap();
    let id = Uuid::from_slice(column()).unwrap();
    let [aggregate_type, aggregate_id, event_type] = [column(), column(), column()].map(|b| str::from_utf8(b).unwrap());
    // Binary jsonb has its version before it.
    let payload = data.slice_ref(column()).slice(1..);
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id.to_string());
    headers.insert("Walpost-Aggregate-Id", aggregate_id);
    headers.insert("Walpost-Event-Type", event_type);
    (format!("outbox.{aggregate_type}.{event_type}"), headers, payload)
}
