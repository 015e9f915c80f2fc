//! Cuts the bytes of a replication connection into frames; pure.
//!
//! All frames come out of one buffer without being copied: a [`Frame::Log`] is a slice of what the socket delivered.
//! Layouts: <https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION>.

use bytes::{Buf, Bytes, BytesMut};

use super::server_message::ServerMessage;
use crate::lsn::Lsn;

/// Tag byte and length word.
const HEADER_BYTES: usize = 5;
/// The longest message that Postgres itself allows is 1 GiB; a longer length is not Postgres talking.
const MAX_FRAME_BYTES: usize = 1 << 30;
/// How much room is made at once: more than most frames ever need.
const MAX_ROOM_BYTES: usize = 1 << 20;
/// Room for a read: several dozen small messages in one system call.
const READ_BYTES: usize = 256 * 1024;
/// Less free room than this and the buffer is extended before the next read.
const MIN_READ_BYTES: usize = 32 * 1024;

/// One message of a replication stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Decoded log: a message of the output plugin.
    Log {
        /// Where the record begins; zero for relation messages, so it is no position to go by.
        start: Lsn,
        /// The plugin's message.
        data: Bytes,
    },
    /// A sign of life.
    Keepalive {
        /// Everything that commits at or before this position has been sent.
        wal_end: Lsn,
        /// The server wants an answer now.
        reply_requested: bool,
    },
    /// The server refuses or gives up.
    Error(ServerMessage),
    /// The server remarks something.
    Notice(ServerMessage),
    /// The server ended the stream.
    CopyDone,
    /// A message that carries nothing for us (`CommandComplete`, `ParameterStatus`, `ReadyForQuery`).
    Other(u8),
}

/// The buffer between socket and frames.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
}

impl Framer {
    /// The buffer to read into, with room for at least one good read.
    pub fn space(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < MIN_READ_BYTES {
            // A frame that is larger than one read gets its room in few pieces: little growing and copying, and no more room
            // for a length that a server only made up.
            let missing = self.pending_frame_bytes().saturating_sub(self.buffer.len());
            self.buffer.reserve(missing.clamp(READ_BYTES, MAX_ROOM_BYTES));
        }
        &mut self.buffer
    }

    /// Takes the next complete frame out of the buffer; `None` until more bytes arrive.
    pub fn take_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((tag, total)) = self.header()? else { return Ok(None) };
        if self.buffer.len() < total {
            return Ok(None);
        }
        let mut body = self.buffer.split_to(total).freeze();
        body.advance(HEADER_BYTES);
        Ok(Some(match tag {
            b'd' => copy_data(body)?,
            b'E' => Frame::Error(ServerMessage::parse(&body)),
            b'N' => Frame::Notice(ServerMessage::parse(&body)),
            b'c' => Frame::CopyDone,
            other => Frame::Other(other),
        }))
    }

    /// Tag and total size of the frame at the front, if its header is here.
    fn header(&self) -> Result<Option<(u8, usize)>, FrameError> {
        let Some((&[tag, a, b, c, d], _)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes([a, b, c, d]);
        match usize::try_from(length) {
            // The length counts itself but not the tag.
            Ok(length) if (4..MAX_FRAME_BYTES).contains(&length) => Ok(Some((tag, length + 1))),
            _ => Err(FrameError::Length { tag, length }),
        }
    }

    fn pending_frame_bytes(&self) -> usize {
        self.header().ok().flatten().map_or(0, |(_, total)| total)
    }
}

fn copy_data(mut body: Bytes) -> Result<Frame, FrameError> {
    let short = FrameError::Short { bytes: body.len() };
    match body.try_get_u8().map_err(|_| short.clone())? {
        b'w' => {
            let start = lsn(&mut body).ok_or(short.clone())?;
            let _sent_end = lsn(&mut body).ok_or(short.clone())?;
            let _server_clock = body.try_get_i64().map_err(|_| short)?;
            Ok(Frame::Log { start, data: body })
        }
        b'k' => {
            let wal_end = lsn(&mut body).ok_or(short.clone())?;
            let _server_clock = body.try_get_i64().map_err(|_| short.clone())?;
            let reply_requested = body.try_get_u8().map_err(|_| short)? != 0;
            Ok(Frame::Keepalive { wal_end, reply_requested })
        }
        tag => Err(FrameError::CopyTag(tag)),
    }
}

fn lsn(body: &mut Bytes) -> Option<Lsn> {
    body.try_get_u64().ok().map(Lsn::new)
}

/// Bytes that are no replication protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length below the header's own or beyond what Postgres allows.
    #[error("message {:?} claims a length of {length} bytes", char::from(*tag))]
    Length {
        /// The message's tag.
        tag: u8,
        /// What its length word says.
        length: i32,
    },
    /// A `CopyData` message that ends inside its own header.
    #[error("a replication message of {bytes} bytes is too short")]
    Short {
        /// Its size.
        bytes: usize,
    },
    /// Neither log nor keepalive.
    #[error("unknown replication message {:?}", char::from(*.0))]
    CopyTag(u8),
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use proptest::prelude::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.put_i32(i32::try_from(body.len()).unwrap() + 4);
        bytes.extend_from_slice(body);
        bytes
    }

    fn encode(frame: &Frame) -> Vec<u8> {
        let mut body = Vec::new();
        match frame {
            Frame::Log { start, data } => {
                body.put_u8(b'w');
                body.put_u64(start.as_u64());
                body.put_u64(start.as_u64());
                body.put_i64(7);
                body.extend_from_slice(data);
                message(b'd', &body)
            }
            Frame::Keepalive { wal_end, reply_requested } => {
                body.put_u8(b'k');
                body.put_u64(wal_end.as_u64());
                body.put_i64(7);
                body.put_u8(u8::from(*reply_requested));
                message(b'd', &body)
            }
            Frame::CopyDone => message(b'c', &[]),
            Frame::Other(tag) => message(*tag, b"whatever"),
            Frame::Error(_) | Frame::Notice(_) => unreachable!("not generated"),
        }
    }

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let frame = prop_oneof![
            (any::<u64>(), prop::collection::vec(any::<u8>(), 0..400))
                .prop_map(|(lsn, data)| Frame::Log { start: Lsn::new(lsn), data: data.into() }),
            (any::<u64>(), any::<bool>())
                .prop_map(|(lsn, reply_requested)| Frame::Keepalive { wal_end: Lsn::new(lsn), reply_requested }),
            Just(Frame::CopyDone),
            Just(Frame::Other(b'S')),
        ];
        prop::collection::vec(frame, 0..20)
    }

    /// Feeds the bytes in pieces of the given sizes, over and over, and takes what comes out.
    fn cut(bytes: &[u8], sizes: &[usize]) -> Result<Vec<Frame>, FrameError> {
        let mut framer = Framer::default();
        let (mut taken, mut rest) = (Vec::new(), bytes);
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            framer.space().extend_from_slice(now);
            rest = later;
            while let Some(frame) = framer.take_frame()? {
                taken.push(frame);
            }
            if rest.is_empty() {
                return Ok(taken);
            }
        }
        Ok(taken)
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_frames(
            frames in frames(),
            sizes in prop::collection::vec(1usize..90, 1..6),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(encode).collect();
            prop_assert_eq!(cut(&bytes, &sizes), Ok(frames));
        }

        #[test]
        fn any_bytes_give_frames_or_an_error(bytes: Vec<u8>, sizes in prop::collection::vec(1usize..90, 1..6)) {
            let _outcome = cut(&bytes, &sizes);
        }
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_allocated() {
        for length in [-1, 0, 3, i32::MIN, i32::MAX] {
            let mut bytes = vec![b'd'];
            bytes.put_i32(length);
            assert_eq!(cut(&bytes, &[1]), Err(FrameError::Length { tag: b'd', length }));
        }
    }

    #[test]
    fn short_and_unknown_copy_data_is_refused() {
        assert_eq!(cut(&message(b'd', b""), &[9]), Err(FrameError::Short { bytes: 0 }));
        assert_eq!(cut(&message(b'd', b"w123"), &[9]), Err(FrameError::Short { bytes: 4 }));
        assert_eq!(cut(&message(b'd', b"k1234567812345678"), &[9]), Err(FrameError::Short { bytes: 17 }));
        assert_eq!(cut(&message(b'd', b"z"), &[9]), Err(FrameError::CopyTag(b'z')));
    }
}
