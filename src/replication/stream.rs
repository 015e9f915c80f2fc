//! A replication connection that streams.
//!
//! Reading is split in two, so that a caller can wait in one place and decide in another: [`ReplicationStream::fill`]
//! waits for bytes (and may be cancelled at any moment without losing one), [`ReplicationStream::next`] takes complete
//! frames without waiting.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use postgres_protocol::{escape::escape_identifier, message::frontend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    connection::ReplicationError,
    feedback::{Feedback, StatusUpdate},
    frame::{Frame, Framer},
};
use crate::{lsn::Lsn, postgres::Stream};

/// As much as is read at once, about: what a fast network brings within a millisecond or two, in which nobody may have
/// read.
const MOST_AT_ONCE: usize = 1024 * 1024;

/// What to stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartOptions {
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// Where to begin; [`Lsn::ZERO`] or anything below the slot's own position means the slot's position.
    pub start: Lsn,
}

impl StartOptions {
    /// The command. Protocol 1 makes the server keep a transaction until it commits and spill it to its own disk if it
    /// is large; `binary` spares both sides the text form of values.
    pub(super) fn command(&self) -> String {
        // The option's value is a list of identifiers inside a literal: quoted twice. The replication grammar knows no
        // backslash escapes, so only the quote is doubled.
        let publications = escape_identifier(&self.publication).replace('\'', "''");
        format!(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names '{publications}', binary 'true')",
            escape_identifier(&self.slot),
            self.start,
        )
    }
}

/// The stream of a walsender.
#[derive(Debug)]
pub struct ReplicationStream {
    stream: Stream,
    framer: Framer,
    feedback: Feedback,
    out: BytesMut,
}

impl ReplicationStream {
    pub(super) fn new(stream: Stream, received: &[u8], server_timeout: Duration) -> Self {
        let mut framer = Framer::default();
        framer.space().extend_from_slice(received);
        Self { stream, framer, feedback: Feedback::new(Instant::now(), server_timeout), out: BytesMut::new() }
    }

    /// Waits until the server has switched to streaming.
    pub(super) async fn wait_for_copy(&mut self) -> Result<(), ReplicationError> {
        loop {
            while let Some(frame) = self.next_frame()? {
                if frame == Frame::Other(b'W') {
                    return Ok(());
                }
            }
            self.fill().await?;
        }
    }

    /// Waits for bytes, and takes what else is here by then: an encrypted stream gives little at a time. Safe to cancel.
    pub async fn fill(&mut self) -> Result<(), ReplicationError> {
        let mut filled = self.stream.read_buf(self.framer.space()).await?;
        if filled == 0 {
            return Err(ReplicationError::Closed);
        }
        self.feedback.heard(Instant::now());
        // An end or a fault is told by the next call: what came before it is to be read first, and may say why.
        while filled < MOST_AT_ONCE {
            match self.stream.read_buf(self.framer.space()).now_or_never() {
                Some(Ok(more)) if more > 0 => filled += more,
                _ => break,
            }
        }
        Ok(())
    }

    /// The next complete frame, without waiting. Errors of the server and warnings that mean lost changes are errors
    /// here; other notices are logged.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReplicationError> {
        while let Some(frame) = self.framer.take_frame()? {
            match frame {
                Frame::Error(message) => return Err(ReplicationError::Server(message.into())),
                Frame::Notice(message) if message.reports_skipped_publication() => {
                    return Err(ReplicationError::PublicationSkipped(message.into()));
                }
                Frame::Notice(message) => tracing::warn!(notice = %message, "notice from Postgres"),
                Frame::CopyDone => return Err(ReplicationError::Closed),
                frame => return Ok(Some(frame)),
            }
        }
        Ok(None)
    }

    /// The account of what to report.
    pub fn feedback(&mut self) -> &mut Feedback {
        &mut self.feedback
    }

    /// Sends a status update if one is due.
    pub async fn report(&mut self, now: Instant) -> Result<(), ReplicationError> {
        match self.feedback.due(now) {
            Some(update) => self.send(update).await,
            None => Ok(()),
        }
    }

    /// Ends the stream in good order: a last status update, so that the next reader is sent nothing again, then
    /// `CopyDone`, then the server's own end, all before the deadline.
    pub async fn finish(mut self, deadline: Instant) -> Result<(), ReplicationError> {
        timeout_at(deadline, self.say_goodbye()).await.map_err(|_| ReplicationError::NoAnswer)?
    }

    async fn say_goodbye(&mut self) -> Result<(), ReplicationError> {
        let last = self.feedback.update(Instant::now());
        self.send(last).await?;
        frontend::copy_done(&mut self.out);
        self.write_out().await?;
        // The server may have log under way; it is read and dropped until the server is ready for another command.
        loop {
            while let Some(frame) = self.framer.take_frame()? {
                match frame {
                    Frame::Other(b'Z') => {
                        frontend::terminate(&mut self.out);
                        self.write_out().await?;
                        return Ok(self.stream.shutdown().await?);
                    }
                    Frame::Error(message) => return Err(ReplicationError::Server(message.into())),
                    _ => {}
                }
            }
            self.fill().await?;
        }
    }

    async fn send(&mut self, update: StatusUpdate) -> Result<(), ReplicationError> {
        update.encode(&mut self.out);
        self.write_out().await
    }

    /// Writes what is to be written. Safe to cancel: what is left goes first next time.
    async fn write_out(&mut self) -> Result<(), ReplicationError> {
        while !self.out.is_empty() {
            self.stream.write_buf(&mut self.out).await?;
        }
        Ok(self.stream.flush().await?)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Signs of life.
    fn frames(number: usize) -> Vec<u8> {
        [&b"d\x00\x00\x00\x16k"[..], &[0; 17]].concat().repeat(number)
    }

    fn taken(stream: &mut ReplicationStream) -> usize {
        std::iter::from_fn(|| stream.next_frame().unwrap()).count()
    }

    /// Both ends of a connection, of which one has read this already.
    async fn connected(received: &[u8]) -> (TcpStream, ReplicationStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (server, ReplicationStream::new(Stream::Tcp(socket), received, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn what_is_here_is_taken_at_once_although_one_read_has_no_room_for_it() {
        let (mut server, mut stream) = connected(&frames(9600)).await;
        let room = stream.framer.space().capacity() - 9600 * frames(1).len();
        let more = room / frames(1).len() + 600;
        let all = frames(more);
        server.write_all(&all).await.unwrap();
        let Stream::Tcp(socket) = &stream.stream else { unreachable!() };
        let mut seen = vec![0; all.len()];
        while socket.peek(&mut seen).await.unwrap() < all.len() {}
        stream.fill().await.unwrap();
        assert_eq!(taken(&mut stream), 9600 + more);
    }

    #[tokio::test]
    async fn the_end_is_told_behind_what_came_before_it() {
        let (mut server, mut stream) = connected(&[]).await;
        server.write_all(&frames(1000)).await.unwrap();
        drop(server);
        let mut seen = 0;
        while stream.fill().await.is_ok() {
            seen += taken(&mut stream);
        }
        assert_eq!(seen, 1000);
    }

    fn command(slot: &str, publication: &str) -> String {
        StartOptions { slot: slot.into(), publication: publication.into(), start: Lsn::new(0x1_0000_00A0) }.command()
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(
            command("9lives", "Mixed \"Case\", and 'more'"),
            "START_REPLICATION SLOT \"9lives\" LOGICAL 1/A0 (proto_version '1', \
             publication_names '\"Mixed \"\"Case\"\", and ''more''\"', binary 'true')"
        );
    }
}
