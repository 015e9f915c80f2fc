//! Servers that send nonsense: bytes that mean nothing, and bytes that meant something before they were changed.

use std::{net::SocketAddr, time::Duration};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    chance::Chance,
    daemon::{Daemon, Settings},
    wait,
    world::{nats, own_postgres},
};

/// What a program may have resident, in KiB: a length that a server makes up may not cost more.
const MEMORY_KIB: u64 = 64 * 1024;
/// How many kinds of nonsense each server says.
const SAMPLES: usize = 12;
/// How many connections have some of their bytes changed.
const CHANGED: u64 = 24;
/// How many programs run at once.
const AT_ONCE: usize = 8;
/// Once it was changed nothing comes any more after such a silence: whoever waits for bytes that were only announced
/// would wait for ever.
const SILENCE: Duration = Duration::from_millis(500);

/// Random bytes, most of them behind a beginning that makes sense.
fn nonsense(chance: &mut Chance, beginnings: &[&[u8]]) -> Vec<u8> {
    let length = 1 + chance.below(300);
    let noise: Vec<u8> = (0..length).map(|_| u8::try_from(chance.below(256)).unwrap()).collect();
    [chance.one_of(beginnings), &noise[..]].concat()
}

/// A server that says the same to everybody and hangs up.
async fn says(words: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let words = words.clone();
            tokio::spawn(async move {
                // A client that has had enough may be gone before.
                drop(socket.write_all(&words).await);
                drop(socket.shutdown().await);
                drop(timeout(SILENCE, socket.read_to_end(&mut Vec::new())).await);
            });
        }
    });
    address
}

/// A way to a server on which bytes change: 8 of those that the server sends over one connection, from the `first` on.
async fn changes(server: u16, connection: u64, first: usize, chance: &mut Chance) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let noise: [u8; 8] = std::array::from_fn(|_| u8::try_from(chance.below(256)).unwrap());
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((client, _)) = listener.accept().await else { break };
            let first = if number == connection { first } else { usize::MAX };
            tokio::spawn(Box::pin(pass(client, server, first, noise)));
        }
    });
    address
}

async fn pass(client: TcpStream, server: u16, first: usize, noise: [u8; 8]) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut passed, mut buffer) = (0, vec![0; 4096]);
    loop {
        let read = from_server.read(&mut buffer);
        let is_changed = passed > first;
        let read = if is_changed { timeout(SILENCE, read).await.unwrap_or(Ok(0)) } else { read.await };
        let Ok(length @ 1..) = read else { break };
        for (at, byte) in buffer[..length].iter_mut().enumerate() {
            if let Some(noise) = (passed + at).checked_sub(first).and_then(|at| noise.get(at)) {
                *byte = *noise;
            }
        }
        passed += length;
        if to_client.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    up.abort();
}

/// Waits until it ends with an error that has a code, or has come through; whether it ended.
async fn ends_or_leads(mut daemon: Daemon) -> bool {
    let mut memory = 0;
    let code = wait::some("it ends or leads", async || {
        memory = daemon.memory_kib().unwrap_or_default().max(memory);
        match daemon.exit_code() {
            Some(code) => Some(Some(code)),
            None => daemon.get("/ready").await.filter(|page| page.code == 200).map(|_| None),
        }
    })
    .await;
    let log = daemon.log();
    assert!((1..MEMORY_KIB).contains(&memory), "{memory} KiB: {log}");
    assert!(!log.contains("panicked"), "{log}");
    let Some(code) = code else {
        daemon.kill().await;
        return false;
    };
    let last: Value = serde_json::from_str(log.lines().last().unwrap_or_default()).unwrap_or_default();
    assert!(code == 1 && last["code"].as_str().is_some_and(|code| code.starts_with("WP")), "{code}: {log}");
    true
}

#[tokio::test]
async fn a_server_that_talks_nonsense_ends_a_start_with_a_code_and_nothing_worse() {
    let mut chance = Chance::new(Chance::seed("nonsense"));
    let (postgres, broker) = (own_postgres(&[]).await, nats().await);
    Settings::new(&postgres.url(), &broker.url()).set_up().await;
    let of_postgres: [&[u8]; 6] = [
        b"",
        b"N",
        b"S",
        b"R\0\0\0\x08\0\0\0\0",
        b"R\0\0\0\x17\0\0\0\x0ASCRAM-SHA-256\0\0R\x7F\xFF\xFF\xFF\0\0\0\x0B",
        b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05IT\x7F\xFF\xFF\xFF",
    ];
    let of_nats: [&[u8]; 5] = [
        b"",
        b"INFO {",
        b"INFO {\"server_id\":\"x\",\"version\":\"2.15.1\",\"max_payload\":1048576,\"headers\":true}\r\n",
        b"INFO {\"server_id\":\"x\",\"version\":\"2.15.1\",\"max_payload\":1048576}\r\nPONG\r\nMSG a 1 999999999999\r\n",
        b"INFO {\"server_id\":\"x\",\"max_payload\":1}\r\nPONG\r\nHMSG a 1 99999 5\r\n",
    ];
    // The last kind always: the client alone would never have done with it.
    let last = [of_nats[4], b"x\r\n"].concat();
    let mut starts = Vec::new();
    for words in (0..SAMPLES).map(|_| nonsense(&mut chance, &of_nats)).chain([last]) {
        let settings = Settings::new(&postgres.url(), &format!("nats://{}", says(words.clone()).await));
        starts.push((format!("NATS says {}", words.escape_ascii()), settings));
    }
    for words in (0..SAMPLES).map(|_| nonsense(&mut chance, &of_postgres)) {
        let url = format!("postgres://u:p@{}/d?sslmode=prefer", says(words.clone()).await);
        starts.push((format!("Postgres says {}", words.escape_ascii()), Settings::new(&url, &broker.url())));
    }
    let start = async |(what, settings): (String, Settings)| {
        assert!(ends_or_leads(settings.start()).await, "it leads although {what}");
    };
    futures_util::stream::iter(starts).for_each_concurrent(AT_ONCE, start).await;
}

#[tokio::test]
async fn bytes_that_change_on_the_way_end_a_start_with_a_code_or_do_no_harm() {
    let mut chance = Chance::new(Chance::seed("changed"));
    let (postgres, broker) = (own_postgres(&[]).await, nats().await);
    Settings::new(&postgres.url(), &broker.url()).set_up().await;
    // One after the other: each must be able to lead.
    let mut ended = 0;
    for round in 0..CHANGED {
        // SQL comes first, then the log.
        let (server, connection, early) = match round % 3 {
            0 => (postgres.port(), 0, 4000),
            1 => (postgres.port(), 1, 800),
            _ => (broker.port(), 0, 1500),
        };
        let first = usize::try_from(chance.below(early)).unwrap();
        let changed = changes(server, connection, first, &mut chance).await.port();
        let through = |url: String| url.replace(&format!(":{server}"), &format!(":{changed}"));
        let settings = Settings::new(&through(postgres.url()), &through(broker.url()));
        ended += usize::from(ends_or_leads(settings.start()).await);
    }
    println!("{ended} of {CHANGED} ended");
    assert!(ended > 0, "no byte that was changed mattered");
}
