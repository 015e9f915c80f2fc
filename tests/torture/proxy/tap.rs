//! One direction of one connection as whole messages.

use bytes::{Bytes, BytesMut};

use super::{nats, postgres};
use crate::journal::Seen;

/// A whole message, and what a witness can tell of it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// All its bytes.
    pub(super) bytes: Bytes,
    /// What it says, if that matters.
    pub(super) seen: Option<Seen>,
}

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Postgres.
    Postgres,
    /// NATS.
    Nats,
}

/// Cuts bytes into messages.
#[derive(Debug)]
pub(super) struct Tap {
    buffer: BytesMut,
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    ToPostgres(postgres::ToServer),
    FromPostgres(postgres::FromServer),
    ToNats(nats::ToServer),
    FromNats(nats::FromServer),
}

impl Tap {
    /// For both directions of a new connection: to the server, and from it.
    pub(super) fn pair(protocol: Protocol) -> (Self, Self) {
        let (up, down) = match protocol {
            Protocol::Postgres => {
                (Wire::ToPostgres(postgres::ToServer::default()), Wire::FromPostgres(postgres::FromServer::default()))
            }
            Protocol::Nats => {
                let (up, down) = nats::wire();
                (Wire::ToNats(up), Wire::FromNats(down))
            }
        };
        let tap = |wire| Self { buffer: BytesMut::with_capacity(ROOM_BYTES), wire };
        (tap(up), tap(down))
    }

    /// Where to put what is read.
    pub(super) fn space(&mut self) -> &mut BytesMut {
        self.buffer.reserve(ROOM_BYTES);
        &mut self.buffer
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<Message> {
        match &mut self.wire {
            Wire::ToPostgres(wire) => wire.next(&mut self.buffer),
            Wire::FromPostgres(wire) => wire.next(&mut self.buffer),
            Wire::ToNats(wire) => wire.next(&mut self.buffer),
            Wire::FromNats(wire) => wire.next(&mut self.buffer),
        }
    }
}

/// How much is read at once.
const ROOM_BYTES: usize = 64 * 1024;
