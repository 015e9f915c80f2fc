//! `walpost run`: delivers until told to stop.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, console::Console, failure, runtime, setup};
use crate::{
    admin::Admin,
    config::Config,
    plan::Plan,
    relay::Finish,
    setup::ExistingRows,
    supervisor::{RunError, Supervisor, verdict},
};

/// The arguments of `walpost run`.
#[derive(Debug, Args)]
#[command(after_help = "\
One process leads; others with the same slot stand by, and one of them takes over when it ends.
SIGTERM and SIGINT stop walpost as soon as what is on its way is confirmed.")]
pub struct RunArgs {
    /// First do what `walpost setup` does.
    #[arg(long)]
    pub setup: bool,
    /// Rows from before the slot: send them, or those missing in the stream, or keep them.
    #[arg(long, value_name = "send|missing|keep", hide_possible_values = true, requires = "setup")]
    pub existing_rows: Option<ExistingRows>,
}

/// Runs the service.
pub(super) fn run(args: &RunArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    if args.setup {
        setup::apply(config, args.existing_rows, console)?;
    }
    runtime::block_on(async {
        let stop = runtime::stop_on_signal()?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            slot = %config.postgres.slot,
            stream = %config.nats.stream,
            "starting"
        );
        match deliver(config, &stop).await {
            Ok(Finish::Drained) => tracing::info!("stopped; everything that was under way is stored and confirmed"),
            Ok(Finish::Abandoned { in_flight }) => tracing::warn!(
                in_flight,
                "stopped before NATS answered; the next start finds out in the stream what was stored"
            ),
            Err(error) => return Err(told(error)),
        }
        Ok(Exit::Done)
    })
}

async fn deliver(config: &Config, stop: &CancellationToken) -> Result<Finish, RunError> {
    let supervisor = Supervisor::new(Plan::new(config));
    let admin = Admin::new(supervisor.progress(), supervisor.health());
    let listen = config.admin.listen;
    let serving = async {
        // Delivery does not depend on being looked at.
        if let Err(error) = admin.serve(listen).await {
            tracing::error!(
                %error,
                address = %listen,
                action = "give every process on this host an admin.listen of its own; `ss -ltnp` shows who has the port",
                "the admin port cannot be opened; delivery goes on without it"
            );
        }
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        biased;
        finish = supervisor.run(stop) => finish,
        never = serving => match never {},
    }
}

fn told(error: RunError) -> Failure {
    let (code, _) = verdict(&error);
    let details = failure::details(error.problems());
    // With several problems each has its own.
    let hint = error.hint().filter(|_| details.is_empty());
    Failure::new(error).with_code(code).with_details(details).with_hint(hint)
}
