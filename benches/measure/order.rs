//! Holds the stream against the numbers of a producer with one session: each once, in order.

use serde_json::Value;

use crate::{
    producer::Producer,
    support::{stream::Reader, wait},
    world::{STREAM, World},
};

/// Ends the producer, waits until the stream holds everything, and counts what is wrong with it; how many there are.
pub(crate) async fn assert_each_once_in_order(world: &World, producer: Producer) -> u64 {
    let committed = producer.stop().await;
    let reader = Reader::connect(&world.nats.url(), STREAM).await;
    wait::until("all events are stored", async || reader.last_sequence().await >= committed).await;
    let number = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["n"].as_u64().unwrap();
    let numbers: Vec<u64> = reader.all().await.iter().map(|stored| number(&stored.body)).collect();
    let out_of_place = numbers.iter().zip(1..).filter(|(number, expected)| *number != expected).count();
    println!(
        "  {committed} events committed, {} stored, {out_of_place} lost, repeated or out of order\n",
        numbers.len()
    );
    assert!(out_of_place == 0 && numbers.len() as u64 == committed, "the stream is not what was committed");
    committed
}
