//! Who else saw the commits: a second slot of the same publication, read by SQL.
//!
//! A sequence in a column tells the order of inserts, not of commits; only the log tells that. The bytes are taken apart
//! here by hand, in the text form of the protocol, so that nothing of the program's own decoder is trusted
//! (<https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>).

use std::collections::BTreeSet;

use tokio_postgres::Client;
use walpost::lsn::Lsn;

use super::stream::Stored;

/// The name of the slot, before the configured slot's name.
const PREFIX: &str = "witness_";

/// A second slot.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    slot: String,
}

/// One committed row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The first column.
    pub(crate) id: String,
    /// Where its transaction's commit record begins.
    pub(crate) commit_lsn: Lsn,
    /// Where that record ends.
    pub(crate) end_lsn: Lsn,
    /// Which row of the transaction it is.
    pub(crate) index: usize,
}

impl Witness {
    /// Sees everything that commits from now on in the database of `client`.
    pub(crate) async fn begin(client: &Client, slot: &str) -> Self {
        let slot = format!("{PREFIX}{slot}");
        client.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await.unwrap();
        Self { slot }
    }

    /// All rows that were committed, in the order of the log. Can be asked again.
    pub(crate) async fn all(&self, client: &Client) -> Vec<Seen> {
        let sql = "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1',
                   'publication_names', 'walpost') WHERE get_byte(data, 0) IN (66, 67, 73)";
        let rows = client.query(sql, &[&self.slot]).await.unwrap();
        let mut seen: Vec<Seen> = Vec::new();
        let (mut commit_lsn, mut first) = (Lsn::ZERO, 0);
        for row in &rows {
            let data: &[u8] = row.get("data");
            match data[0] {
                b'B' => (commit_lsn, first) = (lsn(&data[1..9]), seen.len()),
                b'C' => seen[first..].iter_mut().for_each(|seen| seen.end_lsn = lsn(&data[10..18])),
                _ => {
                    let (id, index) = (first_column(data), seen.len() - first);
                    seen.push(Seen { id, commit_lsn, end_lsn: Lsn::ZERO, index });
                }
            }
        }
        seen
    }
}

/// Holds the whole stream against the witness: the same events, each once, in the order of commits, each with its place
/// in the log of this system and slot.
pub(crate) fn assert_same(seen: &[Seen], stored: &[Stored], log: &str) {
    let ids: Vec<&str> = seen.iter().map(|seen| seen.id.as_str()).collect();
    let delivered: Vec<&str> = stored.iter().map(Stored::event_id).collect();
    if ids != delivered {
        let (all, got): (BTreeSet<_>, BTreeSet<_>) = (ids.iter().collect(), delivered.iter().collect());
        let first = ids.iter().zip(&delivered).position(|(a, b)| a != b);
        panic!(
            "{} committed, {} stored: lost {:?}, phantom {:?}, {} twice, first difference at {first:?}",
            ids.len(),
            delivered.len(),
            all.difference(&got).take(5).collect::<Vec<_>>(),
            got.difference(&all).take(5).collect::<Vec<_>>(),
            delivered.len() - got.len(),
        );
    }
    for (sequence, (seen, stored)) in (1..).zip(seen.iter().zip(stored)) {
        assert_eq!(stored.sequence, sequence);
        let position = format!("1:{log}:{}:{}", seen.commit_lsn, seen.index);
        assert_eq!(stored.header("Walpost-Position"), position, "event {}", seen.id);
    }
}

/// System and timeline of the server, and the slot: what stands in every position before the LSN.
pub(crate) async fn log_of(client: &Client, slot: &str) -> String {
    let sql = "SELECT format('%s:%s', system_identifier, (SELECT timeline_id FROM pg_control_checkpoint()))
               FROM pg_control_system()";
    let row = client.query_one(sql, &[]).await.unwrap();
    format!("{}:{slot}", row.get::<_, String>(0))
}

fn lsn(bytes: &[u8]) -> Lsn {
    Lsn::new(u64::from_be_bytes(bytes.try_into().unwrap()))
}

/// `I`, relation (4), `N`, columns (2), then for each column: `t`, length (4), text.
fn first_column(insert: &[u8]) -> String {
    assert_eq!((insert[5], insert[8]), (b'N', b't'));
    let length = u32::from_be_bytes(insert[9..13].try_into().unwrap());
    String::from_utf8(insert[13..][..usize::try_from(length).unwrap()].to_vec()).unwrap()
}
