//! A network between walpost and a server: it sees everything, and does to it what networks do.
//!
//! An [`Edge`] stands for all connections of one instance to one kind of server. It passes on whole messages, and notes in
//! the journal what they say: a word of the server's before it is passed on, a word of walpost's when it was said.

mod nats;
mod postgres;
mod pump;
mod tap;
mod weather;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    daemon::free_address,
    journal::{Journal, Life},
};
use pump::{Pump, Side};
use tap::Tap;

pub(crate) use nats::place;
pub(crate) use tap::Protocol;
pub(crate) use weather::{Answers, Cut, Flow, Fuse, Weather};

/// All connections of one instance to one kind of server.
#[derive(Debug)]
pub(crate) struct Edge {
    ports: Vec<u16>,
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<(u64, Cut)>,
    shared: Arc<Shared>,
}

/// What all connections of an edge share.
#[derive(Debug)]
struct Shared {
    protocol: Protocol,
    journal: Journal,
    instance: usize,
    /// The number of the process that connects now.
    life: Arc<AtomicU32>,
    /// Cuts everything after so many bytes, whoever sends them.
    bytes: Fuse,
    /// Ends walpost after so many of its messages, on all its edges.
    messages: Fuse,
    /// Whether walpost counts as ended, so that nothing more of it arrives.
    is_over: Arc<AtomicBool>,
}

/// What the edges of one instance have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instance {
    /// Which instance.
    pub(crate) number: usize,
    /// The number of its present life.
    pub(crate) life: Arc<AtomicU32>,
    /// Ends it after so many messages.
    pub(crate) messages: Fuse,
    /// Whether it counts as ended.
    pub(crate) is_over: Arc<AtomicBool>,
}

impl Edge {
    /// An edge to servers on these ports, with a port of its own for each.
    pub(crate) async fn open(protocol: Protocol, servers: &[u16], instance: &Instance, journal: &Journal) -> Self {
        let shared = Arc::new(Shared {
            protocol,
            journal: journal.clone(),
            instance: instance.number,
            life: Arc::clone(&instance.life),
            bytes: Fuse::default(),
            messages: instance.messages.clone(),
            is_over: Arc::clone(&instance.is_over),
        });
        let (weather, cuts) = (watch::Sender::default(), watch::Sender::default());
        let mut ports = Vec::new();
        for server in servers {
            let (listener, port) = listen().await;
            ports.push(port);
            let (shared, weather, cuts) = (Arc::clone(&shared), weather.subscribe(), cuts.subscribe());
            tokio::spawn(accept(listener, *server, shared, weather, cuts));
        }
        Self { ports, weather, cuts, shared }
    }

    /// The ports to connect to, in the order of the servers.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Changes the weather.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Fine weather. What was held arrives; connections that lost something end.
    pub(crate) fn clear(&self) {
        let before = *self.weather.borrow();
        self.weather.send_replace(Weather::default());
        self.shared.bytes.put_out();
        if [before.up, before.down].contains(&Flow::Swallow) {
            self.cut(Cut::Reset);
        }
    }

    /// Ends all connections that there are.
    pub(crate) fn cut(&self, how: Cut) {
        self.cuts.send_modify(|cuts| *cuts = (cuts.0 + 1, how));
    }

    /// Resets all connections after this many bytes in any direction.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.bytes.light(bytes);
    }

    /// How many bytes there are to that cut.
    pub(crate) fn is_to_be_cut_in(&self) -> u64 {
        self.shared.bytes.left()
    }

    /// Whether the cut after so many bytes is still to come.
    pub(crate) fn is_to_be_cut(&self) -> bool {
        self.shared.bytes.is_lit()
    }
}

/// Takes a port below those that the system gives to outgoing connections.
async fn listen() -> (TcpListener, u16) {
    loop {
        let port = free_address().port();
        if let Ok(listener) = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
            return (listener, port);
        }
    }
}

async fn accept(
    listener: TcpListener,
    server: u16,
    shared: Arc<Shared>,
    weather: watch::Receiver<Weather>,
    mut cuts: watch::Receiver<(u64, Cut)>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let life = Life { instance: shared.instance, number: shared.life.load(Relaxed) };
        cuts.mark_unchanged();
        let (shared, weather, cuts) = (Arc::clone(&shared), weather.clone(), cuts.clone());
        tokio::spawn(Box::pin(async move {
            // Refused: dropping the client's side is what the client sees of it.
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
            for socket in [&client, &server] {
                socket.set_nodelay(true).unwrap();
            }
            let (up, down) = Tap::pair(shared.protocol);
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let pump = |side, tap, reader, writer| {
                let (shared, weather, cuts) = (Arc::clone(&shared), weather.clone(), cuts.clone());
                Pump::new(shared, (side, life), tap, (reader, writer)).run(weather, cuts)
            };
            let up = pump(Side::Up, up, from_client, to_server);
            let down = pump(Side::Down, down, from_server, to_client);
            tokio::join!(Box::pin(up), Box::pin(down));
        }));
    }
}

/// Has the system send a reset when the socket is dropped.
fn reset_when_dropped(socket: &TcpStream) {
    // Fails only for a socket that is gone already.
    drop(SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO)));
}
