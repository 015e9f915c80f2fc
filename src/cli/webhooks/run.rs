//! `walpost webhooks run` and `walpost webhooks setup`.

use std::{io::Write, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{WebhooksRunArgs, store, table, unread, unset};
use crate::{
    cli::{
        Exit, Failure,
        console::{Console, Ink},
        runtime,
    },
    config::WorkerConfig,
    webhooks::{Board, Port, Roster, Served, Service, Store, tls_config},
};

/// Makes what is missing.
pub(super) fn set_up(config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    runtime::block_on(async {
        make_streams(&store(config).await?, console).await?;
        make_table(config, console).await?;
        Ok(Exit::Done)
    })
}

async fn make_table(config: &WorkerConfig, console: &mut Console) -> Result<(), Failure> {
    let (Some(mut reader), Some(table)) = (table(config), &config.webhooks.table) else { return Ok(()) };
    let is_new = reader.create().await.map_err(unread)?;
    say_made(is_new, &format!("table {}", table.name), console)
}

fn say_made(is_new: bool, what: &str, console: &mut Console) -> Result<(), Failure> {
    let word = if is_new { console.out().paint(Ink::Good, "created") } else { "exists ".to_owned() };
    Ok(writeln!(console.out(), "{word}  {what}")?)
}

async fn make_streams(store: &Store, console: &mut Console) -> Result<(), Failure> {
    for (name, is_new) in store.set_up().await.map_err(unset)? {
        say_made(is_new, &format!("stream {name}"), console)?;
    }
    Ok(())
}

/// Runs the role.
pub(super) fn run(args: &WebhooksRunArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let webhooks = &config.webhooks;
    if webhooks.endpoints.is_empty() && webhooks.table.is_none() {
        let hint = "write [[webhooks.endpoint]] with name, url and secret_files into the configuration file";
        return Err(Failure::new("there is no endpoint to send to").with_hint(Some(hint)));
    }
    let tls = tls_config(webhooks.tls_ca.as_deref()).map_err(|error| {
        let hint = "check webhooks.tls_ca, or install the operating system's certificates";
        Failure::new(error).with_hint(Some(hint))
    })?;
    runtime::block_on(async {
        let stop = runtime::stop_on_signal()?;
        let store = store(config).await?;
        if args.setup {
            make_streams(&store, console).await?;
            make_table(config, console).await?;
        }
        let stream = config.nats.stream.to_string();
        match &webhooks.table {
            None => tracing::info!(version = VERSION, stream, endpoints = webhooks.endpoints.len(), "starting"),
            Some(table) => tracing::info!(version = VERSION, stream, table = %table.name, "starting"),
        }
        let board = Arc::new(Board::default());
        let (guard, lease) = (webhooks.guard.clone(), webhooks.lease);
        let service = Service { stream, guard, tls, lease, board: Arc::clone(&board) };
        let port = Port::new(Arc::clone(&board));
        let (roster, of_roster) = watch::channel(match &webhooks.table {
            None => Roster::Known(webhooks.endpoints.clone()),
            Some(_) => Roster::Unknown,
        });
        let watching = async {
            match table(config) {
                Some(table) => table.watch(&roster, &board).await,
                None => std::future::pending().await,
            }
        };
        let listen = config.admin.listen;
        let serving = async {
            // Delivery does not depend on being looked at.
            if let Err(error) = port.serve(listen).await {
                let action =
                    "give every process on this host an admin.listen of its own; `ss -ltnp` shows who has the port";
                tracing::error!(%error, address = %listen, action, "the admin port cannot be opened; delivery goes on without it");
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        let ended = tokio::select! {
            biased;
            ended = serve(&service, store, &of_roster, config, &stop) => ended,
            never = serving => match never {},
            never = watching => match never {},
        };
        ended?;
        tracing::info!("stopped");
        Ok(Exit::Done)
    })
}

/// Serves until told to stop; over a new connection, with a login that is read anew, when there was none for long.
async fn serve(
    service: &Service,
    mut store: Store,
    roster: &watch::Receiver<Roster>,
    config: &WorkerConfig,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    while service.run(&store, roster.clone(), stop).await.map_err(unset)? == Served::CutOff {
        let action = "see whether NATS runs and lets this user in; logins in files are read again for each attempt";
        tracing::warn!(action, "there was no connection to NATS for long; another one is made");
        store = loop {
            match super::store(config).await {
                Ok(store) => break store,
                Err(_) if stop.is_cancelled() => return Ok(()),
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(BETWEEN_CONNECTIONS) => {}
            }
        };
    }
    Ok(())
}

/// How long to wait between two attempts to connect.
const BETWEEN_CONNECTIONS: Duration = Duration::from_secs(2);
/// The version of the program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
