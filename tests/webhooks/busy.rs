//! Five endpoints, of which one is down, one slow, one flapping; kills of workers and of the broker; nobody who is well
//! notices those who are not.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    hooks::Hooks,
    place::{AT_ONCE, Place, endpoint},
    support::{chance::Chance, daemon::Daemon},
    wait,
};

/// How many events are recorded.
const EVENTS: usize = 10_000;
/// How many of them at a time.
const PORTION: usize = 400;
/// How often a worker is killed; every fourth time it is the broker.
const KILLS: u64 = 25;

#[tokio::test]
async fn ten_thousand_events_reach_five_endpoints_through_twenty_five_kills() {
    let mut chance = Chance::new(Chance::seed("busy"));
    let (well, well_too) = (Hooks::start(200, AT_ONCE).await, Hooks::start(204, AT_ONCE).await);
    let (slow, flapping) = (Hooks::start(200, Duration::from_millis(20)).await, Hooks::start(0, AT_ONCE).await);
    // A third of its answers are errors: with this many none of ten thousand events runs out of attempts.
    let often = format!("retries = {:?}", ["10ms"; 30]);
    let ordered = "ordering = \"aggregate\"\nconcurrency = 64";
    let endpoints = [
        endpoint("well", &well.url(), "start = \"all\""),
        endpoint("well-too", &well_too.url(), &format!("start = \"all\"\n{ordered}")),
        endpoint("slow", &slow.url(), &format!("start = \"all\"\n{ordered}")),
        endpoint("flapping", &flapping.url(), &format!("start = \"all\"\n{ordered}\n{often}")),
        endpoint("down", "http://127.0.0.1:1/", "start = \"all\"\nretries = [\"20ms\"]\nconcurrency = 64"),
    ];
    let mut place = Place::set(&endpoints.concat()).await;
    let mut workers: Vec<Daemon> = vec![place.worker(), place.worker()];
    let mut recorded = 0;
    for turn in 0..KILLS {
        if recorded < EVENTS {
            place.record(PORTION, 500).await;
            recorded += PORTION;
        }
        let before = well.taken().len();
        wait::until("something is taken", async || well.taken().len() > before || before == recorded).await;
        sleep(Duration::from_millis(chance.below(300))).await;
        if turn % 5 == 4 {
            place.stage.broker.kill().await.unwrap();
            place.stage.broker.restart().await.unwrap();
        } else {
            let victim = usize::from(chance.percent(50));
            workers[victim].kill().await;
            workers[victim] = place.worker();
        }
    }
    let expected = place.committed().await;
    assert_eq!(expected.len(), EVENTS);
    place.stage.until_stored(EVENTS as u64).await;
    for (name, hooks) in [("well", &well), ("well-too", &well_too), ("slow", &slow), ("flapping", &flapping)] {
        wait::within(Duration::from_secs(180), "everything is taken", async || hooks.taken() == expected).await;
        let sent = hooks.all().iter().filter(|hook| hook.status < 300).count();
        println!("{name}: {} of {EVENTS} events, {} came again", hooks.taken().len(), sent - EVENTS);
    }
    wait::within(Duration::from_secs(180), "the dead one's are dead letters", async || {
        place.count_dead("down").await == EVENTS as u64
    })
    .await;
    let sequences = place.sequences().await;
    for hooks in [&well_too, &slow, &flapping] {
        hooks.assert_order(&sequences);
    }
    place.stage.until_confirmed().await;
    for worker in workers {
        println!("memory: {} KiB", worker.peak_memory_kib());
        assert!(worker.peak_memory_kib() < 128 * 1024);
        assert_eq!(worker.terminate().await, 0);
    }
}
