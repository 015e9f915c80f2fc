//! `walpost webhooks enable`, `disable` and `replay`: wishes for whichever instance delivers.

use std::io::Write;

use super::{EndpointArgs, ReplayArgs, find, refused, store};
use crate::{
    cli::{
        Exit, Failure,
        console::{Console, Ink},
        runtime,
    },
    config::{WorkerConfig, visible::visible},
    webhooks::{LetterSeen, Wish},
};

/// Leaves a wish for whichever instance delivers.
pub(super) fn wish(
    args: &EndpointArgs,
    enabled: bool,
    config: &WorkerConfig,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let name = runtime::block_on(async {
        let name = find(config, &args.endpoint).await?.name.clone();
        let wish = Wish { enabled: Some(enabled), again: Vec::new() };
        store(config).await?.make_wish(&name, wish).await.map_err(refused)?;
        Ok(name)
    })?;
    let word = console.out().paint(Ink::Good, if enabled { "enabled" } else { "disabled" });
    writeln!(console.out(), "{word}  {name}")?;
    writeln!(
        console.err(),
        "The instance that serves it takes this up within a second or two; `walpost webhooks list` shows it."
    )?;
    Ok(Exit::Done)
}

/// Wishes that events of dead letters are sent again.
pub(super) fn replay(args: &ReplayArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let (name, again, unknown) = runtime::block_on(async {
        let name = find(config, &args.endpoint).await?.name.clone();
        let store = store(config).await?;
        let letters = store.letters(&name).await.map_err(refused)?;
        let is_wanted =
            |letter: &LetterSeen| args.all || letter.event.as_ref().is_some_and(|event| args.events.contains(event));
        let (again, known): (Vec<u64>, Vec<String>) = letters
            .into_iter()
            .filter(is_wanted)
            .take(MOST_AT_ONCE)
            .map(|letter| (letter.sequence, letter.event.unwrap_or_default()))
            .unzip();
        let unknown: Vec<String> = args.events.iter().filter(|event| !known.contains(event)).cloned().collect();
        if !again.is_empty() {
            store.make_wish(&name, Wish { enabled: None, again: again.clone() }).await.map_err(refused)?;
        }
        Ok((name, again, unknown))
    })?;
    let word = console.out().paint(Ink::Good, "sent again");
    writeln!(console.out(), "{word}  {} events to {name}", again.len())?;
    for event in &unknown {
        let word = console.err().paint(Ink::Error, "error:");
        let event: String = event.chars().flat_map(visible).collect();
        writeln!(console.err(), "{word} {name} has no dead letter of event {event}")?;
    }
    if again.len() == MOST_AT_ONCE {
        writeln!(console.err(), "There may be more: repeat when `walpost webhooks dead` shows that these are gone.")?;
    }
    Ok(if unknown.is_empty() { Exit::Done } else { Exit::Failed })
}

/// How many events one wish names.
const MOST_AT_ONCE: usize = 1_000;
