//! A replication connection that streams.
//!
//! Reading is split in two, so that a caller can wait in one place and decide in another: [`ReplicationStream::fill`]
//! waits for bytes (and may be cancelled at any moment without losing one), [`ReplicationStream::next`] takes complete
//! frames without waiting.

use std::time::Duration;

use bytes::BytesMut;
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

    /// Waits for bytes. Safe to cancel.
    pub async fn fill(&mut self) -> Result<(), ReplicationError> {
        match self.stream.read_buf(self.framer.space()).await? {
            0 => Err(ReplicationError::Closed),
            _ => {
                self.feedback.heard(Instant::now());
                Ok(())
            }
        }
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
    use super::*;

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
