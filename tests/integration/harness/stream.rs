//! NATS servers of every installed version, and what their streams hold.

use std::{collections::BTreeMap, sync::LazyLock};

use async_nats::{
    Client,
    jetstream::{self, Context, stream::RawMessageErrorKind},
};
use tokio::sync::OnceCell;
use walpost::{
    publish::{Broker, BrokerOptions, Credentials, TlsFiles},
    sandbox::servers::{NatsBinary, NatsOptions, Places, PrivateNats},
};

use super::within;

/// What was found on this machine.
static INSTALLED: LazyLock<Vec<NatsBinary>> = LazyLock::new(|| {
    let all = NatsBinary::all_installed(&Places::from_environment());
    assert!(!all.is_empty(), "no NATS server is installed: run `make tools`");
    all
});

/// The servers that most tests share: no login, no TLS.
static OPEN: OnceCell<Vec<PrivateNats>> = OnceCell::const_new();

/// Runs a test on a shared server of each version. Streams and subjects are the test's own if it names them so.
pub(crate) async fn on_every_nats(test: impl AsyncFn(&'static PrivateNats)) {
    let start = async || {
        let mut servers = Vec::new();
        for binary in INSTALLED.iter() {
            servers.push(PrivateNats::start(NatsOptions::default().binary(binary.clone())).await.unwrap());
        }
        servers
    };
    for server in OPEN.get_or_init(|| Box::pin(start())).await {
        eprintln!("on NATS {}", server.version());
        Box::pin(test(server)).await;
    }
}

/// Runs a test on a server of its own of each version.
pub(crate) async fn on_every_fresh_nats(options: &NatsOptions, test: impl AsyncFn(PrivateNats)) {
    for binary in INSTALLED.iter() {
        let server = PrivateNats::start(options.clone().binary(binary.clone())).await.unwrap();
        eprintln!("on NATS {}", server.version());
        Box::pin(test(server)).await;
    }
}

/// How to reach a server that lets anybody in.
pub(crate) fn broker_options(server: &PrivateNats, stream: &str) -> BrokerOptions {
    BrokerOptions {
        servers: vec![server.url().parse().unwrap()],
        credentials: Credentials::None,
        url_file: None,
        tls: TlsFiles::default(),
        inbox_prefix: "_INBOX".to_owned(),
        stream: stream.to_owned(),
        max_in_flight: 256,
    }
}

/// A connection of the program's own kind.
pub(crate) async fn broker(server: &PrivateNats, stream: &str) -> Broker {
    Broker::connect(&broker_options(server, stream)).await.unwrap()
}

/// JetStream as a bystander sees it, over a connection of its own.
pub(crate) async fn bystander(server: &PrivateNats) -> (Client, Context) {
    let client = async_nats::connect(server.url()).await.unwrap();
    (client.clone(), jetstream::new(client))
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its sequence.
    pub(crate) sequence: u64,
    /// Its subject.
    pub(crate) subject: String,
    /// Its headers; several values of one name in their order.
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    /// Its body.
    pub(crate) payload: Vec<u8>,
}

/// Every message that a stream holds, asked of its leader one by one.
pub(crate) async fn stored_messages(context: &Context, stream: &str) -> Vec<Stored> {
    let reading = async {
        let stream = context.get_stream(stream).await.unwrap();
        let state = &stream.cached_info().state;
        let mut all = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let message = match stream.get_raw_message(sequence).await {
                Ok(message) => message,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => continue,
                Err(error) => panic!("message {sequence}: {error}"),
            };
            let values = |values: &[async_nats::HeaderValue]| values.iter().map(ToString::to_string).collect();
            let headers = message.headers.iter().map(|(name, all)| (name.to_string(), values(all))).collect();
            let (subject, payload) = (message.subject.to_string(), message.payload.to_vec());
            all.push(Stored { sequence, subject, headers, payload });
        }
        all
    };
    within("the messages of a stream", Box::pin(reading)).await
}
