//! For how long events stand still: when the leader hands over, when it is killed, and when the broker is away.
//!
//! `make bench-availability`, or `cargo bench --bench availability -- --rounds 100 --outage-seconds 300`. A producer
//! commits one event a transaction at a steady rate, and a subscriber notes when each message passes the broker. The time
//! of a change of leader is the longest silence around it: what a consumer feels, with the steady rate's own pause in it.
//! At the end the stream is held against the producer's numbers: each once, in order.
#![allow(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run should say so at once"
)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "wall time is what is measured")]

mod arrivals;
mod outage;
mod producer;
#[path = "../../tests/support"]
#[allow(dead_code, reason = "the parts that tests need too")]
mod support {
    pub(crate) mod daemon;
    pub(crate) mod stream;
    pub(crate) mod wait;
}
mod takeover;

use walpost::sandbox::servers::{NatsOptions, PostgresOptions, PrivateNats, PrivatePostgres};

use producer::Producer;
use support::{daemon::Settings, stream::Reader, wait};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (rounds, outage_seconds) = (argument("--rounds", 100), argument("--outage-seconds", 300));
        takeover::measure(rounds).await;
        outage::measure(outage_seconds).await;
    });
}

/// The number behind a flag; cargo's own arguments are passed over.
fn argument(name: &str, default: u32) -> u32 {
    let arguments: Vec<String> = std::env::args().collect();
    let value = arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    value.map_or(default, |text| text.parse().unwrap())
}

/// Private servers, set up.
struct World {
    postgres: PrivatePostgres,
    nats: PrivateNats,
    settings: Settings,
}

impl World {
    async fn begin() -> Self {
        let postgres = PrivatePostgres::start(PostgresOptions::default()).await.unwrap();
        let nats = PrivateNats::start(NatsOptions::default()).await.unwrap();
        let settings = Settings::new(&postgres.url(), &nats.url());
        settings.set_up().await;
        Self { postgres, nats, settings }
    }

    /// Waits until the stream holds everything, and counts what is wrong with it.
    async fn assert_each_once_in_order(&self, producer: Producer) {
        let committed = producer.stop().await;
        let reader = Reader::connect(&self.nats.url(), "OUTBOX").await;
        wait::until("all events are stored", async || reader.last_sequence().await >= committed).await;
        let numbers: Vec<u64> = reader
            .all()
            .await
            .iter()
            .map(|stored| serde_json::from_slice::<serde_json::Value>(&stored.body).unwrap()["n"].as_u64().unwrap())
            .collect();
        let out_of_place = numbers.iter().zip(1..).filter(|(number, expected)| *number != expected).count();
        println!(
            "  {committed} events committed, {} stored, {out_of_place} lost, repeated or out of order\n",
            numbers.len()
        );
        assert!(out_of_place == 0 && numbers.len() as u64 == committed, "the stream is not what was committed");
    }
}
