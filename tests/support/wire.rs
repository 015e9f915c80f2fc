//! A way to a server, for programs that are to lose it while others do not.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::daemon::free_address;

/// A port that leads to another one as long as it is not cut.
#[derive(Debug)]
pub(crate) struct Wire {
    port: u16,
    is_cut: watch::Sender<bool>,
    arrivals: Arc<AtomicU64>,
}

impl Wire {
    /// A way to this port of this machine.
    pub(crate) async fn to(server: u16) -> Self {
        let (listener, port) = listen().await;
        let (is_cut, arrivals) = (watch::Sender::default(), Arc::<AtomicU64>::default());
        tokio::spawn(lead(listener, server, is_cut.subscribe(), Arc::clone(&arrivals)));
        Self { port, is_cut, arrivals }
    }

    /// Where it begins.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections, and each new one at once.
    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets everybody through again.
    pub(crate) fn mend(&self) {
        self.is_cut.send_replace(false);
    }

    /// How many connections were tried.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals.load(Relaxed)
    }
}

async fn lead(listener: TcpListener, server: u16, is_cut: watch::Receiver<bool>, arrivals: Arc<AtomicU64>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        arrivals.fetch_add(1, Relaxed);
        let mut is_cut = is_cut.clone();
        tokio::spawn(Box::pin(async move {
            let pass = async {
                let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
                // However it ends, both ends see that it does.
                drop(copy_bidirectional(&mut client, &mut server).await);
            };
            tokio::select! {
                biased;
                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                () = pass => {}
            }
        }));
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
