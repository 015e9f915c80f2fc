//! Holds what the database says of events against the stream: an event that is shown published, or whose row the cleanup
//! has deleted, must have been stored before.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep};
use uuid::Uuid;
use walpost::publish::event_id;

use crate::{
    arena::{Arena, GLANCE},
    judge::Kind,
    stream::Stored,
    world::try_connect,
};

/// Within this time after all is stored, and nothing is wrong, every event must be shown so.
const SOON: Duration = Duration::from_secs(10);
/// How many violations of one look are told.
const SHOWN: usize = 3;

/// Before this transaction nothing is pending: what was told of earlier ones is told already.
const FROM: &str = "SELECT walpost_pending_from()::text";
/// Events of later transactions that are told to be in the stream, and rows that later ones have deleted.
const TOLD: &str = "
    SELECT id::text FROM walpost_event_status WHERE status = 'published' AND xid >= $1::text::xid8
    UNION ALL
    SELECT id::text FROM gone WHERE xid >= $1::text::xid8";
/// Events that are told to be on their way.
const PENDING: &str =
    "SELECT id::text FROM walpost_event_status WHERE status = 'pending' AND xid >= walpost_pending_from()";
/// Rows of which nothing final is told.
const UNTOLD: &str =
    "SELECT count(*) FROM walpost_event_status WHERE status NOT IN ('published', 'dead') OR status IS NULL";

/// What is known of the stream.
#[derive(Debug, Default)]
pub(crate) struct Known {
    stored: BTreeSet<Uuid>,
    /// The sequence of the last message that was read.
    read_to: u64,
    /// Told, and not found yet, because the broker did not answer.
    open: BTreeSet<Uuid>,
    /// What was told of transactions before this one was looked at.
    looked_from: Option<String>,
}

impl Known {
    /// These were told; the stream is read afterwards.
    fn told(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        self.open.extend(ids.into_iter().filter(|id| !self.stored.contains(id)));
    }

    /// The stream was read to its end. What was told, and is not in it.
    fn read(&mut self, stored: impl IntoIterator<Item = Uuid>, to: u64) -> Vec<Uuid> {
        self.stored.extend(stored);
        self.read_to = to;
        let open = std::mem::take(&mut self.open);
        open.into_iter().filter(|id| !self.stored.contains(id)).collect()
    }
}

impl Arena {
    /// Looks at what is told now, and whether it is true, if both servers answer.
    pub(crate) async fn hold_to_account(&mut self) {
        let Ok(client) = try_connect(&self.postgres.url()).await else { return };
        let Ok(from) = client.query_one(FROM, &[]).await else { return };
        let since = self.known.looked_from.as_deref().unwrap_or("0");
        let Ok(rows) = client.query(TOLD, &[&since]).await else { return };
        self.known.looked_from = Some(from.get(0));
        self.known.told(rows.iter().map(|row| Uuid::parse_str(row.get(0)).unwrap()));
        let Some((last, _)) = self.reader.try_state().await else { return };
        let Some(messages) = self.reader.try_some(self.known.read_to + 1..=last).await else { return };
        let early = self.known.read(messages.iter().filter_map(id_of), last.max(self.known.read_to));
        self.figures.add("looks at what is told", 1);
        for id in early.iter().take(SHOWN) {
            self.misbehave(Kind::ToldEarly, format!("{id} is told to be stored, as {} more are", early.len() - 1));
        }
    }

    /// Lets everything be well for a moment, while the writers go on: what is stored at its beginning must be shown so soon.
    pub(crate) async fn rest(&mut self) {
        self.heal().await;
        self.hold_to_account().await;
        let stored = self.known.stored.clone();
        let since = Instant::now();
        loop {
            self.look_after().await;
            let Ok(client) = try_connect(&self.postgres.url()).await else { return };
            let Ok(rows) = client.query(PENDING, &[]).await else { return };
            let pending = rows.iter().map(|row| Uuid::parse_str(row.get(0)).unwrap());
            let untold: Vec<_> = pending.filter(|id| stored.contains(id)).collect();
            let Some(first) = untold.first() else { break };
            if since.elapsed() > SOON {
                let about =
                    format!("{first} and {} more are stored, and shown pending {SOON:?} later", untold.len() - 1);
                return self.misbehave(Kind::ToldLate, about);
            }
            sleep(GLANCE).await;
        }
        self.figures.add("rests", 1);
        self.figures.shown(since.elapsed());
    }

    /// Waits until all is told that is stored, when nothing is wrong any more.
    pub(crate) async fn until_all_is_told(&mut self) {
        let client = self.client().await;
        let since = Instant::now();
        loop {
            self.look_after().await;
            let untold: i64 = client.query_one(UNTOLD, &[]).await.unwrap().get(0);
            if untold == 0 {
                break;
            }
            if since.elapsed() > SOON {
                let about = format!("{untold} events are stored, and not shown so {SOON:?} later");
                return self.misbehave(Kind::ToldLate, about);
            }
            sleep(GLANCE).await;
        }
        self.hold_to_account().await;
        let gone: i64 = client.query_one("SELECT count(*) FROM gone", &[]).await.unwrap().get(0);
        self.figures.add("rows deleted", u64::try_from(gone).unwrap());
    }
}

/// The event's id; none if the message is somebody else's.
fn id_of(message: &Stored) -> Option<Uuid> {
    Uuid::parse_str(event_id(message.headers.get("Nats-Msg-Id")?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_before_it_is_stored_is_found_and_what_could_not_be_read_is_held_against_it_later() {
        let id = |number| Uuid::from_u128(number);
        let mut known = Known::default();
        known.told([id(1), id(2)]);
        assert_eq!(known.read([id(1)], 1), [id(2)]);
        known.told([id(1), id(3)]);
        known.told([id(4)]);
        assert_eq!(known.read([id(2), id(3)], 3), [id(4)]);
        assert_eq!(known.read([], 3), Vec::<Uuid>::new());
    }
}
