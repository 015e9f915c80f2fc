//! Free loopback ports.
//!
//! A port is free when it can be bound, and may be taken a moment later: whoever starts a server on it must be ready to
//! try another. Ports come from below the range from which the system takes the ports of *outgoing* connections.
//! In that range a client that keeps dialling a stopped server's port is one day given this very port as its own, connects to
//! itself, and the server cannot come back.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use uuid::Uuid;

/// The first port to choose from: above the ports of well-known services.
const LOWEST: u16 = 16_000;

/// How many ports to choose from: up to 31 999, below Linux's 32 768 and macOS's 49 152.
const COUNT: u16 = 16_000;

/// How often to try before concluding that something else is wrong.
const ATTEMPTS: usize = 200;

/// A port that is free now.
pub(super) fn free() -> io::Result<u16> {
    let mut refusal = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let (_, random, ..) = Uuid::new_v4().as_fields();
        let port = LOWEST + random % COUNT;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Whether a server's log says that its port was taken.
pub(super) fn is_taken(log: &str) -> bool {
    log.to_ascii_lowercase().contains("address already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound_and_lies_below_the_outgoing_ones() {
        let port = free().unwrap();
        assert!((LOWEST..LOWEST + COUNT).contains(&port));
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn both_servers_ways_of_saying_it_are_understood() {
        assert!(is_taken(r#"LOG:  could not bind IPv4 address "127.0.0.1": Address already in use"#));
        assert!(is_taken("[FTL] Error listening on port: listen tcp 127.0.0.1:4222: bind: address already in use"));
        assert!(!is_taken("LOG:  database system is ready to accept connections"));
    }
}
