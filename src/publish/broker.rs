//! The connection to NATS: one client, one inbox for all answers.
//!
//! It is the core client on purpose: `jetstream::Context::publish` gives every message a future, a timer and retries of
//! its own, which are in the way of order. Each [`Broker`] has an inbox of its own, so that a late answer to an earlier
//! session reaches nobody.

use std::{
    error::Error as _,
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, PublishErrorKind, ServerAddr, StatusCode, Subscriber,
    connection::State,
};
use futures_util::{FutureExt, StreamExt};
use tokio::{sync::mpsc, time::timeout};

use super::{
    message::{Message, SizeLimits},
    outcome::Outcome,
    server::ServerSaid,
    stream::{StreamError, StreamInspector},
};
use crate::secret_source::{SecretError, SecretSource, UrlFile};

/// Commands of the client besides messages: subscriptions, flushes, requests to JetStream's API.
const SPARE_COMMANDS: usize = 64;
/// Events that wait for somebody to look at them. Only the first matters, since it ends the session.
const EVENT_QUEUE: usize = 16;
/// A broker on the same continent answers within a few milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The only server that a client may come back to: nobody can listen on port 0.
const NO_WAY_BACK: &str = "nats://127.0.0.1:0";

/// How to reach and enter NATS.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// The servers; any of them will do.
    pub servers: Vec<ServerAddr>,
    /// How to log in.
    pub credentials: Credentials,
    /// Where both can be read again, if the URL stands in a file.
    pub url_file: Option<UrlFile<Entry>>,
    /// Certificates.
    pub tls: TlsFiles,
    /// What the subjects begin with that answers come to.
    pub inbox_prefix: String,
    /// The stream that answers must come from.
    pub stream: String,
    /// Messages that may be under way at once.
    pub max_in_flight: usize,
}

/// What a URL says: which servers, and how to log in.
pub type Entry = (Vec<ServerAddr>, Credentials);

/// How to log in to NATS.
#[derive(Clone)]
pub enum Credentials {
    /// Not at all. The client takes no credentials out of a URL either.
    None,
    /// By user name and password.
    UserPassword(String, SecretSource),
    /// By a token.
    Token(SecretSource),
    /// By a `.creds` file (JWT and seed).
    CredsFile(PathBuf),
    /// By an nkey seed.
    NkeySeed(SecretSource),
}

/// Certificates for TLS to NATS.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Encrypt even if the URL's scheme and the server do not ask for it.
    pub required: bool,
    /// PEM file with the authorities to trust besides those of the operating system.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Something that the connection tells of its own accord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerEvent {
    /// The connection broke; what was under way has an unknown fate.
    Disconnected,
    /// The server complains, for example about permissions; the message that caused it gets no answer.
    Complaint(String),
    /// Answers were lost because they were not taken up in time.
    AnswersLost,
    /// The server is about to shut down and wants its clients to leave.
    LameDuck,
}

/// What the broker has to say.
#[derive(Debug)]
pub enum Notice {
    /// The fate of one message.
    Answer(Answer),
    /// News about the connection.
    Event(BrokerEvent),
}

/// The answer to one message.
#[derive(Debug)]
pub struct Answer {
    /// The ticket that the message was published under.
    pub ticket: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// An open connection to NATS.
#[derive(Debug)]
pub struct Broker {
    client: Client,
    inbox: String,
    stream: String,
    answers: Subscriber,
    events: mpsc::Receiver<BrokerEvent>,
    /// What the server complained about first.
    complaint: Arc<OnceLock<String>>,
}

impl Broker {
    /// Connects, once: when the connection breaks, this value is of no more use and sends nothing more.
    pub async fn connect(options: &BrokerOptions) -> Result<Self, BrokerError> {
        let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
        let complaint = Arc::<OnceLock<String>>::default();
        let heard = Arc::clone(&complaint);
        let options = &options.renewed().await?;
        let connect = way_in(options)
            .await?
            // Room for the whole window: publishing then never waits for the client.
            .client_capacity(options.max_in_flight + SPARE_COMMANDS)
            .subscription_capacity(options.max_in_flight + SPARE_COMMANDS)
            .event_callback(move |event| {
                let (sender, heard) = (event_sender.clone(), Arc::clone(&heard));
                async move {
                    if let Some(event) = told(event) {
                        if let BrokerEvent::Complaint(text) = &event {
                            heard.get_or_init(|| text.clone());
                        }
                        // A full queue already holds an event that ends the session.
                        drop(sender.try_send(event));
                    }
                }
            });
        let client = Box::pin(connect.connect(&options.servers[..])).await.map_err(BrokerError::Connect)?;
        let inbox = client.new_inbox();
        let prepare = async {
            // By itself the client would connect again some time and send what still lies in its queue, while somebody
            // else has long continued from the end of the stream. That cannot be turned off, but be made to fail.
            client.set_server_pool(NO_WAY_BACK).await.map_err(|_| BrokerError::Closed)?;
            client.subscribe(format!("{inbox}.*")).await.map_err(|_| BrokerError::Closed)
        };
        // Between servers that let it in and then say something senseless the client goes to and fro for ever.
        let patience = CONNECT_TIMEOUT * 2 * u32::try_from(options.servers.len()).unwrap_or(u32::MAX);
        let answers = timeout(patience, prepare).await.map_err(|_| BrokerError::Lost)??;
        Ok(Self { client, inbox, stream: options.stream.clone(), answers, events, complaint })
    }

    /// Whether the connection still holds, as far as anybody knows.
    pub fn is_open(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The largest message that the server takes, headers included, in bytes.
    pub fn max_payload_bytes(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// How large a message may be, by the server and by the stream as they are now. The client hears nothing of a server
    /// that is told another limit while it is connected, so each session asks anew.
    pub async fn size_limits(&self) -> Result<SizeLimits, StreamError> {
        let max_message_bytes = self.inspector().max_message_bytes().await?;
        Ok(SizeLimits { max_payload_bytes: self.max_payload_bytes(), max_message_bytes })
    }

    /// What the server says of itself.
    pub fn server(&self) -> ServerSaid {
        ServerSaid::of(&self.client.server_info())
    }

    /// The server's version.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// What the stream is and holds, asked of its leader.
    pub fn inspector(&self) -> StreamInspector {
        StreamInspector::new(&self.client, &self.stream, Arc::clone(&self.complaint))
    }

    /// Hands the message to the client; its answer will name `ticket`.
    ///
    /// With at most `max_in_flight` messages under way this does not wait.
    pub async fn publish(&self, message: Message, ticket: u64) -> Result<(), BrokerError> {
        let mut number = itoa::Buffer::new();
        let reply = [self.inbox.as_str(), number.format(ticket)].join(".");
        let Message { subject, headers, payload } = message;
        let sent = self.client.publish_with_reply_and_headers(subject, reply, headers.into_map(), payload).await;
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::Send => BrokerError::Closed,
            _ => BrokerError::Publish(error),
        })
    }

    /// Breaks the connection instead of letting the client send what still lies in its queue. A client that is stuck in
    /// a write cannot be told; what it had taken up may still go out, and the chain refuses it then.
    pub fn abandon(self) {
        drop(self.client.force_reconnect().now_or_never());
    }

    /// Waits for an answer or an event, events first. Safe to cancel.
    pub async fn notice(&mut self) -> Result<Notice, BrokerError> {
        let answer = tokio::select! {
            biased;
            event = self.events.recv() => return Ok(Notice::Event(event.unwrap_or(BrokerEvent::Disconnected))),
            answer = self.answers.next() => answer,
        };
        self.read_answer(&answer.ok_or(BrokerError::Closed)?).map(Notice::Answer)
    }

    /// The next answer or event if one is here already.
    pub fn notice_now(&mut self) -> Result<Option<Notice>, BrokerError> {
        self.notice().now_or_never().transpose()
    }

    fn read_answer(&self, message: &async_nats::Message) -> Result<Answer, BrokerError> {
        let token = message.subject.rsplit('.').next().unwrap_or_default();
        let ticket = token.parse().map_err(|_| BrokerError::Answer(token.to_owned()))?;
        let outcome = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Outcome::NoResponders,
            _ => Outcome::read(&message.payload, &self.stream),
        };
        Ok(Answer { ticket, outcome })
    }
}

/// A connection that comes back by itself, for those who write nothing that could come too late.
pub async fn lasting_client(options: &BrokerOptions, name: &str) -> Result<Client, BrokerError> {
    let options = &options.renewed().await?;
    let connect = way_in(options).await?.name(name).max_reconnects(None).request_timeout(Some(CONNECT_TIMEOUT));
    Box::pin(connect.connect(&options.servers[..])).await.map_err(BrokerError::Connect)
}

impl BrokerOptions {
    /// The same as the file of the URL says it now.
    pub(super) async fn renewed(&self) -> Result<Self, BrokerError> {
        let Some(file) = &self.url_file else { return Ok(self.clone()) };
        let read = file.read().await;
        let (servers, credentials) =
            read.map_err(|SecretError { path, source }| BrokerError::UrlFile { path, source })?;
        Ok(Self { servers, credentials, ..self.clone() })
    }
}

/// How a connection is made that is made once.
pub(super) async fn way_in(options: &BrokerOptions) -> Result<ConnectOptions, BrokerError> {
    let connect = log_in(tls(ConnectOptions::new(), &options.tls), &options.credentials).await?;
    Ok(connect
        .name("walpost")
        .custom_inbox_prefix(options.inbox_prefix.clone())
        .connection_timeout(CONNECT_TIMEOUT)
        .ignore_discovered_servers()
        // For the first connection each server is tried once.
        .max_reconnects(options.servers.len())
        .skip_subject_validation(true))
}

fn told(event: Event) -> Option<BrokerEvent> {
    match event {
        Event::Disconnected | Event::Closed | Event::Draining => Some(BrokerEvent::Disconnected),
        Event::SlowConsumer(_) => Some(BrokerEvent::AnswersLost),
        Event::LameDuckMode => Some(BrokerEvent::LameDuck),
        Event::ServerError(error) => Some(BrokerEvent::Complaint(error.to_string())),
        Event::ClientError(error) => Some(BrokerEvent::Complaint(error.to_string())),
        Event::Connected => None,
    }
}

fn tls(options: ConnectOptions, files: &TlsFiles) -> ConnectOptions {
    let mut options = options.require_tls(files.required);
    if let Some(ca) = &files.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &files.client {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options
}

async fn log_in(options: ConnectOptions, credentials: &Credentials) -> Result<ConnectOptions, BrokerError> {
    Ok(match credentials {
        Credentials::None => options,
        Credentials::UserPassword(user, password) => options.user_and_password(user.clone(), password.read().await?),
        Credentials::Token(token) => options.token(token.read().await?),
        Credentials::NkeySeed(seed) => options.nkey(seed.read().await?),
        Credentials::CredsFile(path) => {
            let file = |source| BrokerError::CredsFile { path: path.display().to_string(), source };
            options.credentials_file(path).await.map_err(file)?
        }
    })
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

/// NATS cannot be reached or went away.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The file of credentials cannot be used.
    #[error("the NATS credentials in {path} cannot be used: {source}")]
    CredsFile {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file of the URL cannot be used.
    #[error("the URL of NATS in {path} cannot be used: {source}")]
    UrlFile {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No connection.
    #[error("cannot connect to NATS: {0}")]
    Connect(async_nats::ConnectError),
    /// The client ended.
    #[error("the NATS client has closed its connection")]
    Closed,
    /// The client connects again and again and does nothing else any more.
    #[error("NATS breaks every connection as soon as it is made")]
    Lost,
    /// The client refused a message.
    #[error("the NATS client did not take a message: {0}")]
    Publish(async_nats::PublishError),
    /// An answer to something that we did not send.
    #[error("an answer from NATS came to an unknown address ({0:?})")]
    Answer(String),
}

impl From<SecretError> for BrokerError {
    fn from(SecretError { path, source }: SecretError) -> Self {
        Self::CredsFile { path, source }
    }
}

impl BrokerError {
    /// Whether the connection was there, and encryption was not. The client calls most of that an error of the socket.
    pub fn is_about_tls(&self) -> bool {
        let Self::Connect(error) = self else { return false };
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).and_then(io::Error::get_ref);
        error.kind() == ConnectErrorKind::Tls || cause.is_some_and(|cause| cause.is::<rustls::Error>())
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            error if error.is_about_tls() => {
                Some("check tls_ca, tls_cert and tls_key under [nats], and the name in the certificate")
            }
            Self::Connect(error) => Some(match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    "NATS refuses the login: check creds_file, nkey, user, password or token under [nats]"
                }
                ConnectErrorKind::Dns => "the host name of nats.url is unknown: check its spelling and the resolver",
                _ => "check that nats.url is right and that the server runs and can be reached from here",
            }),
            Self::CredsFile { .. } => Some("check the file that [nats] names, and that walpost may read it"),
            Self::UrlFile { .. } => Some("check the file that nats.url_file names, and that walpost may read it"),
            Self::Closed | Self::Publish(_) => {
                Some("check that the NATS server runs, is not overloaded, and can be reached from here")
            }
            Self::Lost => Some("see whether it is a NATS server that nats.url leads to, and its log"),
            Self::Answer(_) => Some("nothing if it passes: walpost connects anew; otherwise report it"),
        }
    }
}
