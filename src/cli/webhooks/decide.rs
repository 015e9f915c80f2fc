//! `walpost webhooks enable` and `walpost webhooks disable`.

use std::io::Write;

use super::{EndpointArgs, find, refused, store};
use crate::{
    cli::{
        Exit, Failure,
        console::{Console, Ink},
        runtime,
    },
    config::WorkerConfig,
    webhooks::Wish,
};

/// Leaves a wish for whichever instance delivers.
pub(super) fn wish(
    args: &EndpointArgs,
    enabled: bool,
    config: &WorkerConfig,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let name = &find(config, &args.endpoint)?.name;
    runtime::block_on(async { store(config).await?.make_wish(name, Wish { enabled }).await.map_err(refused) })?;
    let word = console.out().paint(Ink::Good, if enabled { "enabled" } else { "disabled" });
    writeln!(console.out(), "{word}  {name}")?;
    writeln!(
        console.err(),
        "The instance that serves it takes this up within a second or two; `walpost webhooks list` shows it."
    )?;
    Ok(Exit::Done)
}
