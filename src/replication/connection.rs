//! A logged-in replication connection, before it streams.
//!
//! In this state the walsender takes simple queries: replication commands and, since the connection names a database,
//! plain SQL.

use std::{io, time::Duration};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    escape::{escape_identifier, escape_literal},
    message::{
        backend::{DataRowBody, Header, Message},
        frontend,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    frame::FrameError,
    login::{Authentication, LoggedIn, log_in},
    server_message::ServerMessage,
    stream::{ReplicationStream, StartOptions},
    timeline::{TimelineError, TimelineHistory},
};
use crate::{
    lsn::{Lsn, LsnError},
    postgres::{ConnectError, Endpoint, Refusal, Refuses, Search, Stream},
};

/// Each command before streaming must be answered within this time. Long enough for a slow disk, short
/// enough that a server which hangs is noticed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The timeline of a new cluster, for which there is no history.
const FIRST_TIMELINE: u32 = 1;

/// Which cluster this is, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    /// The number that `initdb` drew for the cluster.
    pub system_id: u64,
    /// The current timeline.
    pub timeline: u32,
    /// The end of the log that is flushed.
    pub wal_end: Lsn,
}

/// The name of an exported snapshot, for `SET TRANSACTION SNAPSHOT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(pub String);

/// A walsender that waits for commands.
#[derive(Debug)]
pub struct Connection {
    conversation: Conversation,
    authentication: Authentication,
    process_id: Option<i32>,
}

impl Connection {
    /// Connects to the first host that will do, and logs in for replication of one database.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, ReplicationError> {
        let mut search = Search::among(&endpoint.renewed().await?);
        while let Some(host) = search.next_host() {
            match Self::open_to(&host).await {
                Ok(connection) => return Ok(connection),
                Err(error) => search.pass_over(&host, error)?,
            }
        }
        Err(search.failure().into())
    }

    async fn open_to(host: &Endpoint) -> Result<Self, ReplicationError> {
        let stream = Stream::open(host).await?;
        let mut conversation = Conversation { stream, buffer: BytesMut::with_capacity(8192) };
        let answered = timeout(host.login_timeout(), log_in(&mut conversation, host)).await;
        let LoggedIn { session, authentication, process_id } = answered.map_err(|_| ReplicationError::NoAnswer)??;
        host.session_attrs().judge(session).map_err(ConnectError::from)?;
        Ok(Self { conversation, authentication, process_id })
    }

    /// The process that serves it, if the server told.
    pub fn process_id(&self) -> Option<i32> {
        self.process_id
    }

    /// Asks which cluster this is.
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, ReplicationError> {
        let row = self.query_row("IDENTIFY_SYSTEM").await?;
        let field = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
        let odd = |_| ReplicationError::Unexpected("in the answer to IDENTIFY_SYSTEM");
        Ok(SystemIdentity {
            system_id: field(0).parse().map_err(odd)?,
            timeline: field(1).parse().map_err(odd)?,
            wal_end: field(2).parse()?,
        })
    }

    /// Asks which other timelines a timeline continues.
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<TimelineHistory, ReplicationError> {
        if timeline == FIRST_TIMELINE {
            return Ok(TimelineHistory::without_ancestors(timeline));
        }
        let row = self.query_row(&format!("TIMELINE_HISTORY {timeline}")).await?;
        // The name of the file, and what is in it.
        let text = row.get(1).and_then(Option::as_deref).unwrap_or_default();
        Ok(TimelineHistory::parse(timeline, text)?)
    }

    /// The server's `wal_sender_timeout`; zero when it has none.
    pub async fn wal_sender_timeout(&mut self) -> Result<Duration, ReplicationError> {
        let ms = self.setting("wal_sender_timeout").await?;
        let ms = ms.parse().map_err(|_| ReplicationError::Unexpected("in the answer about wal_sender_timeout"))?;
        Ok(Duration::from_millis(ms))
    }

    /// How the role proved who it is.
    pub fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// Whether somebody stands between: a pooler answers a login in its own name, with a number of its own for the
    /// process that serves the connection.
    pub async fn is_pooled(&mut self) -> Result<bool, ReplicationError> {
        let row = self.query_row("SELECT pg_catalog.pg_backend_pid()").await?;
        let serving = row.into_iter().next().flatten().and_then(|pid| pid.parse().ok());
        Ok(self.process_id != serving)
    }

    /// A setting of the server, in the unit that it is kept in.
    pub async fn setting(&mut self, name: &str) -> Result<String, ReplicationError> {
        let sql = format!("SELECT setting FROM pg_catalog.pg_settings WHERE name = {}", escape_literal(name));
        let row = self.query_row(&sql).await?;
        Ok(row.into_iter().next().flatten().unwrap_or_default())
    }

    /// Creates a slot for `pgoutput`, and exports the snapshot in which everything is visible that the slot will not send,
    /// and nothing that it will. The snapshot lives as long as this connection, until its next command.
    ///
    /// It takes until every transaction that is running has ended, however long that is.
    pub async fn create_slot(&mut self, slot: &str, fails_over: bool) -> Result<Snapshot, ReplicationError> {
        let options = if fails_over { " (FAILOVER)" } else { "" };
        let command = format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput{options}", escape_identifier(slot));
        let row = self.conversation.query_row(&command).await?;
        // The slot's name, its first position, the snapshot's name, the plugin.
        let snapshot = row.into_iter().nth(2).flatten();
        snapshot.map(Snapshot).ok_or(ReplicationError::Unexpected("in place of a snapshot's name"))
    }

    /// Makes the server flush its log: whatever has committed so far lies before its end then, also where nobody waited
    /// for that.
    pub async fn flush_log(&mut self) -> Result<(), ReplicationError> {
        self.query_row("SELECT pg_catalog.set_config('synchronous_commit', 'local', false)").await?;
        self.query_row("SELECT pg_catalog.pg_logical_emit_message(true, 'walpost', 'flush')").await?;
        Ok(())
    }

    /// Starts streaming.
    pub async fn start(mut self, options: &StartOptions) -> Result<ReplicationStream, ReplicationError> {
        let server_timeout = self.wal_sender_timeout().await?;
        let command = options.command();
        self.conversation.send(|out| frontend::query(&command, out)).await?;
        let Conversation { stream, buffer } = self.conversation;
        let mut starting = ReplicationStream::new(stream, &buffer, server_timeout);
        timeout(ANSWER_TIMEOUT, starting.wait_for_copy()).await.map_err(|_| ReplicationError::NoAnswer)??;
        Ok(starting)
    }

    /// Runs a command that answers with one row of text.
    async fn query_row(&mut self, sql: &str) -> Result<Vec<Option<String>>, ReplicationError> {
        timeout(ANSWER_TIMEOUT, self.conversation.query_row(sql)).await.map_err(|_| ReplicationError::NoAnswer)?
    }
}

/// Whole messages over a stream, one after the other.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: Stream,
    buffer: BytesMut,
}

impl Conversation {
    /// What the login can be bound to.
    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        self.stream.end_point()
    }

    /// Encodes a message and sends it.
    pub(super) async fn send(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), ReplicationError> {
        let mut out = BytesMut::new();
        encode(&mut out)?;
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// The next message. Errors of the server become ours; notices are logged and passed over.
    pub(super) async fn receive(&mut self) -> Result<Message, ReplicationError> {
        loop {
            if let Some(message) = self.parse()? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ReplicationError::Closed);
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Message>, ReplicationError> {
        while let Some(header) = Header::parse(&self.buffer)? {
            let total = usize::try_from(header.len()).map_err(|_| ReplicationError::Unexpected("as a length"))? + 1;
            if self.buffer.len() < total {
                return Ok(None);
            }
            if !matches!(header.tag(), b'E' | b'N') {
                return Ok(Message::parse(&mut self.buffer)?);
            }
            let whole = self.buffer.split_to(total);
            let message = ServerMessage::parse(whole.get(5..).unwrap_or_default());
            if header.tag() == b'E' {
                return Err(ReplicationError::Server(message.into()));
            }
            tracing::debug!(notice = %message, "notice from Postgres");
        }
        Ok(None)
    }

    async fn query_row(&mut self, sql: &str) -> Result<Vec<Option<String>>, ReplicationError> {
        self.send(|out| frontend::query(sql, out)).await?;
        let mut row = None;
        loop {
            match self.receive().await? {
                Message::DataRow(body) => row = Some(text_fields(&body)?),
                Message::ReadyForQuery(_) => return row.ok_or(ReplicationError::Unexpected("instead of a row")),
                _ => {}
            }
        }
    }
}

fn text_fields(body: &DataRowBody) -> Result<Vec<Option<String>>, ReplicationError> {
    let mut fields = Vec::new();
    let mut ranges = body.ranges();
    while let Some(range) = ranges.next()? {
        let bytes = range.and_then(|range| body.buffer().get(range));
        fields.push(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
    Ok(fields)
}

/// A replication connection that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// It could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The socket broke.
    #[error("the replication connection broke: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("Postgres closed the replication connection")]
    Closed,
    /// The server did not answer in time.
    #[error("Postgres does not answer on the replication connection")]
    NoAnswer,
    /// The server said no.
    #[error("{0}")]
    Server(Box<ServerMessage>),
    /// The server drops changes because the publication is gone.
    #[error("the publication is missing, and Postgres skips changes because of it ({0})")]
    PublicationSkipped(Box<ServerMessage>),
    /// The server asks for a password and there is none.
    #[error("Postgres asks for a password and none is configured")]
    NoPassword,
    /// The server asks for something that we cannot do.
    #[error("Postgres asks for authentication by {0}, which walpost does not support")]
    AuthenticationMethod(&'static str),
    /// Bytes that are no replication protocol.
    #[error("what came over the replication connection cannot be read")]
    Frame(#[from] FrameError),
    /// A position that cannot be read.
    #[error("a log position from Postgres cannot be read")]
    Position(#[from] LsnError),
    /// A history that cannot be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// A message that has no place there.
    #[error("an unexpected message came from Postgres {0}")]
    Unexpected(&'static str),
}

impl ReplicationError {
    /// The SQLSTATE of the server's answer, if it gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(message) | Self::PublicationSkipped(message) => Some(&message.code),
            _ => None,
        }
    }

    /// What to do about it, where more is known than the server's SQLSTATE tells.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PublicationSkipped(_) => Some(
                "the rows of that time are in the table, not in the log that the slot can read: create the publication, drop \
                 the slot, and run `walpost setup --existing-rows missing`, which sends these rows",
            ),
            Self::NoPassword => Some("set postgres.password or postgres.password_file"),
            Self::AuthenticationMethod(_) => {
                Some("let the role log in with scram-sha-256 (or md5, password) in the server's pg_hba.conf")
            }
            Self::Closed | Self::Io(_) => {
                Some("see in the server's log why the connection ended, and check the network to it")
            }
            Self::Frame(_) | Self::Position(_) | Self::Timeline(_) | Self::Unexpected(_) => {
                Some("connect to Postgres itself, without a pooler; if that does not help, report it with the versions")
            }
            Self::Connect(_) | Self::NoAnswer | Self::Server(_) => None,
        }
    }
}

impl Refuses for ReplicationError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Connect(error) => error.refusal(),
            Self::Io(_) | Self::Closed | Self::NoAnswer => Refusal::Away,
            Self::Server(message) => Refusal::of_sqlstate(&message.code),
            _ => Refusal::Final,
        }
    }
}
