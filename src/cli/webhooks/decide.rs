//! `walpost webhooks enable`, `disable` and `replay`: wishes for whichever instance delivers; and `discard`.

use std::io::Write;

use serde_json::json;

use super::{DiscardArgs, EndpointArgs, LettersArgs, ReplayArgs, find, letters, refused, store};
use crate::{
    cli::{
        Exit, Failure, OutputFormat,
        console::{Console, Ink},
        runtime,
    },
    config::{WorkerConfig, visible::visible},
    webhooks::{Discarded, EndpointName, LetterSeen, Store, StoreError, Wish},
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
        // Nobody sends to one that is not configured.
        find(config, &args.letters.endpoint).await?;
        let (store, name, mut wanted) = chosen(&args.letters, config).await?;
        wanted.truncate(MOST_AT_ONCE);
        let again: Vec<u64> = wanted.iter().map(|letter| letter.sequence).collect();
        let unknown = unknown(&args.letters.events, &wanted);
        if !again.is_empty() {
            store.make_wish(&name, Wish { enabled: None, again: again.clone() }).await.map_err(refused)?;
        }
        Ok((name, again, unknown))
    })?;
    let word = console.out().paint(Ink::Good, "sent again");
    writeln!(console.out(), "{word}  {} events to {name}", again.len())?;
    for event in &unknown {
        tell(event, &format!("{name} has no dead letter of event"), console)?;
    }
    if again.len() == MOST_AT_ONCE {
        writeln!(console.err(), "There may be more: repeat when `walpost webhooks dead` shows that these are gone.")?;
    }
    Ok(if unknown.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Gives dead letters up.
pub(super) fn discard(args: &DiscardArgs, config: &WorkerConfig, console: &mut Console) -> Result<Exit, Failure> {
    let (name, Discarded { gone, kept, error }) = runtime::block_on(async {
        let (store, name, wanted) = chosen(&args.letters, config).await?;
        let discarded = store.discard(&name, wanted).await.map_err(refused)?;
        Ok((name, discarded))
    })?;
    let unknown = unknown(&args.letters.events, gone.iter().chain(&kept));
    match args.format {
        OutputFormat::Human => {
            let word = console.out().paint(Ink::Good, "discarded");
            writeln!(console.out(), "{word}  {} dead letters of {name}", gone.len())?;
        }
        OutputFormat::Json => {
            let told = json!({ "endpoint": name.as_str(), "discarded": gone, "kept": kept, "unknown": unknown });
            writeln!(console.out(), "{told:#}")?;
        }
    }
    if let Some(error) = error {
        return Err(unfinished(error));
    }
    for letter in &kept {
        tell(&letter.name(), "on its way again, and so its dead letter was kept: event", console)?;
    }
    for event in &unknown {
        tell(event, &format!("{name} has no dead letter of event"), console)?;
    }
    Ok(if kept.is_empty() && unknown.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The dead letters that are meant, and where they are.
async fn chosen(args: &LettersArgs, config: &WorkerConfig) -> Result<(Store, EndpointName, Vec<LetterSeen>), Failure> {
    let (store, name, mut letters) = letters(config, &args.endpoint).await?;
    letters.retain(|letter| args.all || args.events.contains(&letter.name()));
    Ok((store, name, letters))
}

/// What was named and is not among these.
fn unknown<'a>(named: &[String], found: impl IntoIterator<Item = &'a LetterSeen>) -> Vec<String> {
    let found: Vec<_> = found.into_iter().map(LetterSeen::name).collect();
    named.iter().filter(|event| !found.contains(event)).cloned().collect()
}

/// Tells that something is not as it was wished with an event.
fn tell(event: &str, what: &str, console: &mut Console) -> Result<(), Failure> {
    let word = console.err().paint(Ink::Error, "error:");
    let event: String = event.chars().flat_map(visible).collect();
    Ok(writeln!(console.err(), "{word} {what} {event}")?)
}

/// Some are given up, and the others are not.
fn unfinished(error: StoreError) -> Failure {
    let hint = "repeat it: what is given up stays so; check that the NATS server runs";
    Failure::new(error).with_hint(Some(hint))
}

/// How many events one wish names.
const MOST_AT_ONCE: usize = 1_000;
