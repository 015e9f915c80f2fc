//! Every state in which a crash can leave the world, one after the other.
//!
//! What a process has done is what it has said: its state leaves it only by messages to the two servers. So its crashes
//! differ only in how many messages had arrived. The network counts them on all connections of an instance together, lets
//! the Nth arrive and nothing after it, and the process is killed. Nothing in the program knows of this: a switch inside
//! it would crash where somebody thought of it, and would have to be kept out of releases.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::{
    arena::{Arena, Cell, GLANCE},
    chance::Chance,
    judge::Evidence,
    wait, wish,
    workload::{Truth, insert},
};

/// Without a wish, one crash point of so many is tried, and not always the same.
const SPARSE: u64 = 8;
/// More messages than a life of this script has.
const ENDLESS: u64 = 1_000_000;
/// The transactions of the script, by how many events they have; after each fifth comes one that is rolled back.
const SCRIPT: [u64; 20] = [1, 3, 5, 1, 2, 8, 1, 4, 30, 1, 6, 2, 9, 3, 7, 1, 5, 2, 4, 5];
/// How many messages a life may have besides, at least: those of the start.
const START: u64 = 10;
/// After this time the broker has surely forgotten the ids of what it stored before, so it cannot be they that save us.
const FORGETTING: Duration = Duration::from_millis(400);
/// How long a crash point may take, with the start after it.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_crash_after_any_message_loses_repeats_reorders_and_confirms_nothing_wrongly() {
    let mut arena = Box::pin(Arena::build(&Cell::newest())).await;
    let client = arena.client().await;
    let life = Box::pin(life(&mut arena, &client)).await;
    let step = wish("CRASH_POINTS").map_or(SPARSE, |step| step.parse().unwrap());
    let first = 1 + Chance::new(Chance::seed("crash points")).below(step);
    let points: Vec<u64> = (first..=life).step_by(usize::try_from(step).unwrap()).collect();
    println!("a life of the script has {life} messages; crashes after {first}, {}, ...", first + step);
    assert!(life > START + SCRIPT.iter().sum::<u64>() && !points.is_empty());
    let mut crashes = 0;
    for point in &points {
        crashes += u64::from(Box::pin(crash_after(&mut arena, &client, *point)).await);
    }
    let evidence = Box::pin(evidence(&mut arena, &client)).await;
    let events = evidence.table.len();
    println!("{crashes} crashes at {} points, {events} events", points.len());
    let violations = evidence.judge();
    violations.iter().take(20).for_each(|violation| println!("  {violation}"));
    assert!(violations.is_empty(), "{} violations", violations.len());
    // The last points may lie behind the end of a life that was quicker, and so said less of its progress.
    assert!(crashes * 2 >= points.len() as u64, "most of the crashes did not happen");
}

/// Lets walpost do all of the script and stop; how many messages that took.
async fn life(arena: &mut Arena, client: &Client) -> u64 {
    script(client).await;
    let fuse = arena.runners[0].instance.messages.clone();
    fuse.light(ENDLESS);
    arena.runners[0].start();
    until_stored(arena, client).await;
    let found = arena.runners[0].stop().await;
    arena.misbehaviour.extend(found);
    let life = ENDLESS - fuse.left();
    fuse.put_out();
    life
}

/// Kills walpost after it has said so much, and lets the next one do the rest; whether it was killed.
async fn crash_after(arena: &mut Arena, client: &Client, point: u64) -> bool {
    script(client).await;
    let fuse = arena.runners[0].instance.messages.clone();
    fuse.light(point);
    arena.runners[0].start();
    let deadline = Instant::now() + PATIENCE;
    while fuse.is_lit() && !is_stored(arena, client).await {
        assert!(Instant::now() < deadline, "it neither crashes after {point} messages nor stores all");
        sleep(GLANCE).await;
    }
    // Without a crash the stop belongs to the life, too: its last words are messages.
    let was_killed = !fuse.is_lit();
    let found = if was_killed { arena.runners[0].kill().await } else { arena.runners[0].stop().await };
    let has_crashed = was_killed || !fuse.is_lit();
    if was_killed || !has_crashed {
        // Whoever is cut off during its stop cannot stop in good order.
        arena.misbehaviour.extend(found);
    }
    fuse.put_out();
    sleep(FORGETTING).await;
    arena.runners[0].start();
    until_stored(arena, client).await;
    let found = arena.runners[0].stop().await;
    arena.misbehaviour.extend(found);
    has_crashed
}

async fn script(client: &Client) {
    for (number, count) in (1..).zip(SCRIPT) {
        let key = format!("key {}", number % 7);
        let lock = format!("UPDATE aggregates SET version = version + {count} WHERE key = '{key}' RETURNING version");
        client.batch_execute("BEGIN").await.unwrap();
        let version: i64 = client.query_one(&lock, &[]).await.unwrap().get(0);
        let first = u64::try_from(version).unwrap() - count;
        client.batch_execute(&insert(&key, first, count, 20 * number)).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        if number % 5 == 0 {
            client.batch_execute(&format!("BEGIN; {}; ROLLBACK", insert(&key, 0, 3, 9))).await.unwrap();
        }
    }
}

async fn is_stored(arena: &Arena, client: &Client) -> bool {
    let committed: i64 = client.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get(0);
    arena.reader.last_sequence().await >= u64::try_from(committed).unwrap()
}

/// Waits until it leads and everything is stored.
pub(crate) async fn until_stored(arena: &mut Arena, client: &Client) {
    // It must lead, too: a process that was only just started does not know yet how to stop in good order.
    wait::until("it leads and all events are stored", async || {
        arena.look_after().await;
        arena.runners[0].phase().await == "leading" && is_stored(arena, client).await
    })
    .await;
}

/// What was committed, stored, seen, and done wrong.
pub(crate) async fn evidence(arena: &mut Arena, client: &Client) -> Evidence {
    let truth = Truth::read(client).await;
    let last = arena.reader.last_sequence().await;
    let stream = arena.reader.some(1..=last).await.iter().map(|stored| truth.compare(stored)).collect();
    let misbehaviour = std::mem::take(&mut arena.misbehaviour);
    Evidence { table: truth.rows, stream, journal: arena.journal.all(), misbehaviour }
}
