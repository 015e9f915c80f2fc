//! A receiver that costs next to nothing: of a request it reads id and length, notes when it came, and answers.
//!
//! It shares its cores with what is measured, so nothing of HTTP is done that walpost's own requests do not need.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::BytesMut;
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep},
};
use uuid::Uuid;

use crate::percentiles::now_us;

/// What stands before the id in a request.
pub(super) const ID: &[u8] = b"\r\nwebhook-id: ";
const LENGTH: &[u8] = b"\r\ncontent-length: ";
const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const NOT_TAKEN: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// How a receiver answers.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    /// It takes everything at once.
    Takes,
    /// It takes everything, after this time.
    TakesAfter(Duration),
    /// It takes everything for this time, then nothing for this time, and so on.
    Flaps(Duration),
}

/// What came.
#[derive(Default)]
pub(super) struct Requests {
    /// When each event came that was taken, in microseconds since 1970, by its id.
    pub(super) taken: HashMap<Uuid, u64>,
    /// How many came that had been taken.
    pub(super) repeats: usize,
    /// How many were not taken.
    pub(super) refused: usize,
    /// The first one.
    pub(super) sample: Vec<u8>,
}

/// A receiver on a port of its own.
pub(super) struct Receiver {
    pub(super) port: u16,
    requests: Arc<Mutex<Requests>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, begun) = (Arc::<Mutex<Requests>>::default(), Instant::now());
        let all = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let all = Arc::clone(&all);
                tokio::spawn(async move { serve(socket, manner, begun, &all).await });
            }
        });
        Self { port, requests, task }
    }

    /// What came so far.
    pub(super) fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: TcpStream, manner: Manner, begun: Instant, all: &Mutex<Requests>) {
    socket.set_nodelay(true).unwrap();
    let mut bytes = BytesMut::with_capacity(16 * 1024);
    loop {
        while let Some((id, length)) = request(&bytes) {
            let came_us = now_us();
            let one = bytes.split_to(length);
            if let Manner::TakesAfter(time) = manner {
                sleep(time).await;
            }
            let takes = !matches!(manner, Manner::Flaps(every) if !is_up(begun.elapsed(), every));
            all.lock().unwrap().note((id, &one), came_us, takes);
            if socket.write_all(if takes { TAKEN } else { NOT_TAKEN }).await.is_err() {
                return;
            }
        }
        if !socket.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
}

/// The event's id and the length of a request that is here as a whole.
fn request(bytes: &[u8]) -> Option<(Uuid, usize)> {
    let head = &bytes[..memmem::find(bytes, b"\r\n\r\n")? + 2];
    let field = |name: &[u8]| {
        let value = &head[memmem::find(head, name).expect("a request of walpost") + name.len()..];
        str::from_utf8(&value[..memchr::memchr(b'\r', value).unwrap()]).unwrap()
    };
    let length = head.len() + 2 + field(LENGTH).parse::<usize>().unwrap();
    (bytes.len() >= length).then(|| (field(ID).parse().unwrap(), length))
}

/// Whether one that flaps takes anything now.
fn is_up(since: Duration, every: Duration) -> bool {
    (since.as_millis() / every.as_millis()).is_multiple_of(2)
}

impl Requests {
    fn note(&mut self, (id, bytes): (Uuid, &[u8]), came_us: u64, takes: bool) {
        if self.sample.is_empty() {
            self.sample = bytes.to_vec();
        }
        if !takes {
            self.refused += 1;
        } else if let Entry::Vacant(place) = self.taken.entry(id) {
            place.insert(came_us);
        } else {
            self.repeats += 1;
        }
    }

    /// Each of so many events must have been taken once: nobody failed, and nobody died.
    pub(super) fn assert_each_once(&self, events: usize) {
        assert_eq!((self.taken.len(), self.repeats, self.refused), (events, 0, 0), "taken, repeated, refused");
    }
}
