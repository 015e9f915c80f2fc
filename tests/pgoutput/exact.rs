//! Captured messages are messages as they are, and with a byte less or more they are none.

use crate::fixture;
use walpost::pgoutput::{DecodeError, Message};

#[test]
fn a_captured_message_cut_short_anywhere_is_refused() {
    for fixture in fixture::all() {
        for (number, wire) in fixture.messages().iter().enumerate() {
            for cut in 0..wire.len() {
                assert!(Message::decode(&wire[..cut]).is_err(), "{} message {number} cut at {cut}", fixture.name);
            }
        }
    }
}

#[test]
fn a_captured_message_with_a_byte_after_it_is_refused() {
    for fixture in fixture::all() {
        for mut wire in fixture.messages() {
            let offset = wire.len();
            wire.push(0);
            assert_eq!(Message::decode(&wire), Err(DecodeError::TooLong { offset, count: 1 }), "{}", fixture.name);
        }
    }
}
