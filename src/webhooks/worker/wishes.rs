//! What is looked up now and then: what people wish for an endpoint, what it takes to grant it, how old the oldest event is.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use super::{Worker, attempt};
use crate::webhooks::{
    ledger::{Lane, Ordering},
    store::{Record, SaveError, StoreError, Wish, Written},
};

/// How many events are looked up at once.
const LOOKED_UP_AT_ONCE: usize = 64;

/// A wish that is not granted yet.
pub(super) struct Wanted {
    /// Which it is.
    pub(super) revision: u64,
    /// Whether events are to be sent; nothing if that stays as it is.
    pub(super) enabled: Option<bool>,
    /// The events that are to be sent again, with their lanes.
    pub(super) again: Vec<(u64, Option<Lane>)>,
}

/// The lanes of the open events of a record that is ours, the record, and when it was last written. A thousand questions may
/// take longer than a lease, so it is written meanwhile: whoever looks up must be seen to live.
pub(super) async fn lanes_of_open(
    worker: &Arc<Worker>,
    mut held: Written<Record>,
) -> Result<(HashMap<u64, Option<Lane>>, Written<Record>, Instant), SaveError> {
    let mut written_at = Instant::now();
    let open = held.value.ledger.open.iter().map(|open| open.0).collect();
    let mut looking = Box::pin(lanes_of(worker, open));
    loop {
        tokio::select! {
            biased;
            lanes = &mut looking => return Ok((lanes?.into_iter().collect(), held, written_at)),
            () = sleep(worker.lease / 3) => {
                written_at = Instant::now();
                held.value.beat += 1;
                held.revision = worker.store.save(&worker.endpoint.name, held.revision, &held.value).await?;
            }
        }
    }
}

/// The wish that was made after the one of this revision, if there is one.
pub(super) async fn wanted(worker: Arc<Worker>, granted: u64) -> Option<Wanted> {
    let wish = worker.store.wish(&worker.endpoint.name).await.ok().flatten();
    let Written { revision, value: Wish { enabled, again } } = wish.filter(|wish| wish.revision > granted)?;
    let again = still_dead(&worker, again).await.ok()?;
    let again = lanes_of(&worker, again).await.ok()?;
    Some(Wanted { revision, enabled, again })
}

/// Those of these events that have dead letters: meanwhile others may have been delivered, or given up.
async fn still_dead(worker: &Worker, sequences: Vec<u64>) -> Result<Vec<u64>, StoreError> {
    let is_dead =
        async |sequence: u64| Ok(worker.store.has_letter(&worker.endpoint.name, sequence).await?.then_some(sequence));
    let looked = stream::iter(sequences).map(is_dead).buffered(LOOKED_UP_AT_ONCE);
    looked.try_filter_map(async |dead| Ok(dead)).try_collect().await
}

/// The lane of each of these events; none for those that are gone, or if there is no order to keep.
pub(super) async fn lanes_of(
    worker: &Arc<Worker>,
    sequences: Vec<u64>,
) -> Result<Vec<(u64, Option<Lane>)>, StoreError> {
    if worker.endpoint.ordering == Ordering::None {
        return Ok(sequences.into_iter().map(|sequence| (sequence, None)).collect());
    }
    let lane = async |sequence: u64| {
        let event = attempt::find(worker, sequence).await?;
        let lane = event.map(|event| Lane::of(&event.aggregate_type, &event.aggregate_id));
        Ok((sequence, lane))
    };
    stream::iter(sequences).map(lane).buffered(LOOKED_UP_AT_ONCE).try_collect().await
}

/// Tells when the oldest open event was stored.
pub(super) async fn tell_oldest(worker: &Worker, oldest: Option<u64>) {
    let at = match oldest {
        Some(sequence) => worker.store.stored_at_ms(sequence).await.ok().flatten(),
        None => None,
    };
    worker.stats.set_oldest(at);
}
