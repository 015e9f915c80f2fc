//! The same requests from memory, over as many connections: what the receiver and this machine bear at the most.
//!
//! A sender that reads no stream, signs nothing and remembers nothing, on a thread of its own. Its requests are copies of
//! one that walpost has sent, each with an id of its own.

use std::{
    fs,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use futures_util::future::join_all;
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use uuid::Uuid;

use super::receiver::{ID, Receiver};
use crate::usage::Run;

/// As many as an endpoint has by default.
const CONNECTIONS: u32 = 16;

/// Sends so many, and waits for the answer to each; the CPU time is that of the sender's thread.
pub(super) async fn sent(receiver: &Receiver, sample: Vec<u8>, requests: u32) -> Run {
    let port = receiver.port;
    let sender = move || {
        let before = cpu_seconds_of_this_thread();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let next = AtomicU32::new(0);
        let all = join_all((0..CONNECTIONS).map(|_| one_connection(port, sample.clone(), &next, requests)));
        runtime.block_on(all);
        cpu_seconds_of_this_thread() - before
    };
    let begun = Instant::now();
    let cpu_seconds = tokio::task::spawn_blocking(sender).await.unwrap();
    Run { seconds: begun.elapsed().as_secs_f64(), cpu_seconds, peak_kib: None, servers: None }
}

async fn one_connection(port: u16, mut request: Vec<u8>, next: &AtomicU32, requests: u32) {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let at = memmem::find(&request, ID).unwrap() + ID.len();
    let mut answer = Vec::new();
    while next.fetch_add(1, Relaxed) < requests {
        Uuid::new_v4().hyphenated().encode_lower(&mut request[at..]);
        socket.write_all(&request).await.unwrap();
        answer.clear();
        while memmem::find(&answer, b"\r\n\r\n").is_none() {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "the receiver closed the connection");
        }
    }
}

fn cpu_seconds_of_this_thread() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}
