//! Every byte after which a connection can break, one after the other: in a login, in a question, in the middle of an event.
//!
//! The network counts the bytes of all connections to one kind of server together, in both directions, and resets them after
//! the Nth. Each cut begins with the end of the connections that there are, so that N runs from the first byte of new ones,
//! through login and questions, to events and their answers. The process lives through all of it.

use tokio_postgres::Client;

use crate::{
    arena::{Arena, Cell},
    chance::Chance,
    crash_points::{evidence, until_stored},
    proxy::{Cut, Edge},
    wish,
    workload::insert,
};

/// Without a wish so many bytes of each way are tried, and not always the same.
const CUTS: u64 = 25;
/// More bytes than pass until events are delivered.
const ENDLESS: u64 = 100_000_000;
/// How often that is measured; the least counts. A new connection may find the slot still in use and begin once more, which
/// takes twice as many bytes.
const MEASURED: usize = 3;
/// How many bytes that takes of each way, at least.
const LEAST: u64 = 1500;
/// How many events follow each cut.
const EVENTS: u64 = 3;

#[tokio::test]
async fn a_cut_after_any_byte_loses_repeats_reorders_and_confirms_nothing_wrongly() {
    let mut arena = Box::pin(Arena::build(&Cell::newest())).await;
    let client = arena.client().await;
    let mut chance = Chance::new(Chance::seed("cuts"));
    arena.runners[0].start();
    until_stored(&mut arena, &client).await;
    let (mut cuts, mut points) = (0, 0);
    for way in [postgres, nats] {
        let mut bytes = ENDLESS;
        for _ in 0..MEASURED {
            bytes = bytes.min(length(&mut arena, &client, way).await);
        }
        let step = wish("CUTS").map_or((bytes / CUTS).max(1), |step| step.parse().unwrap());
        let first = 1 + chance.below(step);
        println!("it takes {bytes} bytes until events are delivered; cuts after {first}, {}, ...", first + step);
        assert!(bytes > LEAST);
        for point in (first..=bytes).step_by(usize::try_from(step).unwrap()) {
            points += 1;
            cuts += u64::from(cut_after(&mut arena, &client, way, point).await);
        }
    }
    let found = arena.runners[0].stop().await;
    arena.misbehaviour.extend(found);
    let evidence = Box::pin(evidence(&mut arena, &client)).await;
    println!("{cuts} cuts at {points} points, {} events", evidence.table.len());
    let violations = evidence.judge();
    violations.iter().take(20).for_each(|violation| println!("  {violation}"));
    assert!(violations.is_empty(), "{} violations", violations.len());
    // A reconnection that needed fewer bytes than the one that was measured is not cut near its end.
    assert!(cuts * 4 >= points * 3, "too many of the cuts did not happen");
}

/// The way of the one instance to Postgres.
fn postgres(arena: &Arena) -> &Edge {
    &arena.runners[0].postgres
}

/// Its way to NATS.
fn nats(arena: &Arena) -> &Edge {
    &arena.runners[0].nats
}

/// How many bytes pass until events are delivered again.
async fn length(arena: &mut Arena, client: &Client, way: fn(&Arena) -> &Edge) -> u64 {
    way(arena).cut_after(ENDLESS);
    deliver_anew(arena, client, way).await;
    let length = ENDLESS - way(arena).is_to_be_cut_in();
    way(arena).clear();
    length
}

/// Cuts, and lets it recover; whether it came to the cut.
async fn cut_after(arena: &mut Arena, client: &Client, way: fn(&Arena) -> &Edge, bytes: u64) -> bool {
    way(arena).cut_after(bytes);
    deliver_anew(arena, client, way).await;
    let is_cut = !way(arena).is_to_be_cut();
    way(arena).clear();
    is_cut
}

async fn deliver_anew(arena: &mut Arena, client: &Client, way: fn(&Arena) -> &Edge) {
    // Nothing is said in between: the cut comes first, then the new connections.
    way(arena).cut(Cut::Reset);
    let version = format!("UPDATE aggregates SET version = version + {EVENTS} WHERE key = 'key 0' RETURNING version");
    client.batch_execute("BEGIN").await.unwrap();
    let version: i64 = client.query_one(&version, &[]).await.unwrap().get(0);
    let first = u64::try_from(version).unwrap() - EVENTS;
    client.batch_execute(&insert("key 0", first, EVENTS, 20)).await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    until_stored(arena, client).await;
}
