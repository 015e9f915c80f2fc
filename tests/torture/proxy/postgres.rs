//! The protocol of Postgres, as far as a witness must understand it: where a message ends, and those of replication.
//!
//! Taken apart by hand, so that nothing of the program's own decoder is trusted
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>,
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>).

use bytes::{Bytes, BytesMut};
use uuid::Uuid;
use walpost::lsn::Lsn;

use super::tap::Message;
use crate::journal::Seen;

/// What goes to the server. The first message has no tag.
#[derive(Debug, Default)]
pub(super) struct ToServer {
    has_begun: bool,
}

/// What comes from the server.
#[derive(Debug, Default)]
pub(super) struct FromServer {
    commit_lsn: Lsn,
    ids: Vec<Uuid>,
}

impl ToServer {
    /// Takes the next whole message.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Option<Message> {
        let bytes = take(buffer, usize::from(self.has_begun))?;
        let is_status = self.has_begun && bytes.first() == Some(&b'd') && bytes.get(5) == Some(&b'r');
        self.has_begun = true;
        // Tag, length, `r`, then written, flushed, applied.
        let seen = is_status.then(|| Seen::Status { flushed: lsn(&bytes[14..]).max(lsn(&bytes[22..])) });
        Some(Message { bytes, seen })
    }
}

impl FromServer {
    /// Takes the next whole message.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Option<Message> {
        let bytes = take(buffer, 1)?;
        // Tag, length, `w`, start, end, clock, then the message of the output plugin.
        let is_log = bytes.first() == Some(&b'd') && bytes.get(5) == Some(&b'w');
        let seen = if is_log { self.log(&bytes[30..]) } else { None };
        Some(Message { bytes, seen })
    }

    fn log(&mut self, data: &[u8]) -> Option<Seen> {
        match data.first()? {
            b'B' => {
                self.commit_lsn = lsn(&data[1..]);
                self.ids.clear();
            }
            // Relation (4), `N`, columns (2), then for each column: its form, its length (4), its bytes.
            b'I' => self.ids.push(id(data[8], &data[9..])),
            b'C' => {
                let ids = std::mem::take(&mut self.ids);
                return Some(Seen::Transaction { commit_lsn: self.commit_lsn, end_lsn: lsn(&data[10..]), ids });
            }
            _ => {}
        }
        None
    }
}

/// A message behind a tag of so many bytes: its length counts itself.
fn take(buffer: &mut BytesMut, tag_bytes: usize) -> Option<Bytes> {
    let length = buffer.get(tag_bytes..tag_bytes + 4)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
    (buffer.len() >= tag_bytes + length).then(|| buffer.split_to(tag_bytes + length).freeze())
}

fn id(form: u8, column: &[u8]) -> Uuid {
    let (length, rest) = column.split_at(4);
    let length = usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
    match form {
        b'b' => Uuid::from_slice(&rest[..length]).unwrap(),
        _ => Uuid::parse_str(str::from_utf8(&rest[..length]).unwrap()).unwrap(),
    }
}

fn lsn(bytes: &[u8]) -> Lsn {
    Lsn::new(u64::from_be_bytes(bytes[..8].try_into().unwrap()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], &length.to_be_bytes()[..], body].concat()
    }

    fn log(data: &[u8]) -> Vec<u8> {
        message(b'd', &[b"w", &[0; 24][..], data].concat())
    }

    #[test]
    fn a_status_tells_the_larger_one_of_flushed_and_applied() {
        let startup = [&12u32.to_be_bytes()[..], &[0, 3, 0, 0], &[0; 4]].concat();
        let positions = [9u64, 5, 7, 0].map(u64::to_be_bytes).concat();
        let status = message(b'd', &[&b"r"[..], &positions, &[0]].concat());
        let mut buffer = BytesMut::from(&[&startup[..], &status].concat()[..]);
        let mut wire = ToServer::default();
        assert_eq!(wire.next(&mut buffer).unwrap().seen, None);
        assert_eq!(wire.next(&mut buffer).unwrap().seen, Some(Seen::Status { flushed: Lsn::new(7) }));
        assert!(buffer.is_empty() && wire.next(&mut buffer).is_none());
    }

    #[test]
    fn a_transaction_is_seen_at_its_end_with_all_its_rows() {
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let begin = [&b"B"[..], &100u64.to_be_bytes(), &[0; 12]].concat();
        let row = |id: Uuid| [&b"I\0\0\0\x01N\0\x01b"[..], &16u32.to_be_bytes(), id.as_bytes()].concat();
        let commit = [&b"C\0"[..], &100u64.to_be_bytes(), &120u64.to_be_bytes(), &[0; 8]].concat();
        let all = [begin, row(ids[0]), row(ids[1]), commit].map(|data| log(&data)).concat();
        let (mut wire, mut buffer, mut seen) = (FromServer::default(), BytesMut::new(), Vec::new());
        // Byte by byte: nothing is taken before it is whole.
        for byte in all {
            buffer.extend_from_slice(&[byte]);
            seen.extend(wire.next(&mut buffer).and_then(|message| message.seen));
        }
        let (commit_lsn, end_lsn) = (Lsn::new(100), Lsn::new(120));
        assert_eq!(seen, [Seen::Transaction { commit_lsn, end_lsn, ids: ids.to_vec() }]);
    }
}
