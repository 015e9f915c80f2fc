//! `walpost webhooks run` and `walpost webhooks setup`.

use std::io::Write;

use super::{WebhooksRunArgs, store, unset};
use crate::{
    cli::{
        Exit, Failure,
        console::{Console, Ink},
        runtime,
    },
    config::WorkerConfig,
    webhooks::{Port, Service, Store, tls_config},
};

/// Makes what is missing.
pub(super) fn set_up(config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    runtime::block_on(async {
        make_streams(&store(config).await?, console).await?;
        Ok(Exit::Done)
    })
}

async fn make_streams(store: &Store, console: &mut Console) -> Result<(), Failure> {
    for (name, is_new) in store.set_up().await.map_err(unset)? {
        let word = if is_new { console.out().paint(Ink::Good, "created") } else { "exists ".to_owned() };
        writeln!(console.out(), "{word}  stream {name}")?;
    }
    Ok(())
}

/// Runs the role.
pub(super) fn run(args: &WebhooksRunArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let webhooks = &config.webhooks;
    if webhooks.endpoints.is_empty() {
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
        }
        let stream = config.nats.stream.to_string();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), stream, endpoints = webhooks.endpoints.len(), "starting");
        let (endpoints, guard, lease) = (webhooks.endpoints.clone(), webhooks.guard.clone(), webhooks.lease);
        let service = Service { store, stream, endpoints, guard, tls, lease };
        let stats = service.stats();
        let port = Port::new(stats.clone());
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
            ended = service.run(&stats, &stop) => ended,
            never = serving => match never {},
        };
        ended.map_err(unset)?;
        tracing::info!("stopped");
        Ok(Exit::Done)
    })
}
