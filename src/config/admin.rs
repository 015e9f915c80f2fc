//! `[admin]`: the port for health, metrics and status.

use std::net::SocketAddr;

use super::{
    keys,
    problem::{Reason, quoted},
    reader::Reader,
};

/// The admin port.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Admin {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let listen = reader.required(&keys::ADMIN_LISTEN, |text| {
            text.parse().map_err(|_| {
                let reason = Reason::new(format!("{} is not an IP address and a port", quoted(text)));
                reason.hint(keys::ADMIN_LISTEN.kind().describe())
            })
        });
        Some(Self { listen: listen? })
    }
}
